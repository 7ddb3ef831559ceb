"""Failover: who is master and why, the nodes, the lease, the changes; switchover, mode, requeue, adopt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import get_args

from daemon.console.registry import Command, CommandError, Result, SessionInfo, first_of
from daemon.console.render import iso, moment, plain, table
from ha.errors import HaError
from ha.model import Mode, Seen, View

MODES: tuple[Mode, ...] = get_args(Mode)


def failover_commands(
    *,
    node: str,
    view: Callable[[], View],
    switchover: Callable[[str | None], str],
    set_mode: Callable[[Mode], str],
    adopt: Callable[[], str],
    requeue: Callable[[str], str],
    timezone: tzinfo,
) -> tuple[Command, ...]:
    """The group Failover, and `mode` of System. `node` is this node's name.

    `switchover`, `set_mode`, `adopt` and `requeue(node)` do it and give a sentence; they raise ha.errors,
    CommandError or the daemon's errors, whose text says why not.
    """

    def role(args: Sequence[str], _info: SessionInfo) -> Result:
        _no_words("role", args)
        now = view()
        data = {
            "node": node,
            "role": now.role,
            "mode": now.mode,
            "epoch": now.epoch,
            "master": now.master,
            "reason": now.reason,
            "since": _iso(now.since, timezone),
        }
        text = (
            f"{node} is {now.role} (mode {now.mode}), epoch {now.epoch}; master: {plain(now.master)}\n"
            f"since {_moment(now.since, timezone)}: {now.reason}"
        )
        return Result(data, "\n".join([text, *_problems(now)]))

    def nodes(args: Sequence[str], _info: SessionInfo) -> Result:
        _no_words("nodes", args)
        now = view()
        rows = [_node_data(now, seen, timezone) for seen in now.members]
        lines = [("NODE", "ROLE", "HERE", "SINCE", "MODE", "PRIORITY")]
        for seen, row in zip(now.members, rows, strict=True):
            lines.append(
                (
                    seen.member.name + (" (this one)" if seen.member.name == node else ""),
                    plain(row["role"]),
                    "here" if seen.here else "AWAY",
                    _moment(seen.since, timezone),
                    seen.member.mode,
                    str(seen.member.priority),
                )
            )
        return Result({"nodes": rows}, "\n".join([table(lines, right=(5,)), *_problems(now)]))

    def lease(args: Sequence[str], _info: SessionInfo) -> Result:
        _no_words("lease", args)
        now = view()
        data = {
            "backend": now.backend,
            "connected": now.connected,
            "holder": now.master,
            "epoch": now.epoch,
            "left_s": round(now.lease_left, 2) if now.lease_left is not None else None,
            "problems": list(now.problems),
        }
        rows = [
            ("holder", plain(now.master)),
            ("epoch", f"{now.epoch} (generation {now.epoch >> 32}, election {now.epoch & 0xFFFFFFFF})"),
            ("backend", now.backend + ("" if now.connected else ", which does not answer")),
        ]
        if now.lease_left is not None and now.backend != "file":
            rows.append(("left", f"{now.lease_left:.1f} s, if it were not renewed from now on"))
        return Result(data, "\n".join([table(rows), *_problems(now)]))

    def history(args: Sequence[str], _info: SessionInfo) -> Result:
        _no_words("history", args)
        changes = view().history
        data = [
            {"at": _iso(c.at, timezone), "epoch": c.epoch, "master": c.master, "reason": c.reason}
            for c in changes
        ]
        lines = [("AT", "EPOCH", "MASTER", "WHY")]
        lines += [(_moment(c.at, timezone), str(c.epoch), c.master, c.reason) for c in changes]
        return Result({"changes": data}, table(lines, right=(1,)) if changes else "No change is known yet.")

    def hand_over(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) > 1:
            raise commands["switchover"].wrong_usage()
        return _done(lambda: switchover(args[0] if args else None))

    def mode(args: Sequence[str], _info: SessionInfo) -> Result:
        wanted = next((each for each in MODES if args and args[0].lower() == each), None)
        if len(args) != 1 or wanted is None:
            raise commands["mode"].wrong_usage()
        return _done(lambda: set_mode(wanted))

    def take_over(args: Sequence[str], _info: SessionInfo) -> Result:
        words = [word for arg in args for word in arg.split("=", 1)]
        if len(words) != 2 or words[0] != "--node":
            raise commands["requeue"].wrong_usage()
        known = [seen.member.name for seen in view().members]
        if words[1] not in known:
            raise CommandError(
                "not-found", f"there is no node {words[1][:80]!r}: {', '.join(known) or 'none is known'}"
            )
        return _done(lambda: requeue(words[1]))

    def accept(args: Sequence[str], _info: SessionInfo) -> Result:
        _no_words("adopt", args)
        return _done(adopt)

    def others(args: Sequence[str]) -> Sequence[str]:
        now = view()
        return [s.member.name for s in now.members if s.here and s.member.name != now.master] * (
            len(args) == 1
        )

    def away(args: Sequence[str]) -> Sequence[str]:
        if len(args) == 1:
            return ("--node",)
        return [seen.member.name for seen in view().members if seen.member.name != node] * (len(args) == 2)

    def _no_words(name: str, args: Sequence[str]) -> None:
        if args:
            raise commands[name].wrong_usage()

    commands = {
        command.name: command
        for command in (
            Command("role", "Failover", "master or slave, and the reason", ("role",), role),
            Command("nodes", "Failover", "the nodes: which are here, who is master", ("nodes",), nodes),
            Command(
                name="switchover",
                group="Failover",
                summary="makes another node master, in good order",
                usage=("switchover [NODE]",),
                examples=("switchover", "switchover AUDIO2"),
                handler=hand_over,
                complete=others,
                mutating=True,
            ),
            Command("lease", "Failover", "who holds the lease, and how ZooKeeper is", ("lease",), lease),
            Command("history", "Failover", "the last changes of master, and why", ("history",), history),
            Command(
                name="requeue",
                group="Failover",
                summary="takes over now what a node that is away has to do",
                usage=("requeue --node NODE",),
                examples=("requeue --node AUDIO",),
                handler=take_over,
                complete=away,
                mutating=True,
            ),
            Command(
                name="adopt",
                group="Failover",
                summary="accepts ZooKeeper's data after it lost them",
                usage=("adopt",),
                handler=accept,
                mutating=True,
            ),
            Command(
                name="mode",
                group="System",
                summary="how this node takes part in the election",
                usage=(f"mode {'|'.join(MODES)}",),
                examples=("mode slave", "mode auto"),
                handler=mode,
                complete=first_of(MODES),
                mutating=True,
            ),
        )
    }
    return tuple(commands.values())


def _done(work: Callable[[], str]) -> Result:
    try:
        text = work()
    except HaError as error:
        raise CommandError("refused", str(error)) from error
    return Result({"message": text}, text)


def _node_data(view: View, seen: Seen, timezone: tzinfo) -> dict[str, object]:
    member = seen.member
    role = ("master" if member.name == view.master else "slave") if seen.here else None
    return {
        "name": member.name,
        "role": role,
        "here": seen.here,
        "since": _iso(seen.since, timezone),
        "mode": member.mode,
        "priority": member.priority,
        "facts": dict(member.facts),
    }


def _problems(view: View) -> list[str]:
    return [f"! {problem}" for problem in view.problems]


def _moment(seconds: float, timezone: tzinfo) -> str:
    return moment(int(seconds * 1000), timezone)


def _iso(seconds: float, timezone: tzinfo) -> str | None:
    return iso(int(seconds * 1000), timezone)
