"""Ours against another system's: what differs, and what does not count as different."""

from __future__ import annotations

import copy
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from daemon.calls.compare import Comparison, NotAMessage, compare, moment, understand

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def v3(type_, *, call="1761562800.42", id_=None, server="voip3", **data):
    return {
        "operation": {
            "type": type_,
            "id": id_ or f"{type_} of {call}",
            "timestamp": "2025-10-27T11:00:00.123-03:00",
            "version": 3,
            "server": server,
            "seq": 1,
            "recovered": False,
        },
        "data": {
            "call": call,
            "origin": "1013010",
            "destiny": "1013015",
            "status": {"received-call": 1, "answered-call": 2, "ended-call": 3}.get(type_, 2),
            "creationtime": "2025-10-27T11:00:00.120-03:00",
            "client": "101",
            **data,
        },
    }


def old(type_, *, body="payload", **fields):
    return {
        "operation": {"type": type_, "id": "whatever", "timestamp": "2025-10-27T11:00:00"},
        body: {
            "origin": "1013010",
            "destiny": "1013015",
            "status": {"received-call": 1, "answered-call": 2, "ended-call": 3}[type_],
            "creationtime": "2025-10-27T11:00:00.120-03:00",
            **fields,
        },
    }


RECEIVED = v3("received-call")
ANSWERED = v3("answered-call", answertime="2025-10-27T11:00:05.001-03:00", answered_by="1013015")
ENDED = v3(
    "ended-call",
    endtime="2025-10-27T11:01:05.999-03:00",
    duration=65,
    billsec=60,
    disposition="ANSWERED",
    cause=16,
    hangup_by=None,
    recordings=["a.wav", "b.wav"],
)
CALL = [RECEIVED, ANSWERED, ENDED]
OLD_CALL = [old("received-call"), old("answered-call"), old("ended-call")]
NAME = "call 1761562800.42 (1013010 -> 1013015, 2025-10-27T14:00:00.120+00:00)"


def compared(ours, theirs, **options) -> Comparison:
    return compare(
        [understand(m, SAO_PAULO) for m in ours],
        [understand(m, SAO_PAULO) for m in theirs],
        zone=SAO_PAULO,
        **options,
    )


def said(ours, theirs, **options) -> list[str]:
    comparison = compared(ours, theirs, **options)
    assert comparison.exit_code == (1 if comparison.differences else 0)
    return [str(difference) for difference in comparison.differences]


def changed(message, part, **fields):
    message = copy.deepcopy(message)
    message[part].update(fields)
    return message


def test_the_same_is_the_same():
    comparison = compared(CALL, CALL)
    assert comparison.exit_code == 0
    assert comparison.lines() == ["1 calls on both sides, 0 differences"]


def test_two_copies_of_one_fact_are_the_same():
    copies = [
        changed(m, "operation", timestamp="2026-01-01T00:00:00.000+00:00", seq=9, recovered=True)
        for m in CALL
    ]
    assert said(CALL, [*copies, *CALL]) == []


# what they say in place of what we say -> what is reported
FIELDS = [
    (RECEIVED, "destiny", "600", ["received-call: destiny: ours '1013015', theirs '600'"]),
    (RECEIVED, "client", None, ["received-call: client: ours '101', theirs null"]),
    (RECEIVED, "status", 2, ["received-call: status: ours 1, theirs 2"]),
    (RECEIVED, "status", True, ["received-call: status: ours 1, theirs True"]),
    (RECEIVED, "new", 1, ["received-call: new: ours absent, theirs 1"]),
    (ENDED, "disposition", "BUSY", ["ended-call: disposition: ours 'ANSWERED', theirs 'BUSY'"]),
    (ENDED, "cause", None, ["ended-call: cause: ours 16, theirs null"]),
    # within a second of the CDR's whole seconds
    (ENDED, "duration", 66, []),
    (ENDED, "duration", 64, []),
    (ENDED, "duration", 67, ["ended-call: duration: ours 65, theirs 67"]),
    (ENDED, "billsec", 59.2, []),
    (ENDED, "billsec", 58, ["ended-call: billsec: ours 60, theirs 58"]),
    (ENDED, "billsec", None, ["ended-call: billsec: ours 60, theirs null"]),
    # moments, not texts
    (ENDED, "endtime", "2025-10-27T14:01:05.999+00:00", []),
    (ENDED, "endtime", "2025-10-27T14:01:05.999Z", []),
    (
        ENDED,
        "endtime",
        "2025-10-27T11:01:05.998-03:00",
        [
            "ended-call: endtime: ours '2025-10-27T11:01:05.999-03:00', "
            "theirs '2025-10-27T11:01:05.998-03:00'",
        ],
    ),
    (
        ENDED,
        "endtime",
        "soon",
        ["ended-call: endtime: ours '2025-10-27T11:01:05.999-03:00', theirs 'soon'"],
    ),
    # a list without an order
    (ENDED, "recordings", ["b.wav", "a.wav"], []),
    (
        ENDED,
        "recordings",
        ["a.wav"],
        ["ended-call: recordings: ours ['a.wav', 'b.wav'], theirs ['a.wav']"],
    ),
]


@pytest.mark.parametrize(("message", "field", "value", "expected"), FIELDS)
def test_fields_between_two_of_version_3(message, field, value, expected):
    theirs = [changed(m, "data", **{field: value}) if m is message else m for m in CALL]
    assert said(CALL, theirs) == [f"{NAME}: {line}" for line in expected]


def test_a_field_that_they_lack():
    theirs = copy.deepcopy(CALL)
    del theirs[1]["data"]["answered_by"]
    assert said(CALL, theirs) == [f"{NAME}: answered-call: answered_by: ours '1013015', theirs absent"]


def test_fields_can_be_left_uncompared():
    theirs = [changed(m, "data", client="999") for m in CALL]
    assert said(CALL, theirs, ignore=frozenset({"client"})) == []


def test_ids_are_compared_between_messages_of_one_server():
    theirs = [changed(RECEIVED, "operation", id="another"), ANSWERED, ENDED]
    assert said(CALL, theirs) == [
        f"{NAME}: received-call: id: ours received-call of 1761562800.42, theirs another"
    ]


def test_ids_of_another_server_are_not_compared():
    theirs = [changed(m, "operation", id=f"other {i}", server="voip2") for i, m in enumerate(CALL)]
    assert said(CALL, theirs) == []


def test_missing_and_extra_messages():
    assert said(CALL, [RECEIVED, ENDED]) == [f"{NAME}: extra answered-call: ours 1, theirs 0"]
    assert said([RECEIVED, ENDED], CALL) == [f"{NAME}: missing answered-call: ours 0, theirs 1"]
    twice = [*CALL, changed(ENDED, "operation", id="again")]
    assert said(CALL, twice) == [f"{NAME}: missing ended-call: ours 1, theirs 2"]


def test_missing_and_extra_calls():
    other = v3("received-call", call="1761562801.50")
    assert said(CALL, [*CALL, other]) == [
        "call 1761562801.50 (1013010 -> 1013015, 2025-10-27T14:00:00.120+00:00): "
        "we do not have it; they have received-call"
    ]
    comparison = compared([*CALL, other], CALL)
    assert comparison.lines() == [
        "call 1761562801.50 (1013010 -> 1013015, 2025-10-27T14:00:00.120+00:00): "
        "they do not have it; we have received-call",
        "1 calls on both sides, 1 differences",
    ]


def test_calls_with_another_id_are_other_calls_though_all_else_is_equal():
    theirs = [v3("received-call", call="other")]
    assert len(said([RECEIVED], theirs)) == 2


def test_digits_are_paired_by_id_then_in_order():
    ours = [v3("dtmf", id_=f"d{digit}", digit=digit) for digit in "123"]
    assert said(CALL + ours, [*CALL, ours[2], ours[0], ours[1]]) == []
    assert said(CALL + ours, [*CALL, ours[0], ours[2]]) == [f"{NAME}: extra dtmf: ours 3, theirs 2"]
    elsewhere = [v3("dtmf", id_=f"x{digit}", server="voip2", digit=digit) for digit in "124"]
    assert said(CALL + ours, CALL + elsewhere) == [f"{NAME}: dtmf 3: digit: ours '3', theirs '4'"]


def test_what_no_call_event_tells_of_is_not_missed():
    gap = {"operation": {"type": "monitor-gap", "id": "g"}, "data": {"from": "x", "to": "y"}}
    assert said(CALL, [*CALL, gap, v3("recording-ready", recording={"file": "a.wav"})]) == []


# -- the old form ------------------------------------------------------------
@pytest.mark.parametrize("body", ["payload", "data"])
def test_the_old_form_is_matched_by_ends_and_time(body):
    theirs = [
        old("received-call", body=body, creationtime="2025-10-27T11:00:01-03:00"),  # 880 ms off
        old("answered-call", body=body, creationtime="2025-10-27T11:00:01-03:00"),
        old("ended-call", body=body, creationtime="2025-10-27T11:00:01-03:00"),
    ]
    theirs = [changed(m, "operation", id=f"random {i}") for i, m in enumerate(theirs)]
    assert said(CALL, theirs) == []


def test_the_old_form_further_off_in_time_is_another_call():
    theirs = [old("received-call", creationtime="2025-10-27T11:00:01.121-03:00")]
    assert len(said([RECEIVED], theirs)) == 2


def test_of_the_old_form_only_its_own_fields_and_types_count():
    ours = [*CALL, v3("dtmf", digit="1")]
    assert said(ours, OLD_CALL) == []
    assert said(OLD_CALL, ours) == []
    wrong = [*OLD_CALL[:2], old("ended-call", status=2, kind="internal")]
    assert said(ours, wrong) == [
        f"{NAME}: ended-call: status: ours 3, theirs 2",
        f"{NAME}: ended-call: kind: ours absent, theirs 'internal'",
    ]


def test_types_that_the_old_form_has_after_all_count():
    theirs = [*OLD_CALL, {**old("ended-call"), "operation": {"type": "dtmf"}}]
    assert said(CALL, theirs) == [f"{NAME}: missing dtmf: ours 0, theirs 1"]


def test_both_in_the_old_form():
    assert said(OLD_CALL, OLD_CALL) == []
    assert said(OLD_CALL, [*OLD_CALL[:2], old("ended-call", status=1)]) == [
        "call (1013010 -> 1013015, 2025-10-27T14:00:00.120+00:00): ended-call: status: ours 3, theirs 1"
    ]


def test_two_calls_between_the_same_two_within_a_second_are_kept_apart():
    first, second = "2025-10-27T11:00:00.000-03:00", "2025-10-27T11:00:00.400-03:00"
    theirs = [
        {**old(type_, creationtime=when), "operation": {"type": type_}}
        for type_, when in (
            ("received-call", first),
            ("received-call", second),
            ("answered-call", second),
            ("ended-call", second),
            ("ended-call", first),
        )
    ]
    ours = [
        v3("received-call", call="1", creationtime=first),
        v3("received-call", call="2", creationtime=second),
        v3("answered-call", call="2", creationtime=second),
        v3("ended-call", call="1", creationtime=first),
        v3("ended-call", call="2", creationtime=second),
    ]
    assert said(ours, theirs) == []
    assert compared(ours, theirs).calls == 2


def test_times_without_an_offset_are_in_the_given_zone():
    naive = [
        {**old(t, creationtime="2025-10-27 11:00:00"), "operation": {"type": t}}
        for t in ("received-call", "answered-call", "ended-call")
    ]
    assert said(CALL, naive) == []


def test_numbers_for_names_are_matched_and_reported():
    theirs = [{**old("received-call", origin=1013010), "operation": {"type": "received-call"}}]
    assert said([RECEIVED], theirs) == [f"{NAME}: received-call: origin: ours '1013010', theirs 1013010"]


def test_thousands_of_calls_between_the_same_two_do_not_take_for_ever():
    def at(second):
        return f"2025-10-27T{11 + second // 3600}:{second // 60 % 60:02}:{second % 60:02}.500-03:00"

    theirs = [
        {**old("received-call", creationtime=at(s)), "operation": {"type": "received-call"}}
        for s in range(5000)
    ]
    ours = [v3("received-call", call=str(s), creationtime=at(s)) for s in range(5000)]
    comparison = compared(ours, theirs)
    assert (comparison.calls, comparison.differences) == (5000, ())


# -- reading -----------------------------------------------------------------
@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "text",
        {},
        {"operation": {}},
        {"operation": {"type": 1}, "data": {}},
        {"operation": {"type": "received-call"}},
        {"operation": {"type": "received-call"}, "data": []},
    ],
)
def test_no_messages(message):
    with pytest.raises(NotAMessage):
        understand(message)


MOMENTS = [
    ("2025-10-27T11:00:00.120-03:00", 1761573600120),
    ("2025-10-27T14:00:00Z", 1761573600000),
    ("2025-10-27T14:00:00.034+0000", 1761573600034),
    ("2025-10-27 11:00:00", 1761573600000),
    (1761573600.12, 1761573600120),
    (1761573600, 1761573600000),
    (1761573600120, 1761573600120),
    (1e300, None),
    (True, None),
    (None, None),
    ("yesterday", None),
    ({}, None),
]


@pytest.mark.parametrize(("value", "expected"), MOMENTS)
def test_moments(value, expected):
    assert moment(value, SAO_PAULO) == expected


def test_a_moment_without_a_zone_is_utc_unless_told():
    assert moment("2025-10-27T14:00:00", UTC) == moment("2025-10-27T14:00:00") == 1761573600000
