"""Endpoints: those of the definition files, with what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo

from daemon.console.registry import Command, CommandError, Result, SessionInfo
from daemon.console.render import iso, moment, plain, table
from daemon.console.views import EndpointState
from daemon.directory.model import Directory, EndpointEntry

UNKNOWN = EndpointState("unknown")


def endpoints_commands(
    *,
    directories: Callable[[], Mapping[str, Directory]],
    states: Callable[[str, str], EndpointState | None],
    timezone: tzinfo,
) -> tuple[Command, ...]:
    """`list`.

    `directories()` by Asterisk's name; `states(server, endpoint)` is None
    where nothing is known.
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
    )
    return commands


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
