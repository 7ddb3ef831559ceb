"""Nodes over records in a real ZooKeeper: away and back, cut off, taken over, and everything lost.

Run as `python -m gevent.monkey --module pytest`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from gevent import monkey

from daemon.errors import TransientError
from daemon.jobs import policy
from daemon.jobs.model import NothingFound, Outcome, Record, RecordingsSent, Request, Row
from daemon.jobs.ondisk import UntoldSteps
from daemon.jobs.records import RecordStore
from daemon.jobs.takeover import Takeover
from ha.operations import ANY
from ha.paths import EPOCH
from tests.integration.node_parts import Cluster, Lease, NodeParts, put, reading
from tests.integration.record_beds import ZooKeeperBed
from tests.integration.test_records import record
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason

if reason := unavailable_reason():
    pytest.skip(f"no ZooKeeper: {reason}", allow_module_level=True)
if not monkey.is_module_patched("threading"):
    pytest.skip("needs python -m gevent.monkey --module pytest", allow_module_level=True)

EPOCH_1, EPOCH_2 = (1 << 32) | 1, (2 << 32) | 1
MANY = RecordingsSent(
    rows=tuple(
        Row("1121", f"11999990{n:03}", datetime(2025, 10, 27, tzinfo=UTC), 61.0, f"https://example.com/{n}")
        for n in range(200)
    ),
    bundle="https://example.com/all.zip",
    bundle_bytes=1,
    expires=datetime(2025, 10, 29, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(1) as ensemble:
        yield ensemble


@pytest.fixture
def bed(zookeeper: Ensemble, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ZooKeeperBed]:
    made = ZooKeeperBed(zookeeper.hosts, f"/tests/{request.node.name}", tmp_path, timeout=2.0).begin()
    yield made
    made.close()


@pytest.fixture
def relay(zookeeper: Ensemble) -> Iterator[Relay]:
    with Relay(zookeeper.servers[0].place.client) as made:
        yield made


# -- the store ---------------------------------------------------------------------------------------
def test_a_large_outcome_stays_on_its_owner_s_disk(bed: ZooKeeperBed, tmp_path: Path) -> None:
    store, other = bed.open("AUDIO"), bed.open("AUDIO2", folder=tmp_path / "other")
    store.create(record(EPOCH_1, owner="AUDIO"))
    produced = store.change(record(EPOCH_1, owner="AUDIO", state="produced", outcome=MANY), 1)
    data = bed.tree().get(f"/req/{_folder('a')}/a")[0]
    assert len(data) < 1000
    for found in (store.read("a"), *store.listing("produced"), *store.latest(1)):
        assert found is not None
        assert found.outcome == MANY
    theirs = other.read("a")
    assert theirs is not None
    assert (theirs.outcome, len(theirs.kept)) == (None, 64)
    moved = other.change(msgspec.structs.replace(theirs, uid="1.7"), theirs.version)
    assert moved.kept == theirs.kept, "who changes something else does not lose it"
    again = bed.open("AUDIO").read("a")
    assert again is not None
    assert again.outcome == MANY, "after a restart"
    assert again.version == produced.version + 1
    (tmp_path / "outcomes" / "a.json").write_bytes(b"{}")
    lost = bed.open("AUDIO").read("a")
    assert lost is not None
    assert lost.outcome is None, "what is not what it was is not used"
    small = store.change(msgspec.structs.replace(again, outcome=NothingFound()), again.version)
    assert store.read("a") == msgspec.structs.replace(small, kept="")


def _folder(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:2]


def test_another_node_s_changes_are_told(bed: ZooKeeperBed) -> None:
    store, other = bed.open("AUDIO"), bed.open("AUDIO2")
    told = threading.Event()
    store.subscribe(told.set)
    store.create(record(EPOCH_1))
    wait_until(lambda: other.known("a"), "it is seen there")
    told.clear()
    other.change(record(EPOCH_1, state="assigned"), 1)
    assert told.wait(20)
    assert [each.version for each in store.listing("assigned")] == [2]


def test_without_zookeeper_every_method_says_so(bed: ZooKeeperBed, relay: Relay) -> None:
    store = bed.open(hosts=f"127.0.0.1:{relay.port}")
    store.create(record(EPOCH_1))
    relay.silence()
    relay.cut()
    claims = bed.claims
    wait_until(lambda: not claims.connected, "it is away")
    relay.silence()
    now = datetime.now(UTC)
    asked: list[Callable[[], object]] = [
        lambda: store.create(record(EPOCH_1, "b")), lambda: store.read("a"),
        lambda: store.change(record(EPOCH_1), 1), store.listing, lambda: store.latest(1),
        lambda: store.known("a"), lambda: store.recent("p@example.com", now), lambda: store.recent_all(now),
        lambda: store.warned("p@example.com", now), lambda: store.forget(1.0, [], EPOCH_1),
        lambda: store.attempt("1.1"), lambda: store.pause(on=True),
    ]  # fmt: skip
    for method in asked:
        with pytest.raises(TransientError):
            method()
    assert store.counts()["accepted"] == 1, "numbers are those last known"
    back = threading.Event()
    store.subscribe(back.set)
    relay.speak()
    assert back.wait(30), "who waits is told that it is back"
    assert store.known("a")


def test_an_answer_that_is_lost(bed: ZooKeeperBed, relay: Relay) -> None:
    """The connection breaks at each change, before it or after: what is said is what is."""
    store = bed.open(hosts=f"127.0.0.1:{relay.port}")
    store.create(record(EPOCH_1))
    version = 1
    for number in range(1, 11):
        relay.cut_in = 1
        try:
            version = store.change(
                record(EPOCH_1, queued_at=float(number)), version, as_master=bool(number % 2)
            ).version
            done = True
        except TransientError:
            done = False
        found = wait_until(lambda: _asked(store), "it is connected again")
        assert found.version == version
        assert (found.queued_at == number) is done


def _asked(store: RecordStore) -> Record | None:
    try:
        return store.read("a")
    except TransientError:
        return None


def test_of_too_many_the_oldest_go(bed: ZooKeeperBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.jobs.recordzk.MOST_RECORDS", 2)
    store = bed.open()
    for number in range(4):
        store.create(record(EPOCH_1, f"r{number}", state="done", changed_at=100.0 + number))
    store.create(record(EPOCH_1, "open"))
    assert store.forget(1.0, [], EPOCH_1) == ["r0", "r1"]


def test_counts_of_mails_that_nobody_asks_for_go(bed: ZooKeeperBed) -> None:
    store = bed.open()
    store.attempt("1.5")
    store.forget(1.0, [], EPOCH_1)
    assert store.attempt("1.5") == 2
    store.forget(datetime.now(UTC).timestamp() + 3600, [], EPOCH_1)
    assert store.attempt("1.5") == 1


# -- nodes -------------------------------------------------------------------------------------------
class Hosts:
    """AUDIO has the recordings, AUDIO2 is the master; AUDIO reaches ZooKeeper by way of `relay`."""

    def __init__(self, bed: ZooKeeperBed, relay: Relay, folder: Path) -> None:
        self.bed = bed
        self.folder = folder
        self.through = f"127.0.0.1:{relay.port}"
        self.cluster = Cluster(AUDIO=("audio", "s3"), AUDIO2=("s3",))
        self.at_work = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.audio = self.fresh()
        self.audio2 = NodeParts(
            "AUDIO2", folder / "audio2", bed.open("AUDIO2"), self.cluster, lease=Lease(EPOCH_1)
        )

    def fresh(self) -> NodeParts:
        """AUDIO after a restart."""
        made = NodeParts(
            "AUDIO",
            self.folder / "audio",
            self.bed.open("AUDIO", self.through, self.folder / "audio"),
            self.cluster,
            lease=Lease(EPOCH_1, held=False),
            works={"RAMAIS": self._work},
        )
        self.claims = self.bed.claims
        return made

    def _work(self, request: Request, folder: Path) -> Outcome:
        self.audio.done.append(request.request_id)
        self.at_work.set()
        assert self.go_on.wait(60)
        return NothingFound()

    def untold(self) -> int:
        return len(UntoldSteps(self.folder / "audio" / "untold").all())


@pytest.fixture
def hosts(bed: ZooKeeperBed, relay: Relay, tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(bed, relay, tmp_path)
    yield made
    made.go_on.set()


def test_from_one_node_to_the_other_and_done(hosts: Hosts) -> None:
    with hosts.audio.running(), hosts.audio2.running():
        hosts.audio2.accept("one")
        hosts.audio2.accept("check", command="CHECKIP")
        for name in ("one", "check"):
            wait_until(lambda name=name: hosts.audio2.is_in(name, "done"), f"{name} is done")
    assert hosts.audio.done == ["one"]
    assert hosts.audio.files() == {"completed": ["one"]}
    assert hosts.audio2.files() == {"completed": ["check"]}


def test_cut_off_at_work_and_back(hosts: Hosts, relay: Relay) -> None:
    """What is worked on is ended; its outcome waits on the disk, and nothing is done twice."""
    hosts.go_on.clear()
    with hosts.audio.running(), hosts.audio2.running():
        hosts.audio2.accept("one")
        assert hosts.at_work.wait(30)
        relay.silence()
        wait_until(lambda: not hosts.claims.connected, "it is cut off")
        hosts.go_on.set()
        wait_until(lambda: hosts.untold() == 1, "the outcome is on the disk")
        assert hosts.audio.mails() == []
        relay.cut()
        wait_until(lambda: hosts.audio2.is_in("one", "done"), "it is told, and answered")
    assert hosts.audio.done == ["one"]
    assert len(hosts.audio.mails()) == 1
    assert hosts.untold() == 0


def test_an_untold_outcome_survives_the_process(hosts: Hosts, relay: Relay) -> None:
    hosts.go_on.clear()
    with hosts.audio2.running():
        with hosts.audio.running():
            hosts.audio2.accept("one")
            assert hosts.at_work.wait(30)
            relay.silence()
            wait_until(lambda: not hosts.claims.connected, "it is cut off")
            hosts.go_on.set()
            wait_until(lambda: hosts.untold() == 1, "the outcome is on the disk")
        relay.cut()
        hosts.audio = hosts.fresh()
        with hosts.audio.running():
            wait_until(lambda: hosts.audio2.is_in("one", "done"), "it is told, and answered")
    assert hosts.audio.done == []
    assert hosts.audio2.record("one").attempt == 1


def test_cut_off_and_taken_over(hosts: Hosts, relay: Relay) -> None:
    """What it ends with comes too late; nothing of it goes out, and its file is put away."""
    hosts.go_on.clear()
    takeover = Takeover(hosts.audio2.book, lambda: 1.0)
    with hosts.audio2.running(takeover), hosts.audio.running():
        hosts.audio.accept("one", source="s3")
        assert hosts.at_work.wait(30)
        relay.silence()
        hosts.cluster.lose("AUDIO")
        wait_until(lambda: hosts.audio2.is_in("one", "done"), "the other one has done it")
        hosts.go_on.set()
        wait_until(lambda: not hosts.claims.connected and hosts.untold() == 1, "it has ended, cut off")
        relay.cut()
        hosts.cluster.back("AUDIO")
        wait_until(lambda: hosts.untold() == 0, "it was told, too late")
        wait_until(lambda: hosts.audio.files() == {"superseded": ["one"]}, "its file is put away")
    assert hosts.audio2.done == ["one"]
    assert (len(hosts.audio.mails()), len(hosts.audio2.mails())) == (0, 1)


def test_a_lane_whose_claim_was_made_and_not_told_goes_on(hosts: Hosts) -> None:
    """The record says running, and nobody works on it: not for half an hour."""
    with hosts.audio.running():
        hosts.audio.accept("one")
        wait_until(lambda: hosts.audio.is_in("one", "done"), "its node runs")
        two = hosts.audio.accept("two")
        hosts.audio.book.advance(
            two, lambda r: policy.running(policy.assigned(r, "AUDIO", 5.0), "AUDIO", 5.0)
        )
        wait_until(lambda: hosts.audio.is_in("two", "done"), "it is done")
    assert hosts.audio.done == ["one", "two"]


def test_a_lost_outcome_is_made_again(hosts: Hosts) -> None:
    made = hosts.audio.accept("one")
    hosts.audio.store.change(
        msgspec.structs.replace(made, state="produced", owner="AUDIO", attempt=1, kept="0" * 64), made.version
    )
    with hosts.audio.running():
        wait_until(lambda: hosts.audio.is_in("one", "done"), "it is done again, and answered")
    assert hosts.audio.done == ["one"]
    assert hosts.audio.record("one").attempt == 1


# -- everything is lost --------------------------------------------------------------------------------
def test_zookeeper_loses_everything(tmp_path: Path) -> None:
    """Each node makes the records of its files again; mails in the inbox lead to the same; nothing twice."""
    with Ensemble(1) as zookeeper, Relay(zookeeper.servers[0].place.client) as relay:
        bed = ZooKeeperBed(zookeeper.hosts, "/arimonitor", tmp_path, timeout=2.0).begin()
        hosts = Hosts(bed, relay, tmp_path)
        inbox = tmp_path / "inbox"
        put(inbox, "answered")
        with hosts.audio.running(), reading(hosts.audio2, inbox):
            wait_until(lambda: len(hosts.audio.mails()) == 1, "one is done from the mail to the answer")
            wait_until(lambda: hosts.audio2.store.counts()["done"] == 1, "and its mail is away")
            answered = hosts.audio2.store.latest(1, "done")[0].request.request_id
        # As it is when a crash comes between the answer and the mail's way to Done: the mail is still there.
        (left,) = (inbox / ".Done" / "cur").iterdir()
        left.rename(inbox / "new" / "again")
        hosts.audio.book.assign(hosts.audio.accept("waits"))
        working = hosts.audio.accept("works")
        hosts.audio.book.assign(working)
        now = hosts.audio.record("works")
        hosts.audio.book.write(hosts.audio.book.advance(now, lambda r: policy.running(r, "AUDIO", 5.0)))
        put(inbox, "new")
        assert hosts.audio.files()["pending"] == ["waits"]
        assert hosts.audio.files()["processing"] == ["works"]
        hosts.audio.done.clear()

        zookeeper.wipe()
        tree = bed.tree()
        tree.create(EPOCH, b"")
        tree.set(EPOCH, b"1", ANY)
        for node in (hosts.audio, hosts.audio2):
            node.lease.epoch = EPOCH_2
        with reading(hosts.audio2, inbox):
            wait_until(
                lambda: hosts.audio2.is_in(answered, "accepted") or hosts.audio2.is_in(answered, "assigned"),
                "the mail has its record, before AUDIO",
            )
            with hosts.audio.running():
                for name in ("waits", "works", answered):
                    wait_until(lambda name=name: hosts.audio.is_in(name, "done"), f"{name} is done")
                wait_until(lambda: hosts.audio2.store.counts()["done"] == 4, "what was never seen too")
        bed.close()
    assert sorted(hosts.audio.done)[1:] == ["waits", "works"]
    assert len(hosts.audio.done) == 3
    assert answered not in hosts.audio.done, "the one that was answered is not done again"
    assert len(hosts.audio.mails()) == 4
    assert len(list((inbox / ".Done" / "cur").iterdir())) == 2
