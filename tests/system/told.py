"""Messages as a consumer reads them, held against EXPECTED.txt and the CDR, and validated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jsonschema

from daemon.calls import schemas
from daemon.calls.model import Answered, Dtmf, Ended, Fact, Received
from tests.unit.calls.test_schemas import closed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(closed(schemas.load(kind)))


def validate(message: dict[str, Any]) -> None:
    """By the installed schema of its type, and nothing that the schema does not describe."""
    _validator(message["operation"]["type"]).validate(message)


def millis(text: str) -> int:
    """ISO 8601 as milliseconds since the epoch."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def fact(message: dict[str, Any]) -> Fact:
    """What a message says, in the tracker's own words."""
    operation, data = message["operation"], message["data"]
    common = {
        "call": data["call"],
        "created": millis(data["creationtime"]),
        "origin": data["origin"],
        "destiny": data["destiny"],
        "seq": operation["seq"],
        "recovered": operation["recovered"],
    }
    agent = millis(data["agent_answertime"]) if "agent_answertime" in data else None
    match operation["type"]:
        case "received-call":
            assert data["status"] == 1
            return Received(**common)
        case "answered-call":
            assert data["status"] == 2
            return Answered(
                **common,
                answertime=millis(data["answertime"]),
                answered_by=data["answered_by"],
                application=data["application"],
                agent_answertime=agent,
            )
        case "dtmf":
            return Dtmf(
                **common,
                status=data["status"],
                digit=data["digit"],
                by=data["by"],
                channel="",
                at=0,
                duration_ms=data["duration_ms"],
            )
        case "ended-call":
            assert data["status"] == 3
            return Ended(
                **common,
                endtime=millis(data["endtime"]),
                duration=data["duration"],
                billsec=data["billsec"],
                disposition=data["disposition"],
                cause=data["cause"],
                cause_text=data["cause_text"],
                hangup_by=data["hangup_by"],
                answertime=millis(data["answertime"]) if data["answertime"] else None,
                answered_by=data["answered_by"],
                agent_answertime=agent,
                recordings=tuple(data["recordings"]),
                merged_into=data.get("merged_into"),
            )
    raise AssertionError(f"a message of type {operation['type']}")
