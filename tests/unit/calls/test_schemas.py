"""The installed JSON Schemas, against what is sent and against what must not be."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from daemon.calls import schemas
from daemon.calls.messages import V27_TYPES, render, render_endpoint, render_gap
from daemon.calls.model import Gap
from daemon.directory.endpoints import EndpointChange
from tests.unit.calls.test_messages import ANSWERED, CTX, DTMF, ENDED, RECEIVED, UNANSWERED, V27

FACTS = {
    "received": RECEIVED,
    "received, nothing known": replace(RECEIVED, origin=None, destiny=None),
    "received late": replace(RECEIVED, recovered=True),
    "answered": ANSWERED,
    "answered by an application": replace(ANSWERED, answered_by=None, application="Playback"),
    "answered, click to call": replace(ANSWERED, agent_answertime=1761562803000),
    "digit": DTMF,
    "digit before the answer": replace(DTMF, status=1, by=None),
    "ended": ENDED,
    "ended, click to call": replace(ENDED, agent_answertime=1761562803000),
    "ended, merged": replace(ENDED, merged_into="1761562790.1"),
    **{f"ended {d}": replace(UNANSWERED, disposition=d) for d in ("NO ANSWER", "BUSY", "FAILED", "CANCEL")},
    "ended, two recordings": replace(ENDED, recordings=("a.wav", "b.wav")),
}
MESSAGES = {f"v3, {name}": json.loads(render(fact, CTX).body) for name, fact in FACTS.items()}
CHANGE = EndpointChange("1013010", "online", "192.0.2.10", 1761562800120, 1, False)
MESSAGES |= {
    f"v3, {name}": json.loads(render_endpoint(change, CTX).body)
    for name, change in {
        "endpoint": CHANGE,
        "endpoint went, nothing known": replace(CHANGE, endpoint="unheard-of", state="offline", ip=None),
        "endpoint found late": replace(CHANGE, state="unknown", recovered=True),
    }.items()
}
GAP = Gap(1761562799120, 1761562804456, "the connection was lost: reset by Asterisk", 2)
MESSAGES["v3, gap"] = json.loads(render_gap(GAP, CTX).body)
MESSAGES |= {
    f"v2.7, {name}": json.loads(message.body)
    for name, fact in FACTS.items()
    if (message := render(fact, V27)) is not None
}


def closed(schema: dict) -> dict:
    """The schema with nothing allowed that it does not describe: for ourselves, not for consumers."""
    schema = copy.deepcopy(schema)

    def close(node: dict) -> None:
        if "properties" in node:
            node["additionalProperties"] = False
            for child in node["properties"].values():
                close(child)

    close(schema)
    return schema


def validator(message: dict, *, strict: bool = True) -> jsonschema.Draft202012Validator:
    name = schemas.V27 if "payload" in message else message["operation"]["type"]
    schema = schemas.load(name)
    return jsonschema.Draft202012Validator(closed(schema) if strict else schema)


def test_there_is_one_for_every_type_and_one_for_the_old_form():
    assert schemas.names() == (
        "answered-call",
        "call.v2.7",
        "dtmf",
        "ended-call",
        "endpoint-status",
        "monitor-gap",
        "received-call",
    )


@pytest.mark.parametrize("name", schemas.names())
def test_is_a_valid_schema_and_says_what_it_is_for(name):
    schema = schemas.load(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]

    def described(node: dict, path: str) -> None:
        for key, child in node.get("properties", {}).items():
            assert child.get("title"), f"{path}{key} has no title"
            assert child.get("description"), f"{path}{key} has no description"
            described(child, f"{path}{key}.")

    described(schema, "")


WITHOUT_A_CALL = ("endpoint-status", "monitor-gap")


def test_what_all_types_share_is_the_same_everywhere():
    types = [name for name in schemas.names() if name not in (schemas.V27, *WITHOUT_A_CALL)]
    loaded = [schemas.load(name) for name in types]
    shared = ("call", "origin", "destiny", "creationtime", "client", "origin_guid", "destiny_guid")
    for schema in loaded[1:]:
        for field in shared:
            assert (
                schema["properties"]["data"]["properties"][field]
                == loaded[0]["properties"]["data"]["properties"][field]
            )
        for field in ("id", "timestamp", "version", "server", "seq", "recovered"):
            assert (
                schema["properties"]["operation"]["properties"][field]
                == loaded[0]["properties"]["operation"]["properties"][field]
            )


@pytest.mark.parametrize("name", WITHOUT_A_CALL)
def test_what_has_no_call_still_has_the_same_identity(name):
    mine, other = (schemas.load(each)["properties"]["operation"]["properties"] for each in (name, "dtmf"))
    assert list(mine) == list(other)
    for field in ("id", "timestamp", "version"):
        assert mine[field] == other[field]


def test_unknown_names_are_refused():
    with pytest.raises(FileNotFoundError):
        schemas.load("no-such-type")


@pytest.mark.parametrize("name", MESSAGES)
def test_everything_that_is_sent_validates(name):
    validator(MESSAGES[name]).validate(MESSAGES[name])


@pytest.mark.parametrize("name", MESSAGES)
def test_nothing_can_be_left_out(name):
    check = validator(MESSAGES[name], strict=False)
    for part in ("operation", "data" if "data" in MESSAGES[name] else "payload"):
        for key in MESSAGES[name][part]:
            if key in ("agent_answertime", "merged_into"):
                continue
            broken = copy.deepcopy(MESSAGES[name])
            del broken[part][key]
            assert not check.is_valid(broken), f"valid without {part}.{key}"
        broken = copy.deepcopy(MESSAGES[name])
        del broken[part]
        assert not check.is_valid(broken)


@pytest.mark.parametrize("name", MESSAGES)
def test_no_field_takes_any_type(name):
    check = validator(MESSAGES[name], strict=False)
    for part in ("operation", "data" if "data" in MESSAGES[name] else "payload"):
        for key in MESSAGES[name][part]:
            broken = copy.deepcopy(MESSAGES[name])
            broken[part][key] = {"an": "object"}
            assert not check.is_valid(broken), f"{part}.{key} takes an object"


MUTATIONS = [
    ("v3, received", "operation", "type", "answered-call"),
    ("v3, received", "operation", "id", "019a2553-2f80-4444-b31d-7667f23cc42a"),  # version 4
    ("v3, received", "operation", "id", "019A2553-2F80-7444-B31D-7667F23CC42A"),
    ("v3, received", "operation", "timestamp", "2025-10-27T08:00:00-03:00"),  # no milliseconds
    ("v3, received", "operation", "timestamp", "2025-10-27T11:00:00.123Z"),
    ("v3, received", "operation", "version", 2),
    ("v3, received", "operation", "version", "3"),
    ("v3, received", "operation", "server", "voip.3"),
    ("v3, received", "operation", "seq", 0),
    ("v3, received", "operation", "seq", 1.5),
    ("v3, received", "operation", "recovered", 0),
    ("v3, received", "data", "call", None),
    ("v3, received", "data", "status", 2),
    ("v3, received", "data", "origin", 1013010),
    ("v3, received", "data", "creationtime", None),
    ("v3, answered", "data", "answertime", None),
    ("v3, answered", "data", "status", 1),
    ("v3, digit", "data", "status", 3),
    ("v3, digit", "data", "digit", ""),
    ("v3, digit", "data", "duration_ms", -1),
    ("v3, ended", "data", "disposition", "NOANSWER"),
    ("v3, ended", "data", "duration", -1),
    ("v3, ended", "data", "billsec", 60.5),
    ("v3, ended", "data", "cause", "16"),
    ("v3, ended", "data", "cause_text", None),
    ("v3, ended", "data", "recordings", ["2025/10/27/a.wav"]),
    ("v3, ended", "data", "recordings", ["a.wav", "a.wav"]),
    ("v3, ended", "data", "recordings", None),
    ("v3, ended, merged", "data", "merged_into", None),
    ("v3, endpoint", "data", "endpoint", ""),
    ("v3, endpoint", "data", "state", "Reachable"),
    ("v3, endpoint", "data", "ip", ""),
    ("v3, endpoint", "data", "time", None),
    ("v2.7, received", "payload", "status", 3),
    ("v2.7, received", "operation", "type", "dtmf"),
    ("v2.7, ended", "payload", "status", 4),
]


@pytest.mark.parametrize(("name", "part", "key", "value"), MUTATIONS)
def test_broken_messages_are_refused(name, part, key, value):
    broken = copy.deepcopy(MESSAGES[name])
    broken[part][key] = value
    check = jsonschema.Draft202012Validator(
        schemas.load(schemas.V27 if name.startswith("v2.7") else MESSAGES[name]["operation"]["type"])
    )
    assert check.is_valid(MESSAGES[name])
    assert not check.is_valid(broken)


@pytest.mark.parametrize("name", MESSAGES)
def test_consumers_may_validate_a_message_that_has_gained_a_field(name):
    grown = copy.deepcopy(MESSAGES[name])
    grown["operation"]["new"] = 1
    grown["data" if "data" in grown else "payload"]["new"] = 1
    assert validator(grown, strict=False).is_valid(grown)
    assert not validator(grown).is_valid(grown)


def test_the_old_form_takes_its_three_types_only():
    type_ = schemas.load(schemas.V27)["properties"]["operation"]["properties"]["type"]
    assert tuple(type_["enum"]) == V27_TYPES


DOCS = Path(__file__).parents[3] / "docs" / "messages.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_documentation_has_an_example_of_each():
    names = {
        schemas.V27 if "payload" in message else message["operation"]["type"]
        for message in map(json.loads, EXAMPLES)
    }
    assert names == set(schemas.names())


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_documentation_are_messages(example):
    message = json.loads(example)
    validator(message).validate(message)


@pytest.mark.parametrize("name", [name for name in schemas.names() if name != schemas.V27])
def test_the_documentation_names_every_field(name):
    text = DOCS.read_text(encoding="utf-8")
    for part in schemas.load(name)["properties"].values():
        for field in part["properties"]:
            assert f"`{field}`" in text, field


def test_a_gap_says_when_and_is_the_nodes_own():
    message = render_gap(GAP, CTX)
    assert message.routing_key == f"call.monitor-gap.-.{CTX.server}"
    data = json.loads(message.body)["data"]
    assert (data["from"], data["to"]) == ("2025-10-27T07:59:59.120-03:00", "2025-10-27T08:00:04.456-03:00")
    assert data["calls_reconciled"] == 2
    other = render_gap(GAP, replace(CTX, node="other"))
    assert other.id != message.id
    assert render_gap(GAP, V27) is None
