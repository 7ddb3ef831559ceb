"""Calls: those that go on, and events as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from fnmatch import fnmatchcase

from daemon.console.live import Feed, LiveEvent, as_data, as_line
from daemon.console.registry import Command, Item, Result, SessionInfo, Sink, Subscribe, first_of
from daemon.console.render import count, duration, iso, plain, table
from daemon.console.views import CallRow

STATUS_WORDS = {1: "ringing", 2: "answered"}


def calls_commands(
    *,
    calls: Callable[[], Sequence[CallRow]],
    event_counts: Callable[[], Mapping[str, Mapping[str, int]]],
    feed: Feed,
    timezone: tzinfo,
    now: Callable[[], float],
) -> tuple[Command, ...]:
    """`calls` and `events`.

    `calls()` in the order to show them; `event_counts()` by Asterisk's name,
    then by type; `now()` in seconds since the epoch.
    """

    def list_calls(args: Sequence[str], _info: SessionInfo) -> Result:
        if args:
            raise commands["calls"].wrong_usage()
        rows = list(calls())
        data = {"count": len(rows), "calls": [call_data(row, timezone) for row in rows]}
        return Result(data, _calls_text(rows, now()))

    def events(args: Sequence[str], _info: SessionInfo) -> Result:
        if args and args[0].lower() == "follow":
            return follow(args[1:])
        if args:
            raise commands["events"].wrong_usage()
        by_server = {server: dict(types) for server, types in event_counts().items()}
        total = sum(sum(types.values()) for types in by_server.values())
        return Result({"total": total, "by_server": by_server}, _counts_text(by_server, total))

    def follow(types: Sequence[str]) -> Result:
        patterns = [pattern.lower() for pattern in types]
        what = ", ".join(types) if types else "all types"
        text = f"Following events ({what}); Enter or Ctrl-C stops."
        data = {"following": True, "types": list(types)}
        return Result(data, text, stream=_stream(feed, patterns, timezone))

    commands = {
        command.name: command
        for command in (
            Command("calls", "Calls", "the calls that go on now", ("calls",), list_calls),
            Command(
                name="events",
                group="Calls",
                summary="events by type; follow: each one as it comes",
                usage=("events [follow]", "events follow [TYPE...]"),
                examples=("events", "events follow", "events follow Dial Channel*"),
                handler=events,
                complete=first_of(("follow",)),
            ),
        )
    }
    return tuple(commands.values())


def _stream(feed: Feed, patterns: Sequence[str], timezone: tzinfo) -> Subscribe:
    def subscribe(sink: Sink) -> Callable[[], None]:
        def watch(live: LiveEvent) -> None:
            name = live.event.type.lower()
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
                sink(Item(as_data(live), as_line(live, timezone)))

        return feed.subscribe(watch)

    return subscribe


def call_data(row: CallRow, timezone: tzinfo) -> dict[str, object]:
    """A running call for programs, as `calls` and /api/calls have it."""
    return {
        "server": row.server,
        "call": row.call,
        "client": row.client,
        "origin": row.origin,
        "destiny": row.destiny,
        "status": row.status,
        "creationtime": iso(row.since, timezone),
        "legs": row.legs,
    }


def _calls_text(rows: Sequence[CallRow], now: float) -> str:
    if not rows:
        return "No calls now."
    lines = [("SERVER", "CALL", "CLIENT", "ORIGIN", "DESTINY", "STATUS", "FOR", "LEGS")]
    for row in rows:
        status = STATUS_WORDS.get(row.status, str(row.status))
        lasts = duration(now - row.since / 1000)
        names = (plain(row.client), plain(row.origin), plain(row.destiny))
        lines.append((row.server, row.call, *names, status, lasts, str(row.legs)))
    calls = "1 call" if len(rows) == 1 else f"{count(len(rows))} calls"
    return f"{table(lines, right=(6, 7))}\n{calls}."


def _counts_text(by_server: Mapping[str, Mapping[str, int]], total: int) -> str:
    if not total:
        return "No events yet."
    servers = sorted(by_server)
    sums: dict[str, int] = {}
    for types in by_server.values():
        for name, number in types.items():
            sums[name] = sums.get(name, 0) + number
    apart = servers if len(servers) > 1 else []
    rows = [("EVENT", *apart, "TOTAL")]
    for name in sorted(sums, key=lambda name: (-sums[name], name)):
        numbers = [count(by_server[server].get(name, 0)) for server in apart]
        rows.append((name, *numbers, count(sums[name])))
    rows.append(("all", *(count(sum(by_server[server].values())) for server in apart), count(total)))
    return table(rows, right=range(1, len(apart) + 2))
