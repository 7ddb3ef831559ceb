"""Asterisk's CDR file read for calls that nobody saw: what a gap hid. Pure.

`cdr-csv/Master.csv` with `loguniqueid = yes` has a row for each pair of legs,
with whole seconds. A call is told from it only if no event of it was seen; its
times come from the uniqueid, whose first part is when the channel was made,
and from the row's lengths, so that the Asterisk's time zone does not matter.
The uniqueid is chosen a moment before the channel's creation time is taken,
with which the row begins: at the turn of a second the row is right, and the
ids of facts need the right second.

Source: docs.asterisk.org, "CDR Storage Backends", and main/cdr.c.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from daemon.calls.afterwards import facts_of
from daemon.calls.call import natural
from daemon.calls.channel import parse_name, second_of
from daemon.calls.model import Fact
from daemon.calls.outcome import IsEndpoint
from daemon.calls.recorded import Recorded

_FIELDS = 18


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `created`, `answered` and `ended` in ms, cut to the second."""

    uniqueid: str
    source: str
    destination: str
    channel: str
    peer: str
    application: str
    created: int
    answered: int | None
    ended: int
    duration: int
    billsec: int
    disposition: str


def read(lines: Iterable[str]) -> Iterator[Row]:
    """The rows that can be used: those with a uniqueid `EPOCH.COUNTER`."""
    for fields in csv.reader(line.replace("\x00", "") for line in lines):
        row = _row(fields)
        if row is not None:
            yield row


def _row(fields: list[str]) -> Row | None:
    if len(fields) < _FIELDS - 1:
        return None
    made = second_of(fields[16])
    if made is None or not (fields[12].isdecimal() and fields[13].isdecimal()):
        return None
    created = _created(made, fields[9])
    duration, billsec = int(fields[12]), int(fields[13])
    ended = created + duration * 1000
    return Row(
        uniqueid=fields[16],
        source=fields[1],
        destination=fields[2],
        channel=fields[5],
        peer=fields[6],
        application=fields[7],
        created=created,
        answered=ended - billsec * 1000 if fields[10] else None,
        ended=ended,
        duration=duration,
        billsec=billsec,
        disposition=fields[14],
    )


def _created(epoch: int, start: str) -> int:
    """In ms: by the uniqueid, or a second later where the row's start (`2026-11-21 01:32:26`) says so."""
    return (epoch + (start[-3:] == f":{(epoch + 1) % 60:02d}")) * 1000


def missed(
    rows: Iterable[Row],
    known: Callable[[str], bool],
    since: int,
    is_endpoint: IsEndpoint,
    files: Iterable[Recorded] = (),
) -> dict[str, list[Fact]]:
    """The facts of calls that began at or after `since` (ms) and of which no channel is `known`, by call.

    `files` may have their recordings, which the CDR does not know.
    Rows of channels that another row had as its peer (a transferred leg, the
    second half of a Local channel) belong to that row's call.
    """
    table = sorted(rows, key=lambda row: (row.created, natural(row.uniqueid)))
    peers = {_without_half(row.peer) for row in table if row.peer}
    by_call: dict[str, list[Row]] = {}
    for row in table:
        if row.created >= since and _without_half(row.channel) not in peers:
            by_call.setdefault(row.uniqueid, []).append(row)
    recordings: dict[str, list[str]] = {}
    for file in files:
        recordings.setdefault(file.uniqueid, []).append(file.name)
    return {
        call: _facts(found, is_endpoint, recordings.get(call, []))
        for call, found in by_call.items()
        if not any(known(row.uniqueid) for row in found)
    }


def _facts(rows: list[Row], is_endpoint: IsEndpoint, recordings: Iterable[str]) -> list[Fact]:
    first = rows[0]
    origin = _party(first.channel, first.source, is_endpoint)
    answered = [row for row in rows if row.answered is not None and row.disposition == "ANSWERED"]
    longest = max(answered or rows, key=lambda row: row.duration)
    answer = min((row.answered for row in answered if row.answered is not None), default=None)
    by = _party(answered[0].peer, "", is_endpoint) if answered and answered[0].peer else None
    return facts_of(
        (first.uniqueid, first.created, origin, first.destination or None),
        answer=answer,
        answered_by=by,
        application=answered[0].application or None if answered and by is None else None,
        end=max(row.ended for row in rows),
        duration=longest.duration,
        billsec=longest.billsec,
        disposition=longest.disposition,
        recordings=recordings,
    )


def _party(channel: str, number: str, is_endpoint: IsEndpoint) -> str | None:
    name = parse_name(channel)
    if name.is_local:
        return number or name.peer.partition("@")[0] or None
    return name.peer if is_endpoint(name.peer) or not number else number


def _without_half(channel: str) -> str:
    return channel.partition(";")[0]
