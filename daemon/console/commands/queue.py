"""Queue: requests by folder, one request, retry, cancel; pause and resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo

from daemon.console.registry import Command, CommandError, Result, SessionInfo
from daemon.console.render import count, iso, moment, plain, table
from daemon.console.views import RequestRow

FOLDERS = ("pending", "processing", "completed", "failed")
MOST = 200
"""Requests that are listed at once."""


def queue_commands(
    *,
    folders: Callable[[], Mapping[str, int]],
    rows: Callable[[str | None, int], Sequence[RequestRow]],
    show: Callable[[str], RequestRow | None],
    retry: Callable[[str], str],
    cancel: Callable[[str], str],
    pause: Callable[[bool], str],
    timezone: tzinfo,
    several: bool = False,
) -> tuple[Command, ...]:
    """`queue`, `pause`, `resume`.

    `folders` counts; `rows(folder, most)` in line
    order, the finished ones newest first; `retry` and `cancel` give a sentence
    and raise CommandError; so does `pause(on)`. `several`: there are several
    nodes, and it matters whose a request is.
    """

    def queue(args: Sequence[str], _info: SessionInfo) -> Result:
        numbers = folders()
        word = args[0].lower() if args else ""
        if len(args) == 2 and word in ("show", "retry", "cancel"):
            return one(word, args[1])
        if len(args) > 1 or (args and word not in FOLDERS):
            raise commands["queue"].wrong_usage()
        found = list(rows(word or None, MOST))
        data = {**numbers, "requests": [request_data(row, timezone) for row in found]}
        return Result(data, _text(numbers, found, timezone, several))

    def one(word: str, request_id: str) -> Result:
        row = show(request_id)
        if row is None:
            raise CommandError("not-found", f"there is no request {request_id[:80]!r}; `queue` lists them")
        if word == "show":
            return Result(request_data(row, timezone), _whole(row, timezone))
        text = retry(row.request_id) if word == "retry" else cancel(row.request_id)
        return Result({"request_id": row.request_id, "message": text}, text)

    def stand(on: bool) -> Callable[[Sequence[str], SessionInfo], Result]:
        def handler(args: Sequence[str], _info: SessionInfo) -> Result:
            if args:
                raise commands["pause" if on else "resume"].wrong_usage()
            text = pause(on)
            return Result({"paused": on, "message": text}, text)

        return handler

    def complete(args: Sequence[str]) -> Sequence[str]:
        if len(args) == 1:
            return (*FOLDERS, "show", "retry", "cancel")
        if len(args) == 2 and args[0].lower() in ("show", "retry", "cancel"):
            return [row.request_id for row in rows("failed" if args[0].lower() == "retry" else None, MOST)]
        return ()

    commands = {
        command.name: command
        for command in (
            Command(
                name="queue",
                group="Queue",
                summary="requests by folder; show, retry or cancel one",
                usage=(f"queue [{'|'.join(FOLDERS)}]", "queue show|retry|cancel ID"),
                examples=("queue", "queue failed", "queue retry 20251027_110000_1a2b3c4d"),
                handler=queue,
                complete=complete,
                mutating=True,
            ),
            Command(
                name="pause",
                aliases=("pausar",),
                group="Queue",
                summary="reads no mail and begins no request, until resume",
                usage=("pause",),
                handler=stand(on=True),
                mutating=True,
            ),
            Command(
                name="resume",
                aliases=("retomar",),
                group="Queue",
                summary="ends the pause",
                usage=("resume",),
                handler=stand(on=False),
                mutating=True,
            ),
        )
    }
    return tuple(commands.values())


def request_data(row: RequestRow, timezone: tzinfo) -> dict[str, object]:
    """A request for programs: the console's JSON and /api/queue."""
    return {
        "request_id": row.request_id,
        "command": row.command,
        "from_email": row.sender,
        "parameters": dict(row.parameters),
        "server": row.server or None,
        "audios_from": row.audios_from or None,
        "status": row.folder,
        "state": row.state,
        "tries": row.tries,
        "owner": row.owner or None,
        "timestamp_received": iso(row.received, timezone),
        "timestamp_queued": iso(row.queued, timezone),
        "timestamp_processing": iso(row.started, timezone),
        "timestamp_finished": iso(row.finished, timezone),
        "not_before": iso(row.not_before, timezone),
        "note": row.note or None,
    }


def _text(numbers: Mapping[str, int], rows: Sequence[RequestRow], timezone: tzinfo, several: bool) -> str:
    head = ", ".join(f"{count(numbers[folder])} {folder}" for folder in FOLDERS)
    if not rows:
        return head
    node = ("NODE",) if several else ()
    lines: list[tuple[str, ...]] = [("ID", "COMMAND", "STATE", "TRIES", *node, "FROM", "RECEIVED", "NOTE")]
    for row in rows:
        received = moment(row.received, timezone)
        node = (row.owner or "-",) if several else ()
        first = (row.request_id, row.command, row.state, str(row.tries), *node)
        lines.append((*first, row.sender, received, row.note))
    more = f"\n(the first {MOST})" if len(rows) >= MOST else ""
    return f"{head}\n\n{table(lines, right=(3,))}{more}"


def _whole(row: RequestRow, timezone: tzinfo) -> str:
    data = request_data(row, timezone)
    facts = [(key, plain(value)) for key, value in data.items() if key != "parameters"]
    facts += [(key, plain(value)) for key, value in row.parameters.items()]
    return table(facts)
