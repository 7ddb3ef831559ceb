"""The step table of a request, its lanes and tries, by hand-written tables."""

import typing
from datetime import UTC, datetime

import msgspec
import pytest

from daemon.jobs import policy
from daemon.jobs.model import Failure, NothingFound, Record, RecordingsSent, Request, State
from daemon.jobs.policy import Limits, NotAllowed

LIMITS = Limits(max_tries=3, processing_timeout=1800, confirmation=20)


def record(
    state: State = "accepted", name: str = "a", command: str = "RAMAIS", **other: typing.Any
) -> Record:
    request = Request(name, typing.cast(typing.Any, command), "person@example.com", {})
    return Record(request=request, state=state, version=1, **other)


TABLE = [
    # state, the next step, folder, folder with a failure
    ("accepted", "assign", "pending", "pending"),
    ("assigned", "run", "pending", "pending"),
    ("running", "working", "processing", "processing"),
    ("produced", "reply", "processing", "processing"),
    ("replying", "send", "processing", "processing"),
    ("replied", "finish", "completed", "failed"),
    ("done", "nothing", "completed", "failed"),
    ("failed", "nothing", "failed", "failed"),
]


@pytest.mark.parametrize(("state", "step", "folder", "failed"), TABLE)
def test_step_table(state: State, step: str, folder: str, failed: str) -> None:
    assert policy.step_of(record(state)) == step
    assert policy.folder_of(record(state)) == folder
    assert policy.folder_of(record(state, failure=Failure("x"))) == failed


def test_the_table_has_every_state() -> None:
    assert [row[0] for row in TABLE] == list(typing.get_args(State)) == list(policy.STEPS)


@pytest.mark.parametrize("kind", ["refusal", "help"])
def test_a_mail_that_is_only_answered_has_no_line_and_no_file(kind: typing.Any) -> None:
    assert policy.step_of(record("accepted", kind=kind)) == "reply"
    assert policy.folder_of(record("accepted", kind=kind)) is None


def test_first_come_first_served_within_a_lane() -> None:
    line = [
        record("assigned", "late", queued_at=30.0),
        record("assigned", "first", queued_at=10.0),
        record("assigned", "waits", queued_at=5.0, not_before=200.0),
        record("assigned", "check", "CHECKIP", queued_at=1.0),
        record("running", "runs", queued_at=0.5),
    ]
    found = policy.next_to_run(line, "recordings", 100.0)
    assert found is not None
    assert found.request.request_id == "first"
    other = policy.next_to_run(line, "commands", 100.0)
    assert other is not None
    assert other.request.request_id == "check"
    assert policy.next_to_run(line[2:3], "recordings", 199.9) is None
    assert policy.wake(line, 100.0) == 100.0


def test_place_in_the_line() -> None:
    line = [
        record("running", "r", queued_at=1),
        record("assigned", "b", queued_at=2),
        record("assigned", "c", queued_at=3),
    ]
    assert [policy.place(each, line) for each in line] == [1, 2, 3]
    check = record("assigned", "x", "CHECKIP", queued_at=9)
    assert policy.place(check, [*line, check]) == 1


def test_a_retry_goes_to_the_end_with_a_growing_wait() -> None:
    tried = record("running", attempt=1, queued_at=5.0)
    once = policy.again(tried, "S3 is away", 100.0, LIMITS, 0.0)
    assert (once.state, once.queued_at, once.not_before, once.note) == (
        "assigned",
        100.0,
        102.0,
        "S3 is away",
    )
    twice = policy.again(msgspec.structs.replace(tried, attempt=2), "again", 100.0, LIMITS, 0.0)
    assert twice.not_before == 108.0
    last = policy.again(msgspec.structs.replace(tried, attempt=3), "again", 100.0, LIMITS, 0.0)
    assert (last.state, last.failure) == ("produced", Failure("out-of-tries", {"tries": "3"}))


def test_after_a_crash_it_is_done_again_at_once_unless_it_kills() -> None:
    again = policy.after_crash(record("running", attempt=1), 50.0, LIMITS)
    assert (again.state, again.not_before, again.attempt) == ("assigned", 0.0, 1)
    assert policy.after_crash(record("running", attempt=3), 50.0, LIMITS).state == "produced"


def test_an_orderly_stop_is_no_try() -> None:
    stopped = policy.interrupted(record("running", attempt=2, queued_at=7.0), 50.0)
    assert (stopped.state, stopped.attempt, stopped.queued_at) == ("assigned", 1, 7.0)


@pytest.mark.parametrize(
    ("kind", "failure", "answer", "final"),
    [
        ("request", None, "result", "done"),
        ("request", Failure("x"), "failed", "failed"),
        ("refusal", Failure("x"), "refused", "failed"),
        ("help", None, "help", "done"),
    ],
)
def test_answers_and_ends(kind: typing.Any, failure: Failure | None, answer: str, final: str) -> None:
    made = record("replying", kind=kind, failure=failure)
    assert policy.kind_of(made) == answer
    out = policy.replied(made, 9.0)
    assert (out.state, out.told, out.finished_at) == ("replied", (answer,), 9.0)
    assert policy.finished(out, 9.0).state == final


@pytest.mark.parametrize(
    ("state", "age", "told", "expected"),
    [
        ("assigned", 19.9, (), False),
        ("assigned", 20.0, (), True),
        ("running", 25.0, (), True),
        ("running", 25.0, ("queued",), False),
        ("produced", 25.0, (), False),
    ],
)
def test_the_place_is_told_once(state: State, age: float, told: tuple[str, ...], expected: bool) -> None:
    made = record(state, accepted_at=1000.0, told=told)
    assert policy.needs_confirmation(made, 1000.0 + age, LIMITS) is expected


CANCEL = {"accepted": True, "assigned": True, "running": False, "produced": False, "replying": False,
          "replied": False, "done": False, "failed": False}  # fmt: skip
RETRY = {"accepted": False, "assigned": False, "running": False, "produced": False, "replying": False,
         "replied": False, "done": False, "failed": True}  # fmt: skip


@pytest.mark.parametrize("state", typing.get_args(State))
def test_what_an_operator_may(state: State) -> None:
    for allowed, wish in ((CANCEL, policy.cancelled), (RETRY, policy.retried)):
        if allowed[state]:
            wish(record(state, attempt=2), 5.0)
        else:
            with pytest.raises(NotAllowed):
                wish(record(state), 5.0)


def test_a_retry_begins_from_the_beginning() -> None:
    failed = record(
        "failed", attempt=3, failure=Failure("x"), outcome=NothingFound(), note="why", finished_at=4.0
    )
    again = policy.retried(failed, 5.0)
    assert again == record("assigned", attempt=0, queued_at=5.0, changed_at=5.0)
    waits = record("assigned", not_before=99.0)
    assert policy.retried(waits, 5.0).not_before == 0.0


def test_cancelled_is_told() -> None:
    made = policy.cancelled(record("assigned"), 5.0)
    assert (made.state, made.failure) == ("produced", Failure("cancelled"))


@pytest.mark.parametrize(("owner", "accepted_by", "node"), [("A", "B", "A"), ("", "B", "B"), ("", "", "")])
def test_whose_it_is(owner: str, accepted_by: str, node: str) -> None:
    request = Request("a", "RAMAIS", "person@example.com", {}, accepted_by=accepted_by)
    assert policy.node_of(Record(request=request, state="accepted", version=1, owner=owner)) == node


@pytest.mark.parametrize(
    ("state", "age", "waits", "told", "notice", "place"),
    [
        ("accepted", 19.0, "A", (), False, False),
        ("accepted", 20.0, "A", (), True, False),
        ("accepted", 20.0, "", (), False, False),
        ("assigned", 20.0, "", (), False, True),
        ("assigned", 90.0, "A", ("queued",), True, False),
        ("running", 90.0, "A", ("away",), False, False),
        ("assigned", 90.0, "", ("away",), False, False),
        ("replied", 90.0, "A", (), False, False),
    ],
)
def test_that_it_waits_is_told_once_and_instead_of_the_place(
    state: State, age: float, waits: str, told: tuple[str, ...], notice: bool, place: bool
) -> None:
    made = record(state, accepted_at=1000.0, waits_for=waits, told=told)
    assert policy.needs_notice(made, 1000.0 + age, LIMITS) is notice
    assert policy.needs_confirmation(made, 1000.0 + age, LIMITS) is place


def test_who_makes_a_step_waits_no_more() -> None:
    waits = policy.waiting(record("assigned"), "A", "A is away")
    assert (waits.state, waits.waits_for, waits.note) == ("assigned", "A", "A is away")
    assert policy.running(waits, "A", 5.0).waits_for == ""


SENT = RecordingsSent((), "https://example.com/a.zip", 1, datetime(2025, 10, 28, tzinfo=UTC))
TAKEN = [
    # state, what it has, what it is at the heir's, further fields of it
    ("accepted", {"owner": ""}, "assigned", {"queued_at": 50.0}),
    ("accepted", {"kind": "refusal"}, "accepted", {}),
    ("assigned", {"queued_at": 7.0, "not_before": 99.0}, "assigned", {"queued_at": 7.0, "not_before": 0.0}),
    ("assigned", {"attempt": 1}, "assigned", {"attempt": 1, "taken_from": "A"}),
    ("running", {"attempt": 1}, "assigned", {"attempt": 1, "taken_from": "A", "not_before": 0.0}),
    ("running", {"attempt": 3}, "produced", {"failure": Failure("out-of-tries", {"tries": "3"})}),
    ("running", {"attempt": 3, "command": "MACCHANGE"}, "assigned", {"attempt": 2, "taken_from": "A"}),
    ("running", {"attempt": 3, "command": "MACCHANGE", "taken_from": "B"}, "produced", {}),
    ("produced", {"outcome": NothingFound(), "attempt": 1}, "produced", {"outcome": NothingFound()}),
    ("replying", {"failure": Failure("x"), "attempt": 1}, "replying", {"failure": Failure("x")}),
    ("produced", {"kept": "0" * 64, "attempt": 1}, "assigned", {"kept": "", "attempt": 0}),
    ("replying", {"kept": "0" * 64, "attempt": 1}, "assigned", {"kept": ""}),
]


@pytest.mark.parametrize(("state", "has", "becomes", "more"), TAKEN)
def test_taken_over(
    state: State, has: dict[str, typing.Any], becomes: str, more: dict[str, typing.Any]
) -> None:
    taken = policy.taken_over(record(state, **{"owner": "A", "waits_for": "A", **has}), "B", 50.0, LIMITS)
    assert (taken.state, taken.owner, taken.waits_for) == (becomes, "B", "")
    assert {name: getattr(taken, name) for name in more} == more


@pytest.mark.parametrize(
    ("state", "has", "source", "anybody"),
    [
        ("accepted", {"kind": "help"}, "", True),
        ("accepted", {}, "s3", False),
        ("running", {"failure": Failure("x")}, "audio", False),
        ("produced", {"failure": Failure("x")}, "audio", True),
        ("produced", {"outcome": NothingFound()}, "audio", True),
        ("produced", {"outcome": SENT}, "audio", False),
        ("replying", {"outcome": SENT}, "s3", True),
        ("produced", {"kept": "0" * 64}, "s3", False),
    ],
)
def test_who_can_answer(state: State, has: dict[str, typing.Any], source: str, anybody: bool) -> None:
    made = record(state, **has)
    asked = msgspec.structs.replace(made.request, audios_from=source)
    assert policy.is_answerable(msgspec.structs.replace(made, request=asked)) is anybody


def test_a_half_move_is_not_cancelled() -> None:
    begun = record("assigned", command="MACCHANGE", taken_from="A")
    with pytest.raises(NotAllowed, match="A had begun it"):
        policy.cancelled(begun, 5.0)
    assert policy.retried(msgspec.structs.replace(begun, state="failed"), 5.0).taken_from == ""
