"""Two nodes over one store of records: each works on its own, and gives the other what is the other's."""

from __future__ import annotations

import email
import email.policy
import json
from pathlib import Path

import msgspec
import pytest

from daemon.jobs import policy
from daemon.jobs.model import NothingFound
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Deposed
from tests.integration.node_parts import Cluster, Lease, NodeParts, here, put, reading
from tests.servers.waiting import wait_until


class Pair:
    """AUDIO has the recordings, AUDIO2 only S3's."""

    def __init__(self, folder: Path) -> None:
        self.store = RecordFile(folder / "requests.sqlite", here)
        self.store.open(1)
        self.cluster = Cluster(AUDIO=("audio",), AUDIO2=("s3",))
        self.audio = NodeParts("AUDIO", folder / "audio", self.store, self.cluster, lease=Lease(held=False))
        self.audio2 = NodeParts("AUDIO2", folder / "audio2", self.store, self.cluster)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_given_to_the_node_with_the_recordings(pair: Pair) -> None:
    pair.audio2.accept("one")
    pair.audio2.accept("mine", source="s3")
    pair.audio2.accept("check", command="CHECKIP")
    with pair.audio.running(), pair.audio2.running():
        for name in ("one", "mine", "check"):
            wait_until(lambda name=name: pair.audio2.is_in(name, "done"), f"{name} is done")
    assert pair.audio.done == ["one"]
    assert sorted(pair.audio2.done) == ["check", "mine"]
    assert pair.audio.files() == {"completed": ["one"]}
    assert pair.audio2.files() == {"completed": ["check", "mine"]}
    assert pair.audio.record("one").owner == "AUDIO"
    assert pair.audio.file("completed", "one")["accepted_by"] == "AUDIO2"
    assert "brought_by" not in pair.audio.file("completed", "one")
    assert [len(pair.audio.mails()), len(pair.audio2.mails())] == [1, 2]


def test_a_node_lets_alone_what_is_another_s(pair: Pair) -> None:
    record = pair.audio.accept("one")
    pair.audio.book.assign(record)
    refusal = msgspec.structs.replace(
        record, kind="refusal", request=msgspec.structs.replace(record.request, request_id="no")
    )
    assert pair.audio.book.create(msgspec.structs.replace(refusal, owner=""))
    assert pair.audio.record("no").owner == "AUDIO", "what is only answered has an owner at once"
    with pair.audio2.running():
        pair.audio2.accept("two", source="s3")
        wait_until(lambda: pair.audio2.is_in("two", "done"), "its own is done")
    assert pair.audio2.done == ["two"]
    assert pair.audio.record("one").state == "assigned"
    assert pair.audio.record("no").state == "accepted"
    assert pair.audio.files() == {"pending": ["one"]}


def test_the_peer_is_away(pair: Pair) -> None:
    """It stays accepted; the requester is told once; when the peer is back it is done there."""
    pair.cluster.lose("AUDIO")
    pair.audio2.limits = limits(0.0)
    pair.audio2.accept("one")
    with pair.audio2.running():
        wait_until(lambda: "away" in pair.audio2.record("one").told, "the requester is told")
        wait_until(pair.audio2.mails, "by mail")
        record = pair.audio2.record("one")
        assert (record.state, record.waits_for, record.note) == ("accepted", "AUDIO", "AUDIO is away")
        pair.cluster.back("AUDIO")
        with pair.audio.running():
            wait_until(lambda: pair.audio2.is_in("one", "done"), "it is done")
    (told,) = pair.audio2.mails()
    text = email.message_from_string(told, policy=email.policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "O servidor onde estão as gravações está fora do ar" in " ".join(text.split())
    assert pair.audio.record("one").waits_for == ""
    assert len(pair.audio.mails()) == 1, "the result"


def test_ssh_is_away(pair: Pair) -> None:
    pair.cluster.cut = True
    pair.audio2.accept("one")
    with pair.audio.running(), pair.audio2.running():
        wait_until(lambda: pair.audio2.record("one").waits_for, "it waits")
        assert pair.audio2.record("one").note == "AUDIO can't be reached: AUDIO does not answer"
        pair.audio2.accept("mine", source="s3")
        wait_until(lambda: pair.audio2.is_in("mine", "done"), "others go on")
        pair.cluster.cut = False
        wait_until(lambda: pair.audio2.is_in("one", "done"), "it is done")
    assert pair.audio.done == ["one"]


def test_a_file_that_comes_late_is_not_done_again(pair: Pair) -> None:
    """Who brings it was frozen between two steps: the record was done meanwhile."""
    record = pair.audio2.accept("one")
    with pair.audio.running(), pair.audio2.running():
        wait_until(lambda: pair.audio2.is_in("one", "done"), "it is done")
        pair.cluster.send(record, "AUDIO")
        wait_until(lambda: "pending" not in pair.audio.files(), "it is put away")
    assert pair.audio.files() == {"completed": ["one"]}, "its own, not one that another has"
    assert pair.audio.done == ["one"]
    assert pair.store.counts()["done"] == 1


def test_what_a_full_disk_left_behind_is_not_done_again(pair: Pair) -> None:
    """Its file could not be moved on while the request was done, and the process has died since."""
    pair.audio.book.assign(pair.audio.accept("one"))
    pending = pair.audio.spool.root / "pending" / "one.json"
    left = pending.read_bytes()
    with pair.audio.running():
        wait_until(lambda: pair.audio.is_in("one", "done"), "it is done")
        wait_until(lambda: pair.audio.files() == {"completed": ["one"]}, "so is its file")
        pending.write_bytes(left)
        wait_until(lambda: not pending.exists(), "it is put away")
    assert pair.audio.files() == {"completed": ["one"]}
    assert pair.store.counts()["done"] == 1


def test_a_file_whose_record_is_not_assigned_yet_stays(pair: Pair) -> None:
    record = pair.audio2.accept("one")
    pair.cluster.send(record, "AUDIO")
    with pair.audio.running():
        pair.audio.accept("two")
        wait_until(lambda: pair.audio.is_in("two", "done"), "others are done")
        assert pair.audio.files()["pending"] == ["one"]
        pair.audio2.book.assign(record, "AUDIO")
        wait_until(lambda: pair.audio.is_in("one", "done"), "now it is done")
    assert pair.audio.done == ["two", "one"]


def test_a_node_that_returns_puts_away_what_another_has_by_now(pair: Pair) -> None:
    """One waited, one was worked on, one was done by the other; a person's file is new."""
    for name in ("waited", "worked", "over"):
        pair.audio.book.assign(pair.audio.accept(name, source="s3"))
    worked = pair.audio.record("worked")
    pair.audio.book.write(
        pair.audio.book.advance(worked, lambda r: policy.running(r, "AUDIO", pair.audio.book.now()))
    )
    assert pair.audio.files() == {"pending": ["over", "waited"], "processing": ["worked"]}
    for name in ("waited", "worked", "over"):
        record = pair.store.read(name)
        assert record is not None
        taken = msgspec.structs.replace(record, state="assigned", owner="AUDIO2")
        pair.store.change(taken, record.version)
    with pair.audio2.running():
        for name in ("waited", "worked", "over"):
            wait_until(lambda name=name: pair.audio2.is_in(name, "done"), f"{name} is done by the other")
    with pair.audio.running(), pair.audio2.running():
        wait_until(lambda: len(pair.audio.files().get("superseded", [])) == 3, "all are put away")
        again = dict(pair.audio2.file("completed", "over"), request_id="over")
        pair.audio.spool.drop("over", json.dumps(again).encode())
        wait_until(lambda: pair.store.known("over-2"), "a person's file is a new request")
        wait_until(lambda: pair.audio.is_in("over-2", "done"), "and is done")
    assert pair.audio.file("superseded", "worked")["status"] == "superseded"
    assert pair.audio.files() == {"superseded": ["over", "over-2", "waited", "worked"]}
    assert pair.audio.done == []
    assert sorted(pair.audio2.done) == ["over", "over-2", "waited", "worked"]


def test_what_was_taken_over_by_this_node_has_its_file_here(pair: Pair) -> None:
    pair.audio2.limits = limits(3600.0)
    with pair.audio2.running():
        record = pair.audio.accept("one", source="s3")
        pair.store.change(
            msgspec.structs.replace(record, state="produced", owner="AUDIO2", outcome=NothingFound()),
            record.version,
        )
        wait_until(lambda: pair.audio2.files(), "it has a file")
    assert set(pair.audio2.files()) <= {"processing", "failed", "completed"}


def test_nothing_of_the_master_s_without_a_lease(pair: Pair) -> None:
    pair.audio.lease.held = False
    with pytest.raises(Deposed):
        pair.audio.book.lead()
    pair.audio.lease.held = True
    pair.audio.book.lead()


# -- the mailbox, and the lease -------------------------------------------------------------------------
def test_without_a_lease_the_mailbox_is_not_touched(pair: Pair, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    put(inbox, "one")
    pair.audio2.lease.held = False
    with pair.audio2.running(), reading(pair.audio2, inbox) as monitor:
        pair.audio2.accept("own", source="s3")
        wait_until(lambda: pair.audio2.is_in("own", "done"), "its own requests go on")
        assert [path.name for path in (inbox / "new").iterdir()] == ["one"]
        assert not monitor.reading
        assert monitor.problem == "", "quietly"
        pair.audio2.lease.held = True
        wait_until(lambda: not list((inbox / "new").iterdir()), "now it is taken in")


@pytest.mark.parametrize("point", ["fetched", "accepted", "flagged", "moved"])
def test_a_lease_that_is_lost_between_two_steps(pair: Pair, tmp_path: Path, point: str) -> None:
    """Nothing more happens from there on; who has the lease next goes on."""
    inbox, lost = tmp_path / "inbox", []

    def reach(name: str) -> None:
        if name == point and not lost:
            pair.audio2.lease.held = False
            lost.append(name)

    pair.audio2 = NodeParts("AUDIO2", tmp_path / "reached", pair.store, pair.cluster, reach=reach)
    put(inbox, "one")
    with pair.audio.running():
        with reading(pair.audio2, inbox):
            wait_until(lambda: lost, "it is lost")
            records = pair.store.latest(10)
            marked = [path.name for path in (inbox / "cur").iterdir()]
            assert len(records) == (point != "fetched")
            assert len(marked) == (point == "flagged")
        pair.audio.lease.held = True
        with reading(pair.audio, inbox):
            wait_until(lambda: pair.store.counts()["done"] == 1, "the other one goes on")
    assert len(pair.audio.done) == 1
    assert len(pair.audio.mails() + pair.audio2.mails()) == 1
    assert len(list((inbox / ".Done" / "cur").iterdir())) == 1


def limits(confirmation: float) -> policy.Limits:
    return policy.Limits(confirmation=confirmation)
