"""What the admin is told by mail: which kinds of trouble there are now, and which to tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["mailbox", "outbox", "disk", "gap", "answers"]

EVERY = 3600.0
"""Seconds between two mails of one kind."""
MAILBOX_AWAY = 300.0
OUTBOX_OLD = 600.0
LOW_DISK = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """How things are. Seconds; None: nothing of the kind. `gaps` counts since the start."""

    mailbox_away: float | None = None
    mailbox_problem: str = ""
    outbox_oldest: float = 0.0
    outbox_messages: int = 0
    free_bytes: int | None = None
    data_dir: str = ""
    gaps: int = 0
    undeliverable: int = 0


def troubles(now: Facts, before: Facts) -> dict[Kind, str]:
    """One English sentence for each kind of trouble there is."""
    found: dict[Kind, str] = {}
    if now.mailbox_away is not None and now.mailbox_away >= MAILBOX_AWAY:
        found["mailbox"] = (
            f"The mailbox has not been read for {now.mailbox_away / 60:.0f} minutes: {now.mailbox_problem}"
        )
    if now.outbox_oldest >= OUTBOX_OLD:
        found["outbox"] = (
            f"{now.outbox_messages} call messages wait for the broker,"
            f" the oldest for {now.outbox_oldest / 60:.0f} minutes."
        )
    if now.free_bytes is not None and now.free_bytes < LOW_DISK:
        found["disk"] = f"The disk of {now.data_dir} has {now.free_bytes >> 20} MB left."
    if now.gaps > before.gaps:
        found["gap"] = (
            f"Events of Asterisk may have been missed {now.gaps - before.gaps} times: see monitor-gap."
        )
    if now.undeliverable > before.undeliverable:
        found["answers"] = "An answer could not be delivered: `arimonitor ctl queue failed` names it."
    return found


def to_tell(found: Mapping[Kind, str], told: Mapping[Kind, float], now: float) -> dict[Kind, str]:
    """Those of which there was no mail within the hour. `told` is when, in seconds."""
    return {kind: text for kind, text in found.items() if now - told.get(kind, float("-inf")) >= EVERY}
