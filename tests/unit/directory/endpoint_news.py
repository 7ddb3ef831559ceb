"""News of one endpoint, 1013010, for the tests of the table: events and looks in milliseconds after T0."""

from __future__ import annotations

import json

from daemon.ari.events import Event, millis, parse
from daemon.directory.contacts import Contact
from daemon.directory.endpoints import EndpointChange, EndpointTable, Look

T0 = millis("2026-11-20T16:00:00.000+0000")
NOW = T0 / 1000 + 0.004


def at(ms: int) -> str:
    return f"2026-11-20T16:00:{ms // 1000:02}.{ms % 1000:03}+0000"


def contact(ms: int, state: str, status: str, ip: str = "192.0.2.10", name: str = "1013010") -> Event:
    return parse(
        json.dumps(
            {
                "type": "ContactStatusChange",
                "timestamp": at(ms),
                "endpoint": {"technology": "PJSIP", "resource": name, "state": state},
                "contact_info": {
                    "uri": f"sip:{name}@{ip}" if ":" in ip else f"sip:{name}@{ip}:5060",
                    "contact_status": status,
                    "aor": name,
                },
            }
        )
    )


def peer(ms: int, state: str, technology: str = "PJSIP", kind: str = "PeerStatusChange") -> Event:
    return parse(
        json.dumps(
            {
                "type": kind,
                "timestamp": at(ms),
                "endpoint": {"technology": technology, "resource": "1013010", "state": state},
                "peer": {"peer_status": "Reachable" if state == "online" else "Unreachable"},
            }
        )
    )


def run(table: EndpointTable, *events: Event, settle: bool = True) -> list[tuple[str, str | None, int]]:
    """State, address, milliseconds after T0 of what the events make, in a row and then a second of quiet."""
    changes: list[EndpointChange] = []
    for event in events:
        changes += table.apply(event, NOW)
        changes += table.tick(NOW)
    if settle:
        changes += table.tick(NOW + 1.0)
    assert all(not change.recovered for change in changes)
    return [(change.state, change.ip, change.at - T0) for change in changes]


def look(ms: int, state: str = "online", *ips: str, started: int | None = None, **others: str) -> Look:
    """1013010 in `state`, at `ips` (none given: nobody knows)."""
    contacts = tuple(Contact("1013010", f"sip:1013010@{ip}:5060") for ip in ips) or None
    begun = None if started is None else T0 + started
    return Look(T0 + ms, {"1013010": state, **others}, contacts, started=begun)


def use(table: EndpointTable, seen: Look, now: float = NOW) -> list[EndpointChange]:
    table.take(seen, now)
    assert table.tick(now + 0.9) == []
    return table.tick(now + 1.0)
