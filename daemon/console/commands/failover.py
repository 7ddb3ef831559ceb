"""Failover: who is master, which nodes there are, the lease, its history; handing over. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo

from daemon.console.registry import Command, Handler, Result, SessionInfo
from daemon.console.render import plain, table
from ha.lease import spelled
from ha.model import Change, Mode, Seen, View

MODES: tuple[Mode, ...] = ("auto", "master", "slave")
_SHOWN = 20
"""Changes that `history` shows to people; programs get all that are kept."""


def failover_commands(
    *,
    view: Callable[[], View],
    switchover: Callable[[str | None], str],
    set_mode: Callable[[Mode], str],
    requeue: Callable[[str], str],
    adopt: Callable[[], str],
    timezone: tzinfo,
) -> tuple[Command, ...]:
    """`nodes`, `switchover`, `lease`, `history`, `requeue`, `adopt`, `mode`.

    What changes something gives a sentence, and raises CommandError or a PermanentError.
    """

    def nodes(_args: Sequence[str], _info: SessionInfo) -> Result:
        now = view()
        rows = [("NODE", "", "ROLE", "MODE", "PRIORITY", "SINCE")]
        for seen in now.members:
            name = seen.member.name
            part = "master" if name == now.master else "slave" if seen.here else "-"
            rows.append(
                (
                    name,
                    "here" if seen.here else "AWAY",
                    part,
                    seen.member.mode,
                    str(seen.member.priority),
                    _short(seen.since, timezone),
                )
            )
        data = {"master": now.master, "nodes": [_member(seen, now.master, timezone) for seen in now.members]}
        text = table(rows, right=(4,))
        if not now.connected:
            text += f"\nAs last seen: {now.backend} is NOT CONNECTED."
        return Result(data, text)

    def lease(_args: Sequence[str], _info: SessionInfo) -> Result:
        now = view()
        data = {
            "backend": now.backend,
            "connected": now.connected,
            "master": now.master,
            "epoch": now.epoch,
            "left_s": None if now.lease_left is None else round(now.lease_left, 3),
            "problems": list(now.problems),
            "advice": list(now.advice),
        }
        left = "" if now.lease_left is None else f", counts for {now.lease_left:.1f} s more"
        text = f"{plain(now.master)} holds the lease under epoch {spelled(now.epoch)}{left}"
        if now.master is None:
            last = spelled(now.epoch)
            text = f"nobody holds the lease, as far as can be seen from here; the last epoch was {last}"
        wrong = [f"WRONG: {each}" for each in now.problems]
        notes = [f"NOTE: {each}" for each in now.advice]
        where = f"{now.backend}, {'connected' if now.connected else 'NOT CONNECTED'}"
        return Result(data, "\n".join((f"{text} ({where}).", *wrong, *notes)))

    def history(_args: Sequence[str], _info: SessionInfo) -> Result:
        changes = view().history
        rows = [("AT", "EPOCH", "MASTER", "WHY")]
        rows += [
            (
                _short(each.at, timezone),
                spelled(each.epoch),
                each.master,
                each.reason.replace("this node", each.master),
            )
            for each in changes[-_SHOWN:]
        ]
        text = table(rows, right=(1,)) if changes else "Nobody has become master yet."
        return Result({"changes": [_change(each, timezone) for each in changes]}, text)

    def switch(args: Sequence[str], _info: SessionInfo) -> Result:
        return _said(switchover(args[0] if args else None))

    def mode(args: Sequence[str], _info: SessionInfo) -> Result:
        if not args:
            return Result({"mode": view().mode}, f"The mode is {view().mode}.")
        wanted = next((each for each in MODES if each == args[0].lower()), None)
        if wanted is None:
            raise commands["mode"].wrong_usage()
        return _said(set_mode(wanted))

    def requeued(args: Sequence[str], _info: SessionInfo) -> Result:
        words = [word for word in args if word != "--node"]
        if len(words) != 1 or len(args) > 2:
            raise commands["requeue"].wrong_usage()
        return _said(requeue(words[0]))

    def adopted(_args: Sequence[str], _info: SessionInfo) -> Result:
        return _said(adopt())

    def others(args: Sequence[str]) -> Sequence[str]:
        return [seen.member.name for seen in view().members] if len(args) == 1 else ()

    def bare(name: str, handler: Handler) -> Handler:
        def checked(args: Sequence[str], info: SessionInfo) -> Result:
            if args:
                raise commands[name].wrong_usage()
            return handler(args, info)

        return checked

    def at_most_one(args: Sequence[str], info: SessionInfo) -> Result:
        if len(args) > 1:
            raise commands["switchover"].wrong_usage()
        return switch(args, info)

    made = (
        Command(
            name="mode",
            group="System",
            summary="whether this node may become master: auto, always, never",
            usage=("mode [auto|master|slave]",),
            handler=mode,
            complete=lambda args: MODES if len(args) == 1 else (),
            mutating=True,
        ),
        _shows("nodes", "all nodes, and whether they are here", bare("nodes", nodes)),
        _shows("lease", "who holds the lease, and for how long", bare("lease", lease)),
        _shows("history", "the last changes of master, and why", bare("history", history)),
        Command(
            name="switchover",
            group="Failover",
            summary="the master hands over, to NODE or to the best other one",
            usage=("switchover [NODE]",),
            handler=at_most_one,
            complete=others,
            mutating=True,
        ),
        Command(
            name="requeue",
            group="Failover",
            summary="takes over another node's unfinished requests now",
            usage=("requeue --node NODE",),
            examples=("requeue --node AUDIO",),
            handler=requeued,
            mutating=True,
        ),
        Command(
            name="adopt",
            group="Failover",
            summary="accepts ZooKeeper's data although they are older",
            usage=("adopt",),
            handler=bare("adopt", adopted),
            mutating=True,
        ),
    )
    commands = {command.name: command for command in made}
    return made


def _shows(name: str, summary: str, handler: Handler) -> Command:
    return Command(name=name, group="Failover", summary=summary, usage=(name,), handler=handler)


def _said(text: str) -> Result:
    return Result({"message": text}, text)


def _member(seen: Seen, master: str | None, timezone: tzinfo) -> dict[str, object]:
    member = seen.member
    return {
        "name": member.name,
        "here": seen.here,
        "master": member.name == master,
        "mode": member.mode,
        "priority": member.priority,
        "since": _iso(seen.since, timezone),
        "facts": dict(member.facts),
    }


def _change(change: Change, timezone: tzinfo) -> dict[str, object]:
    return {
        "at": _iso(change.at, timezone),
        "epoch": change.epoch,
        "master": change.master,
        "reason": change.reason,
    }


def _iso(seconds: float, timezone: tzinfo) -> str | None:
    return datetime.fromtimestamp(seconds, timezone).isoformat(timespec="milliseconds") if seconds else None


def _short(seconds: float, timezone: tzinfo) -> str:
    return datetime.fromtimestamp(seconds, timezone).strftime("%d/%m/%Y %H:%M:%S") if seconds else "-"
