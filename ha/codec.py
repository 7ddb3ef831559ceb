"""What stands in ZooKeeper's nodes, as JSON and back. Pure.

What another version wrote is read as far as it is understood; what can't be read at all is None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ha.lease import token
from ha.model import Change, Member, Mode

_MODES: tuple[Mode, ...] = ("auto", "master", "slave")


@dataclass(frozen=True, slots=True)
class Epoch:
    """/epoch: who won last. `installation` is that node's data_dir, `version` the data version."""

    generation: int
    version: int
    node: str = ""
    installation: str = ""

    @property
    def token(self) -> int:
        """The epoch as one number."""
        return token(self.generation, self.version)

    def encoded(self) -> bytes:
        """As data of /epoch; `version` must be the one that it will have."""
        return _dump(
            {
                "generation": self.generation,
                "node": self.node,
                "token": self.token,
                "installation": self.installation,
            }
        )


def epoch_of(data: bytes, version: int) -> Epoch | None:
    """/epoch's data, with its data version."""
    found = _load(data)
    generation = found.get("generation")
    if not isinstance(generation, int) or isinstance(generation, bool) or generation < 1:
        return None
    return Epoch(generation, version, _text(found, "node"), _text(found, "installation"))


@dataclass(frozen=True, slots=True)
class Handover:
    """/ctl/switchover: the master of epoch `token` is to give the lease back, for `to` ("": anybody else).

    It is void as soon as there is a newer epoch. `why` is for people.
    """

    token: int
    giver: str
    to: str = ""
    why: str = ""

    def encoded(self) -> bytes:
        """As data of /ctl/switchover."""
        return _dump({"token": self.token, "from": self.giver, "to": self.to, "why": self.why})


def handover_of(data: bytes) -> Handover | None:
    """/ctl/switchover's data."""
    found = _load(data)
    number = found.get("token")
    if not isinstance(number, int):
        return None
    return Handover(number, _text(found, "from"), _text(found, "to"), _text(found, "why"))


def member_data(member: Member, installation: str) -> bytes:
    """A member as data of /nodes/NAME and /members/NAME."""
    return _dump(
        {
            "name": member.name,
            "mode": member.mode,
            "priority": member.priority,
            "installation": installation,
            "facts": dict(member.facts),
        }
    )


def member_of(name: str, data: bytes) -> tuple[Member, str]:
    """The member and its installation; what is missing is taken as the default."""
    found = _load(data)
    mode: Mode = next((each for each in _MODES if each == found.get("mode")), "auto")
    priority = found.get("priority")
    facts = found.get("facts")
    member = Member(
        name,
        mode,
        priority if isinstance(priority, int) else 100,
        facts if isinstance(facts, dict) else {},
    )
    return member, _text(found, "installation")


def history_data(changes: tuple[Change, ...]) -> bytes:
    """/ctl/history."""
    rows = [{"at": c.at, "epoch": c.epoch, "master": c.master, "reason": c.reason} for c in changes]
    return _dump({"changes": rows})


def history_of(data: bytes) -> tuple[Change, ...]:
    """/ctl/history's data, oldest first."""
    rows = _load(data).get("changes")
    changes = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("at"), int | float):
            epoch = row.get("epoch")
            number = epoch if isinstance(epoch, int) else 0
            changes.append(Change(float(row["at"]), number, _text(row, "master"), _text(row, "reason")))
    return tuple(changes)


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _load(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:  # also of what is no UTF-8
        return {}
    return found if isinstance(found, dict) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
