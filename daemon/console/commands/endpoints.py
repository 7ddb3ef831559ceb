"""Endpoints: those of the definition files, with what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from daemon.console.registry import Command, CommandError, Result, SessionInfo
from daemon.console.render import iso, moment, plain, table
from daemon.console.views import EndpointState
from daemon.directory.model import Directory, EndpointEntry

UNKNOWN = EndpointState("unknown")
ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one Asterisk says of its endpoints, asked just now.

    `states` has all that Asterisk has. `error` says why it could not be asked
    (then `states` are what was known), `note` what could not be found out.
    """

    server: str
    states: Mapping[str, EndpointState]
    error: str = ""
    note: str = ""


def endpoints_commands(
    *,
    directories: Callable[[], Mapping[str, Directory]],
    states: Callable[[str, str], EndpointState | None],
    timezone: tzinfo,
    ask: Callable[[], Sequence[Asked]] | None = None,
) -> tuple[Command, ...]:
    """`list`, and `endpoints` where there is somebody to ask.

    `directories()` by Asterisk's name; `states(server, endpoint)` is None
    where nothing is known; `ask()` asks every Asterisk again.
    """

    def list_endpoints(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) > 1:
            raise commands[0].wrong_usage()
        tables = directories()
        client = args[0] if args else None
        if client is not None and client not in _clients(tables):
            raise CommandError("not-found", f"no client {client[:40]!r} in the definition files")
        found = [
            (server, entry, states(server, entry.name) or UNKNOWN)
            for server, directory in sorted(tables.items())
            for entry in sorted(directory.endpoints.values(), key=_natural)
            if client is None or entry.client == client
        ]
        whose = "ALL ENDPOINTS" if client is None else f"ENDPOINTS FOR CLIENT {client}"
        rows = [_row(*one, timezone) + ((one[0],) if len(tables) > 1 else ()) for one in found]
        text = f"=== {whose} ({len(found)}) ==="
        data = {"client": client, "count": len(found), "endpoints": [_data(*one, timezone) for one in found]}
        return Result(data, f"{text}\n{table(rows)}" if rows else text)

    def ask_again(args: Sequence[str], _info: SessionInfo) -> Result:
        if args or ask is None:
            raise commands[1].wrong_usage()
        return _answer(ask(), directories(), timezone)

    def complete(args: Sequence[str]) -> Iterable[str]:
        return _clients(directories()) if len(args) == 1 else ()

    commands = (
        Command(
            name="list",
            aliases=("list_endpoints",),
            group="Endpoints",
            summary="endpoints: type, state, address, since when",
            usage=("list [CLIENT]",),
            examples=("list", "list 101"),
            handler=list_endpoints,
            complete=complete,
        ),
        Command(
            name="endpoints",
            group="Endpoints",
            summary="asks Asterisk again for all endpoints, and counts them",
            usage=("endpoints",),
            examples=("endpoints",),
            handler=ask_again,
        ),
    )
    return commands if ask is not None else commands[:1]


def _answer(answers: Sequence[Asked], tables: Mapping[str, Directory], timezone: tzinfo) -> Result:
    """Those of the definition files, or Asterisk's own where there are none; then the counts."""
    if answers and all(asked.error for asked in answers):
        raise CommandError("failed", "; ".join(f"{asked.server}: {asked.error}" for asked in answers))
    found: list[tuple[str, EndpointEntry, EndpointState]] = []
    lines: list[str] = []
    notes: list[dict[str, object]] = []
    for asked in sorted(answers, key=lambda each: each.server):
        defined = tables.get(asked.server, Directory()).endpoints
        entries = defined or {name: EndpointEntry(name) for name in asked.states}
        for entry in sorted(entries.values(), key=_natural):
            found.append((asked.server, entry, asked.states.get(entry.name, UNKNOWN)))
        others = sorted(name for name in asked.states if name not in entries)
        lines += [f"{asked.server}: {plain(said)}" for said in (asked.error, asked.note) if said]
        if others:
            lines.append(f"{asked.server}: in no definition file, not counted: {plain(_some(others))}")
        told = {"error": asked.error or None, "note": asked.note or None, "undefined": others}
        notes.append({"server": asked.server, **told})
    rows = [_row(*one, timezone) + ((one[0],) if len(answers) > 1 else ()) for one in found]
    active = sum(state.state == ONLINE for _, _, state in found)
    counts = {"active": active, "offline": len(found) - active, "total": len(found)}
    totals = [f"{what.capitalize()}: {number}" for what, number in counts.items()]
    listed = [f"=== ALL ENDPOINTS ({len(found)}) ===", *([table(rows)] if rows else [])]
    data = {**counts, "asterisk": notes, "endpoints": [_data(*one, timezone) for one in found]}
    return Result(data, "\n".join((*listed, *lines, *totals)))


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _clients(tables: Mapping[str, Directory]) -> set[str]:
    """Clients that have a section, and those that only endpoints name."""
    known: set[str] = set()
    for directory in tables.values():
        known.update(directory.clients)
        known.update(entry.client for entry in directory.endpoints.values() if entry.client)
    return known


def _natural(entry: EndpointEntry) -> tuple[int, str]:
    return (len(entry.name), entry.name) if entry.name.isdecimal() else (1 << 30, entry.name)


def _row(_server: str, entry: EndpointEntry, state: EndpointState, timezone: tzinfo) -> tuple[str, ...]:
    since = moment(state.since, timezone)
    return (entry.name, plain(entry.type), state.state, plain(state.address), since)


def _data(server: str, entry: EndpointEntry, state: EndpointState, timezone: tzinfo) -> dict[str, object]:
    return {
        "endpoint": entry.name,
        "client": entry.client or None,
        "type": entry.type or None,
        "state": state.state,
        "address": state.address,
        "since": iso(state.since, timezone),
        "server": server,
    }
