"""The checker finds what is planted, each kind of it, and nothing in a sound history."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.system.faults.checker import check
from tests.system.faults.history import (
    Answered,
    Consumed,
    Emitted,
    Fault,
    History,
    Listening,
    Logged,
    Mailed,
    Published,
    Resources,
    Said,
    Stored,
    Write,
    load,
    save,
)
from tests.system.faults.scenario import Expected

T = 1000.0  # when the load begins
KILLED, WON = T + 5.0, T + 8.5
TYPES = ("received-call", "answered-call", "ended-call")


def sound() -> History:
    """20 s of load; AUDIO is killed after 5 s, AUDIO2 wins 3.5 s later; nothing is wrong."""
    made = History("x", began=T, load_ended=T + 20, healed=T + 20, settled=T + 30)
    made.faults = [Fault(KILLED, T + 12, "kill9 master 7s", "kill9", ("AUDIO",), ("AUDIO",), "AUDIO")]
    made.listening = [
        Listening(T - 5, KILLED, "AUDIO"),
        Listening(T + 13, T + 40, "AUDIO"),
        Listening(T - 5, T + 40, "AUDIO2"),
    ]
    made.writes = [
        Write(0, 1, T - 10, "AUDIO", "create", "/epoch", 0, None, 1, "AUDIO"),
        Write(0, 2, T - 10, "AUDIO", "create", "/lease", holder="AUDIO"),
        Write(0, 2, T - 10, "AUDIO", "set", "/epoch", 1, None, 2, "AUDIO"),
        Write(0, 50, WON, "", "delete", "/lease"),
        Write(0, 51, WON, "AUDIO2", "create", "/lease", epoch_check=None, holder="AUDIO2"),
        Write(0, 51, WON, "AUDIO2", "set", "/epoch", 2, None, 3, "AUDIO2"),
    ]
    for number in range(20):
        at = T + number + 0.5
        master, token = ("AUDIO", 2) if at < KILLED else ("AUDIO2", 3)
        taken = at if at < KILLED else max(at, WON)
        path, zxid = f"/req/aa/r{number}", number + (10 if at < KILLED else 60)
        made.writes.append(Write(0, zxid, taken, master, "create", path, 0, token - 1, token, ""))
        made.writes.append(Write(0, zxid + 200, taken, master, "set", path, 1, None, token, master))
        ident = f"m{number}@mail.example.com"
        made.mailed.append(Mailed(at, ident, "person@example.com", "RAMAIS"))
        made.stored.append(Stored(f"r{number}", ident, "done", master))
        made.answered.append(Answered(at + 1, f"r{number}.result@example.com", ident, "result"))
        made.published.append(Published(master, f"r{number}", f"f{number}.zip", f"{number:064}"))
        made.done.append(ident)
    for number in range(60):
        at = T + number / 3
        master = "AUDIO" if at < KILLED - 0.2 else "AUDIO2"
        came = at + 0.1 if master == "AUDIO" else max(at, WON) + 0.1
        for kind in TYPES:
            made.emitted.append(Emitted(at, f"{number}.0", kind))
            made.consumed.append(Consumed(came, f"{number}-{kind}", f"{number}.0", kind, master))
    made.writes.append(Write(0, 300, T + 15, "AUDIO2", "set", "/pub/voip3/mq", 5, 2))
    made.writes.sort(key=lambda write: write.zxid)
    step = 0
    while (at := T + step / 10) < T + 30:
        if not KILLED <= at < T + 12:
            role = "master" if at < KILLED else "slave"
            made.said.append(Said(at, at + 0.01, "AUDIO", role, 2 if at < KILLED else 3, 2.5))
        role = "slave" if at < WON else "master"
        made.said.append(Said(at, at + 0.01, "AUDIO2", role, 2 if at < WON else 3, 2.5))
        step += 1
    for node, role, other in (("AUDIO", "master", "slave"), ("AUDIO2", "slave", "master")):
        made.resources.append(Resources(node, role, "before", 1, 40, 6))
        made.resources.append(Resources(node, other, "after", 2, 41, 6))
    made.znodes = (12, 12)
    return made


SOUND = sound()


def found(history: History, *expect: Expected) -> set[str]:
    return {violation.invariant for violation in check(history, expect).violations}


def test_a_sound_history() -> None:
    verdict = check(SOUND)
    assert verdict.violations == ()
    figures = verdict.figures
    assert (figures.lost, figures.doubled, figures.repeats, figures.stale, figures.epochs) == (0, 0, 0, 0, 1)
    assert (figures.mails, figures.messages) == (20, 180)
    (change,) = figures.changes
    assert (change.lease, change.failover, change.intake) == pytest.approx((3.5, 3.6, 3.5))


def test_it_is_the_same_from_its_file(tmp_path: Path) -> None:
    save(SOUND, tmp_path / "history.json")
    assert load(tmp_path / "history.json") == SOUND


def change(entries: list[Any], where: Callable[[Any], bool], **values: Any) -> None:
    """Change the first entry for which it is true."""
    at = next(n for n, entry in enumerate(entries) if where(entry))
    entries[at] = msgspec.structs.replace(entries[at], **values)


def two_masters(h: History) -> None:
    h.said.append(Said(WON + 0.2, WON + 0.21, "AUDIO", "master", 2, 0.4))


def epoch_goes_back(h: History) -> None:
    change(h.writes, lambda w: w.path == "/epoch" and w.token == 3, token=2)


def dropped_fence(h: History) -> None:
    """The old master has woken and takes in a mail."""
    h.writes.append(Write(0, 400, WON + 5, "AUDIO", "create", "/req/aa/late", 0, None, 2, ""))


def unfenced_by_the_right_one(h: History) -> None:
    change(h.writes, lambda w: w.path.startswith("/pub/"), epoch_check=None)


def watermark_of_a_stale_master(h: History) -> None:
    change(h.writes, lambda w: w.path.startswith("/pub/"), node="AUDIO")


def record_under_an_old_epoch(h: History) -> None:
    change(h.writes, lambda w: w.path == "/req/aa/r15" and w.kind == "create", token=2)


def made_again_without_fence(h: History) -> None:
    h.writes.append(Write(1, 400, WON + 5, "AUDIO", "create", "/req/aa/lost", 0, None, 3, "AUDIO", "done"))


def nobody_was_master(h: History) -> None:
    h.writes.insert(0, Write(0, 0, T - 20, "AUDIO", "create", "/req/aa/early", 0, 1, 2, ""))


def lost_mail(h: History) -> None:
    del h.stored[3]


def unfinished_record(h: History) -> None:
    change(h.stored, lambda s: s.request_id == "r3", state="assigned")


def second_record(h: History) -> None:
    h.stored.append(Stored("r3b", "m3@mail.example.com", "done", "AUDIO2"))


def no_answer(h: History) -> None:
    del h.answered[3]


def answered_with_a_failure(h: History) -> None:
    change(h.answered, lambda a: a.answers.startswith("m3@"), kind="failed")


def two_final_files(h: History) -> None:
    h.published.append(Published("AUDIO2", "r3", "other.zip", "0" * 64))


def two_contents(h: History) -> None:
    h.published.append(Published("AUDIO2", "r3", "f3.zip", "0" * 64))


def doubled_reply(h: History) -> None:
    h.answered.append(Answered(T + 9, "r3.again@example.com", "m3@mail.example.com", "result"))


def skipped_watermark(h: History) -> None:
    """What AUDIO2 had stored and AUDIO had not published was pruned."""
    h.consumed = [c for c in h.consumed if c.id != "16-answered-call"]


def under_two_ids(h: History) -> None:
    h.consumed.append(Consumed(T + 12, "other", "5.0", "ended-call", "AUDIO2"))


def one_id_of_two(h: History) -> None:
    change(h.consumed, lambda c: c.id == "5-ended-call", id="6-ended-call")
    h.consumed.append(Consumed(T + 12, "5-ended-call", "5.0", "ended-call", "AUDIO2"))


def left_in_the_inbox(h: History) -> None:
    h.done.remove("m4@mail.example.com")
    h.inbox.append("m4@mail.example.com")


def move_as_a_claim(h: History) -> None:
    h.done.append("m4@mail.example.com")


def mail_gone(h: History) -> None:
    h.done.remove("m4@mail.example.com")


def put_aside(h: History) -> None:
    h.aside.append("m4@mail.example.com")


def stale_publisher(h: History) -> None:
    change(h.consumed, lambda c: c.at > WON + 4, node="AUDIO")


def too_many_descriptors(h: History) -> None:
    change(h.resources, lambda r: r.when == "after", descriptors=80)


def backlog(h: History) -> None:
    change(h.resources, lambda r: r.when == "after", outbox=3)


def dead_service(h: History) -> None:
    change(h.resources, lambda r: r.when == "after", services_down=("mail",))


def znodes(h: History) -> None:
    h.znodes = (12, 40)


def exception(h: History) -> None:
    h.logged.append(Logged(T + 7, "AUDIO2", "ERROR", "arimonitor", "a service died", "KeyError: 'x'"))


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("I1", two_masters),
        ("I2", epoch_goes_back),
        ("I2", dropped_fence),
        ("I2", unfenced_by_the_right_one),
        ("I2", watermark_of_a_stale_master),
        ("I2", record_under_an_old_epoch),
        ("I2", made_again_without_fence),
        ("I2", nobody_was_master),
        ("I3", lost_mail),
        ("I3", unfinished_record),
        ("I3", second_record),
        ("I3", no_answer),
        ("I3", answered_with_a_failure),
        ("I4", two_final_files),
        ("I4", two_contents),
        ("I5", doubled_reply),
        ("I6", skipped_watermark),
        ("I6", under_two_ids),
        ("I6", one_id_of_two),
        ("I7", left_in_the_inbox),
        ("I7", move_as_a_claim),
        ("I7", mail_gone),
        ("I7", put_aside),
        ("I8", stale_publisher),
        ("I10", too_many_descriptors),
        ("I10", backlog),
        ("I10", dead_service),
        ("I10", znodes),
        ("I10", exception),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_is_planted_is_found(invariant: str, plant: Callable[[History], None]) -> None:
    history = copy.deepcopy(SOUND)
    plant(history)
    assert found(history) == {invariant}


def test_what_is_no_violation() -> None:
    """A repeat under its own id, a slave's word, what nobody could see, what was on the wire, a rebuild."""
    history = copy.deepcopy(SOUND)
    history.writes.append(Write(1, 400, WON + 5, "", "create", "/req/aa/x", 0, 2, 3, "AUDIO", "done"))
    history.consumed.append(Consumed(WON + 9, "3-ended-call", "3.0", "ended-call", "AUDIO"))
    history.said.append(Said(WON + 0.2, WON + 0.21, "AUDIO", "master", 2, -0.1))
    history.answered.append(Answered(T + 9, "r3.result@example.com", "m3@mail.example.com", "result"))
    history.listening = [each for each in history.listening if each.node == "AUDIO"]
    history.emitted.append(Emitted(T + 10, "nobody.0", "ended-call"))
    history.emitted.append(Emitted(KILLED - 0.5, "dying.0", "ended-call"))
    change(history.consumed, lambda c: WON < c.at < WON + 1, node="AUDIO")
    verdict = check(history)
    assert verdict.violations == ()
    assert verdict.figures.repeats == 1


def test_who_has_just_woken_may_think_itself_master_until_it_is_told() -> None:
    history = copy.deepcopy(SOUND)
    history.said.append(Said(WON + 9, WON + 9.01, "AUDIO", "master", 2, 2.5))
    assert found(history) == {"I1"}
    history.faults = [Fault(KILLED, WON + 8.5, "suspend master 12s", "suspend", ("AUDIO",))]
    assert found(history) == set()
    history.faults = [Fault(KILLED, WON + 8.5, "freeze master 12s", "freeze", ("AUDIO",))]
    assert found(history) == {"I1"}


def test_a_failure_is_an_answer_where_the_scenario_expects_some() -> None:
    history = copy.deepcopy(SOUND)
    answered_with_a_failure(history)
    assert found(history) == {"I3"}
    assert found(history, Expected("failed", "<=", 1)) == set()
    assert found(history, Expected("failed", "<=", 0)) == {"I9"}


@pytest.mark.parametrize(
    ("expected", "kept"),
    [
        (Expected("failover", "<", 5), True),
        (Expected("failover", "<", 3), False),
        (Expected("epochs", "=", 1), True),
        (Expected("epochs", "=", 0), False),
        (Expected("repeats", "=", 0), True),
    ],
)
def test_bounds(expected: Expected, kept: bool) -> None:
    assert found(SOUND, expected) == (set() if kept else {"I9"})


def test_a_failover_that_never_came() -> None:
    history = copy.deepcopy(SOUND)
    history.writes = [write for write in history.writes if write.zxid < 50]
    assert "I9" in found(history, Expected("failover", "<", 5))


def test_one_host_has_no_zookeeper() -> None:
    history = copy.deepcopy(SOUND)
    history.writes = []
    assert found(history) == set()
    two_masters(history)
    assert found(history) == {"I1"}
