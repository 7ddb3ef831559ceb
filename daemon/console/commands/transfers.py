"""Transfers: what is on its way to and from other machines now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.console.registry import Command, Result, SessionInfo
from daemon.console.render import duration, table
from ssh.traffic import Progress


def transfers_command(transfers: Callable[[], Sequence[Progress]]) -> Command:
    """`transfers`."""

    def handler(args: Sequence[str], _info: SessionInfo) -> Result:
        if args:
            raise command.wrong_usage()
        found = transfers()
        rows = [("MACHINE", "", "FILE", "DONE", "MB", "MB/S", "FOR"), *map(_row, found)]
        text = table(rows, right=(3, 4, 5)) if found else "Nothing is on its way to or from another machine."
        return Result({"transfers": [_data(each) for each in found]}, text)

    command = Command(
        name="transfers",
        group="Queue",
        summary="files on their way to and from other machines",
        usage=("transfers",),
        handler=handler,
    )
    return command


def _row(one: Progress) -> tuple[str, ...]:
    done = 100 * one.bytes / one.of if one.of else 100.0
    rate = one.bytes / one.seconds / 1e6 if one.seconds > 0 else 0.0
    way = "to" if one.out else "from"
    size = f"{one.of / 1e6:.1f}"
    return one.machine, way, one.path, f"{done:.0f} %", size, f"{rate:.1f}", duration(one.seconds)


def _data(one: Progress) -> dict[str, object]:
    return {
        "machine": one.machine,
        "out": one.out,
        "file": one.path,
        "bytes": one.bytes,
        "of": one.of,
        "seconds": round(one.seconds, 1),
    }
