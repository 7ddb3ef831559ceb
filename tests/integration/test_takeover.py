"""A node is lost: what can be done elsewhere is, what can't waits and says so, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.jobs import policy
from daemon.jobs.model import Failure, NothingFound, Record
from daemon.jobs.policy import NotAllowed
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.takeover import Takeover
from tests.integration.node_parts import Cluster, Lease, NodeParts, here
from tests.servers.waiting import wait_until


class Site:
    """AUDIO has recordings on its disk and in S3, AUDIO2 those in S3; AUDIO2 is the master."""

    def __init__(self, folder: Path) -> None:
        self.store = RecordFile(folder / "requests.sqlite", here)
        self.store.open(1)
        self.cluster = Cluster(AUDIO=("audio", "s3"), AUDIO2=("s3",))
        self.audio = NodeParts("AUDIO", folder / "audio", self.store, self.cluster, lease=Lease(held=False))
        self.audio2 = NodeParts("AUDIO2", folder / "audio2", self.store, self.cluster)
        self.time = 0.0
        self.takeover = Takeover(self.audio2.book, lambda: 10.0, clock=lambda: self.time)

    def lost(self, request_id: str, state: str, **other: Any) -> Record:
        """A record that AUDIO has left in this state."""
        accepted = self.audio.accept(
            request_id, **{k: other.pop(k) for k in ("command", "source") if k in other}
        )
        if state == "accepted":
            return accepted
        new = msgspec.structs.replace(accepted, **{"state": state, "owner": "AUDIO", **other})
        return self.store.change(new, accepted.version)

    def owner(self, request_id: str) -> str:
        self.audio2.book.nudge()
        return self.audio2.record(request_id).owner


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_can_be_done_elsewhere_is_taken_over(site: Site) -> None:
    site.lost("accepted", "accepted", source="s3")
    site.lost("assigned", "assigned", source="s3")
    site.lost("running", "running", source="s3", attempt=1)
    site.lost("command", "running", command="CHECKIP", attempt=1)
    site.lost("failing", "produced", failure=Failure("impossible"))
    site.lost("sending", "replying", outcome=NothingFound())
    site.cluster.lose("AUDIO")
    names = ("accepted", "assigned", "running", "command", "sending")
    with site.audio2.running(site.takeover):
        wait_until(lambda: site.takeover.status()["away"] == ["AUDIO"], "it is seen")
        site.time = 9.0
        site.audio2.accept("own", source="s3")
        wait_until(lambda: site.audio2.is_in("own", "done"), "its own goes on")
        assert {site.owner(name) for name in names} == {"AUDIO", ""}, "not before its time"
        site.time = 10.0
        for name in names:
            wait_until(lambda name=name: site.audio2.is_in(name, "done"), f"{name} is done")
        wait_until(lambda: site.audio2.is_in("failing", "failed"), "the failure is told")
    assert sorted(site.audio2.done) == ["accepted", "assigned", "command", "own", "running"]
    assert len(site.audio2.mails()) == 7
    assert site.audio2.record("running").taken_from == "AUDIO"
    assert site.audio2.record("running").attempt == 2
    site.cluster.back("AUDIO")
    for name in names[:4]:
        site.audio.spool.put(name, "pending", b'{"status": "pending", "owner": "AUDIO"}')
    with site.audio.running():
        wait_until(lambda: "pending" not in site.audio.files() or site.audio.done, "it looks at its files")
    assert site.audio.done == []
    assert site.audio.mails() == []


def test_what_only_the_lost_node_has_waits_and_goes_on_there(site: Site) -> None:
    site.lost("running", "running", attempt=1)
    site.audio.book.write(site.audio.record("running"))
    site.lost("assigned", "assigned")
    site.cluster.lose("AUDIO")
    site.time, site.audio2.limits = 100.0, policy.Limits(confirmation=0.0)
    with site.audio2.running(site.takeover):
        wait_until(lambda: site.takeover.status()["away"], "it is seen")
        site.time = 200.0
        wait_until(lambda: len(site.audio2.mails()) == 2, "both requesters are told, by the master")
        for name in ("running", "assigned"):
            record = site.audio2.record(name)
            assert (record.owner, record.waits_for, record.told) == ("AUDIO", "AUDIO", ("away",))
        site.cluster.back("AUDIO")
        with site.audio.running():
            for name in ("running", "assigned"):
                wait_until(lambda name=name: site.audio.is_in(name, "done"), f"{name} is done")
    assert sorted(site.audio.done) == ["assigned", "running"]
    assert site.audio2.done == []
    assert len(site.audio2.mails()) == 2


def test_a_short_absence_changes_nothing(site: Site) -> None:
    site.lost("one", "assigned", source="s3")
    with site.audio2.running(site.takeover):
        for _ in range(2):
            site.cluster.lose("AUDIO")
            wait_until(lambda: site.takeover.status()["away"], "it is away")
            site.time += 9.0
            site.cluster.back("AUDIO")
            wait_until(lambda: not site.takeover.status()["away"], "it is back")
    assert site.owner("one") == "AUDIO"


def test_who_is_not_the_master_takes_nothing(site: Site) -> None:
    site.lost("one", "assigned", source="s3")
    site.cluster.lose("AUDIO")
    site.audio2.lease.held = False
    with pytest.raises(NotAllowed, match="not the master"):
        site.takeover.requeue("AUDIO")
    site.audio2.lease.held = True
    site.cluster.back("AUDIO")
    with pytest.raises(NotAllowed, match="AUDIO is here"):
        site.takeover.requeue("AUDIO")


def test_at_once_by_the_operator(site: Site) -> None:
    site.lost("one", "assigned", source="s3")
    site.lost("two", "assigned")
    site.cluster.lose("AUDIO")
    assert (
        site.takeover.requeue("AUDIO")
        == "1 requests of AUDIO are taken over; 1 wait for it: nobody else has their recordings"
    )
    assert site.owner("one") == "AUDIO2"
    assert (
        site.takeover.requeue("AUDIO")
        == "0 requests of AUDIO are taken over; 1 wait for it: nobody else has their recordings"
    )


def test_who_was_only_cut_off_can_not_go_on(site: Site) -> None:
    """It works while it is taken over; what it finds is refused, and its file is put away."""
    site.lost("one", "assigned", source="s3")
    taken = []

    def work(request: Any, folder: Path) -> NothingFound:
        if not taken:
            site.cluster.lose("AUDIO")
            taken.append(site.takeover.requeue("AUDIO"))
            site.cluster.back("AUDIO")
        return NothingFound()

    late = NodeParts("AUDIO", site.audio.spool.root.parent, site.store, site.cluster, works={"RAMAIS": work})
    with late.running():
        wait_until(lambda: taken, "it is taken over")
        wait_until(lambda: late.files().get("superseded"), "its file is put away")
    assert site.owner("one") == "AUDIO2"
    assert site.audio2.record("one").state == "assigned"
    assert late.mails() == []


def test_what_was_answered_and_has_no_mail_is_ended(site: Site) -> None:
    site.lost("one", "replied", told=("result",))
    site.lost("two", "replied", told=("result",), uid="1.7")
    site.cluster.lose("AUDIO")
    site.takeover.requeue("AUDIO")
    assert site.audio2.record("one").state == "done"
    assert site.audio2.record("two").state == "replied", "the mailbox's service moves its mail"
