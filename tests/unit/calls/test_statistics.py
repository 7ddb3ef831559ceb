"""Facts in, counts out."""

from __future__ import annotations

from daemon.calls.model import Answered, Dtmf, Ended, Received
from daemon.calls.statistics import CallStatistics, Labels


def received() -> Received:
    return Received("1761562800.42", 1761562800120, "1013010", "1013015", 1, False)


def answered() -> Answered:
    return Answered(
        "1761562800.42", 1761562800120, "1013010", "1013015", 2, False, 1761562805000, "1013015", None, None
    )


def ended(duration: int, disposition: str = "ANSWERED") -> Ended:
    return Ended(
        call="1761562800.42",
        created=1761562800120,
        origin="1013010",
        destiny="1013015",
        seq=3,
        recovered=False,
        endtime=1761562860120,
        duration=duration,
        billsec=0,
        disposition=disposition,
        cause=16,
        cause_text="Normal Clearing",
        hangup_by=None,
        answertime=None,
        answered_by=None,
        agent_answertime=None,
        recordings=(),
        merged_into=None,
    )


def test_a_call_is_counted_once_in_each_status() -> None:
    statistics = CallStatistics()
    for fact in (received(), answered(), ended(60)):
        statistics.see(fact, "condominio")
    assert statistics.calls == {
        ("received", "condominio"): 1,
        ("answered", "condominio"): 1,
        ("ended", "condominio"): 1,
    }


def test_digits_are_no_calls() -> None:
    statistics = CallStatistics()
    statistics.see(Dtmf("1.1", 0, "1121", None, 1, False, 1, "5", "1121", "1.1", 0, 100), "condominio")
    assert statistics.calls == {}


def test_no_type_is_unknown() -> None:
    statistics = CallStatistics()
    for kind in (None, "", "  ", "unknown"):
        statistics.see(received(), kind)
    assert statistics.calls == {("received", "unknown"): 4}


def test_the_21st_type_is_other_and_those_before_keep_their_label() -> None:
    statistics = CallStatistics()
    for number in range(25):
        statistics.see(received(), f"type{number}")
    statistics.see(received(), "type0")
    statistics.see(received(), None)
    assert len(statistics.calls) == 22
    assert statistics.calls["received", "type0"] == 2
    assert statistics.calls["received", "type19"] == 1
    assert statistics.calls["received", "other"] == 5
    assert statistics.calls["received", "unknown"] == 1


def test_every_disposition_is_there_from_the_start() -> None:
    statistics = CallStatistics()
    assert dict(statistics.endings) == {"ANSWERED": 0, "NO ANSWER": 0, "BUSY": 0, "FAILED": 0, "CANCEL": 0}
    statistics.see(ended(3, "BUSY"), None)
    statistics.see(ended(3, "INVENTED"), None)
    assert statistics.endings["BUSY"] == 1
    assert statistics.endings["other"] == 1


def test_durations_are_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    statistics = CallStatistics()
    for seconds in (0, 5, 6, 60, 61, 9000):
        statistics.see(ended(seconds), None)
    assert statistics.durations == (
        ("5", 2),
        ("10", 3),
        ("20", 3),
        ("30", 3),
        ("60", 4),
        ("120", 5),
        ("180", 5),
        ("300", 5),
        ("600", 5),
        ("1200", 5),
        ("1800", 5),
        ("3600", 5),
        ("7200", 5),
        ("+Inf", 6),
    )
    assert statistics.seconds == 9132


def test_a_label_that_is_too_long_is_other() -> None:
    labels = Labels(2)
    assert labels.of("x" * 65) == "other"
    assert [labels.of(value) for value in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]
