"""Facts rendered: every expected message is written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.calls.messages import Context, iso, render
from daemon.calls.model import Answered, Dtmf, Ended, Received
from daemon.directory.model import Client, Directory, EndpointEntry, MessageServer

DIRECTORY = Directory(
    clients={
        "101": Client("101", "Condominio Exemplo", "main"),
        "102": Client("102", "Outro Exemplo", "nowhere"),
        "a.b#*ç": Client("a.b#*ç"),
    },
    endpoints={
        "1013010": EndpointEntry("1013010", "101", "condominio", "01900000-0000-7000-8000-000000000010"),
        "1013015": EndpointEntry("1013015", "101", "condominio", ""),
        "1021000": EndpointEntry("1021000", "102", "", "01900000-0000-7000-8000-000000000020"),
        "1031000": EndpointEntry("1031000", "a.b#*ç"),
        "1041000": EndpointEntry("1041000"),
    },
    servers={"main": MessageServer("main", "mq.example.com")},
)
CTX = Context(
    server="voip3",
    node="AUDIO2",
    directory=DIRECTORY,
    timezone=ZoneInfo("America/Sao_Paulo"),
    message_format="v3",
    now_ms=1761562800123,
)
V27 = replace(CTX, message_format="v2.7")
CALL = {
    "call": "1761562800.42",
    "created": 1761562800120,
    "origin": "1013010",
    "destiny": "1013015",
    "recovered": False,
}
RECEIVED = Received(**CALL, seq=1)
ANSWERED = Answered(
    **CALL, seq=2, answertime=1761562805001, answered_by="1013015", application=None, agent_answertime=None
)
DTMF = Dtmf(
    **CALL,
    seq=3,
    status=2,
    digit="#",
    by="1013015",
    channel="1761562800.42",
    at=1761562805250,
    duration_ms=120,
)
ENDED = Ended(
    **CALL,
    seq=4,
    endtime=1761562865999,
    duration=65,
    billsec=60,
    disposition="ANSWERED",
    cause=16,
    cause_text="Normal Clearing",
    hangup_by="1013010",
    answertime=1761562805001,
    answered_by="1013015",
    agent_answertime=None,
    recordings=("internal-1013010-1013015-20251027-110000-1761562800.42.wav",),
    merged_into=None,
)
UNANSWERED = replace(
    ENDED,
    billsec=0,
    disposition="CANCEL",
    cause=None,
    cause_text="",
    hangup_by=None,
    answertime=None,
    answered_by=None,
    recordings=(),
)

DATA = {
    "call": "1761562800.42",
    "origin": "1013010",
    "destiny": "1013015",
    "status": 1,
    "creationtime": "2025-10-27T08:00:00.120-03:00",
    "client": "101",
    "origin_guid": "01900000-0000-7000-8000-000000000010",
    "destiny_guid": None,
}


def body(fact, ctx=CTX):
    message = render(fact, ctx)
    assert message is not None
    return json.loads(message.body)


def data(fact, ctx=CTX):
    return body(fact, ctx)["data"]


def test_received_call_whole():
    message = render(RECEIVED, CTX)
    assert message is not None
    id_ = "019a2553-2f80-7444-b31d-7667f23cc42a"  # the first vector of test_ids
    assert json.loads(message.body) == {
        "operation": {
            "type": "received-call",
            "id": id_,
            "timestamp": "2025-10-27T08:00:00.123-03:00",
            "version": 3,
            "server": "voip3",
            "seq": 1,
            "recovered": False,
        },
        "data": DATA,
    }
    assert list(json.loads(message.body)["data"]) == list(DATA)
    assert message.id == id_
    assert message.type == "received-call"
    assert message.order == "voip3/1761562800.42"
    assert message.broker == "main"
    assert message.routing_key == "call.received-call.101.voip3"
    assert message.headers == {
        "server": "voip3",
        "client": "101",
        "node": "AUDIO2",
        "x-deduplication-header": id_,
    }
    assert message.timestamp == 1761562800


def test_answered_call():
    assert body(ANSWERED)["operation"]["type"] == "answered-call"
    assert data(ANSWERED) == {
        **DATA,
        "status": 2,
        "answertime": "2025-10-27T08:00:05.001-03:00",
        "answered_by": "1013015",
        "application": None,
    }


def test_answered_by_an_application_of_asterisk():
    said = data(replace(ANSWERED, answered_by=None, application="Queue"))
    assert (said["answered_by"], said["application"]) == (None, "Queue")


def test_a_click_to_call_says_when_the_agent_answered():
    assert (
        data(replace(ANSWERED, agent_answertime=1761562803000))["agent_answertime"]
        == "2025-10-27T08:00:03.000-03:00"
    )
    assert (
        data(replace(UNANSWERED, agent_answertime=1761562803000))["agent_answertime"]
        == "2025-10-27T08:00:03.000-03:00"
    )


def test_dtmf():
    assert body(DTMF)["operation"]["type"] == "dtmf"
    assert body(DTMF)["operation"]["id"] == "019a2553-2f80-79f2-853a-d197a67e657a"  # the second vector
    assert data(DTMF) == {**DATA, "status": 2, "digit": "#", "by": "1013015", "duration_ms": 120}


def test_a_digit_before_the_answer_has_the_status_of_the_call():
    assert data(replace(DTMF, status=1))["status"] == 1


@pytest.mark.parametrize("change", [{"channel": "1761562800.43"}, {"at": 1761562805251}, {"digit": "1"}])
def test_digits_are_told_apart(change):
    assert body(replace(DTMF, **change))["operation"]["id"] != body(DTMF)["operation"]["id"]


def test_ended_call():
    assert body(ENDED)["operation"]["type"] == "ended-call"
    assert data(ENDED) == {
        **DATA,
        "status": 3,
        "endtime": "2025-10-27T08:01:05.999-03:00",
        "duration": 65,
        "billsec": 60,
        "disposition": "ANSWERED",
        "cause": 16,
        "cause_text": "Normal Clearing",
        "hangup_by": "1013010",
        "answertime": "2025-10-27T08:00:05.001-03:00",
        "answered_by": "1013015",
        "recordings": ["internal-1013010-1013015-20251027-110000-1761562800.42.wav"],
    }


def test_what_is_not_known_is_null_and_its_key_is_there():
    assert data(replace(UNANSWERED, origin=None, destiny=None)) == {
        **DATA,
        "origin": None,
        "destiny": None,
        "client": None,
        "origin_guid": None,
        "status": 3,
        "endtime": "2025-10-27T08:01:05.999-03:00",
        "duration": 65,
        "billsec": 0,
        "disposition": "CANCEL",
        "cause": None,
        "cause_text": "",
        "hangup_by": None,
        "answertime": None,
        "answered_by": None,
        "recordings": [],
    }


def test_a_merged_call_names_the_one_that_goes_on():
    assert data(replace(ENDED, merged_into="1761562790.1"))["merged_into"] == "1761562790.1"


# What two copies of one fact may differ in: the id does not.
@pytest.mark.parametrize("fact", [RECEIVED, ANSWERED, DTMF, ENDED])
def test_the_id_is_of_the_fact_alone(fact):
    other_node = replace(
        CTX, node="AUDIO", now_ms=1761569999999, timezone=ZoneInfo("UTC"), directory=Directory()
    )
    copy = replace(fact, seq=fact.seq + 7, recovered=True)
    assert render(fact, CTX).id == render(copy, other_node).id
    assert render(fact, CTX).id == (render(fact, V27) or render(fact, CTX)).id
    assert render(fact, CTX).id != render(fact, replace(CTX, server="voip2")).id


def test_a_fact_found_late_says_so():
    assert body(replace(RECEIVED, recovered=True))["operation"]["recovered"] is True


# origin, destiny -> client in data, broker, word in the routing key, header
CLIENTS = [
    ("1013010", "1021000", "101", "main", "101", "101"),
    ("1021000", "1013010", "102", "", "102", "102"),  # its mq= names no known server
    ("0119999", "1013010", "101", "main", "101", "101"),  # an outside caller: the destiny's
    (None, "1013010", "101", "main", "101", "101"),
    ("1041000", "1013010", "101", "main", "101", "101"),  # the origin is known, its client is not
    ("1031000", None, "a.b#*ç", "", "a_b___", "a.b#*ç"),  # no topic level, no wildcard in a routing key
    ("0119999", "600", None, "", "-", "-"),
    (None, None, None, "", "-", "-"),
]


@pytest.mark.parametrize(("origin", "destiny", "client", "broker", "word", "header"), CLIENTS)
def test_client_and_where_its_messages_go(origin, destiny, client, broker, word, header):
    message = render(replace(RECEIVED, origin=origin, destiny=destiny), CTX)
    assert message is not None
    assert json.loads(message.body)["data"]["client"] == client
    assert message.broker == broker
    assert message.routing_key == f"call.received-call.{word}.voip3"
    assert message.headers["client"] == header


def test_a_client_of_any_length_leaves_a_routing_key_that_amqp_can_carry():
    long = "9" * 300
    directory = Directory(endpoints={"1013010": EndpointEntry("1013010", long)})
    message = render(RECEIVED, replace(CTX, directory=directory))
    assert message is not None
    assert len(message.routing_key.encode()) <= 255
    assert json.loads(message.body)["data"]["client"] == long


def test_guids_of_both_ends():
    said = data(replace(RECEIVED, origin="1013015", destiny="1021000"))
    assert (said["origin_guid"], said["destiny_guid"]) == (None, "01900000-0000-7000-8000-000000000020")


@pytest.mark.parametrize(
    ("fact", "type_", "status"),
    [(RECEIVED, "received-call", 1), (ANSWERED, "answered-call", 2), (ENDED, "ended-call", 3)],
)
def test_v27_whole(fact, type_, status):
    message = render(fact, V27)
    assert message is not None
    assert json.loads(message.body) == {
        "operation": {"type": type_, "id": message.id, "timestamp": "2025-10-27T08:00:00.123-03:00"},
        "payload": {
            "origin": "1013010",
            "destiny": "1013015",
            "status": status,
            "creationtime": "2025-10-27T08:00:00.120-03:00",
        },
    }
    assert message.routing_key == f"call.{type_}.101.voip3"
    assert message.broker == "main"
    assert message.headers["x-deduplication-header"] == message.id


def test_v27_has_no_digits():
    assert render(DTMF, V27) is None


TIMES = [
    (1761562800123, "America/Sao_Paulo", "2025-10-27T08:00:00.123-03:00"),
    (1761562800000, "America/Sao_Paulo", "2025-10-27T08:00:00.000-03:00"),
    (1761562800123, "UTC", "2025-10-27T11:00:00.123+00:00"),
    (1761562800123, "Asia/Kathmandu", "2025-10-27T16:45:00.123+05:45"),
    # Clocks go back in Lisbon: the same wall time twice, told apart by the offset.
    (1761438600001, "Europe/Lisbon", "2025-10-26T01:30:00.001+01:00"),
    (1761442200001, "Europe/Lisbon", "2025-10-26T01:30:00.001+00:00"),
    # What can't be written becomes the nearest that can.
    (-5, "UTC", "1970-01-01T00:00:00.000+00:00"),
    (10**18, "Pacific/Kiritimati", "9999-12-30T14:00:00.000+14:00"),
]


@pytest.mark.parametrize(("moment", "zone", "written"), TIMES)
def test_times(moment, zone, written):
    assert iso(moment, ZoneInfo(zone)) == written


@given(st.integers(min_value=0, max_value=4102444799999))
def test_no_millisecond_is_lost_in_writing(moment):
    back = datetime.fromisoformat(iso(moment, ZoneInfo("America/Sao_Paulo")))
    assert (back - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == moment


@given(
    st.text(st.characters(exclude_categories=("Cs",))),
    st.text(st.characters(exclude_categories=("Cs",))),
    st.integers(-(10**18), 10**18),
)
def test_whatever_asterisk_says_becomes_a_message(origin, call, created):
    message = render(replace(ENDED, origin=origin, call=call, created=created, hangup_by=origin), CTX)
    assert message is not None
    said = json.loads(message.body)
    assert (said["data"]["origin"], said["data"]["call"]) == (origin, call)
    assert UUID(message.id).version == 7
