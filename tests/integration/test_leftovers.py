"""A MACCHANGE that is given up half done: its folder stays until it is undone, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from daemon.jobs import policy
from daemon.jobs.book import Book
from daemon.jobs.leftovers import Leftovers
from daemon.jobs.macchange import MacChange
from daemon.jobs.model import Record, Request
from daemon.jobs.policy import Limits
from daemon.jobs.recordfile import RecordFile
from daemon.jobs.records import Held
from daemon.jobs.runner import Lane, clear
from daemon.jobs.spool import Spool
from daemon.settings import Settings
from tests.servers import sshd
from tests.servers.daemon import wait_until
from tests.servers.sshd import Sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)

OLD, NEW = "00:15:65:aa:bb:0c", "80:5e:c0:dd:ee:1f"
AS_IT_WAS = {"001565aabb0c.cfg": b"account.1.user_name = 1121\nmac = 00:15:65:AA:BB:0C\n"}


def here(fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
    return fn(*data)


class Site:
    """The commands' lane of a node, its records, and a server with provisioning files."""

    def __init__(self, server: Sshd, folder: Path, max_tries: int) -> None:
        self.work = folder / "work"
        self.files = folder / "provisioning"
        self.files.mkdir()
        for name, content in AS_IT_WAS.items():
            (self.files / name).write_bytes(content)
        self.store = RecordFile(folder / "requests.sqlite", here)
        self.store.open(1)
        spool = Spool(folder / "queue")
        spool.prepare()
        limits = Limits(max_tries=max_tries)
        self.book = Book(
            self.store,
            spool,
            here,
            owner="AUDIO",
            mastership=Held(1),
            zone=ZoneInfo("UTC"),
            limits=lambda: limits,
        )
        known = {"server": [server.settings(provisioning_dir=str(self.files))]}
        self.settings = Settings.model_validate(known)
        asked = {"ramal": "1121", "mac_atual": OLD, "mac_futuro": NEW}
        request = Request("one", "MACCHANGE", "person@example.com", asked, server="gv1p")
        assert self.book.create(Record(request=request, state="accepted", version=0))
        self.book.assign(self.record())
        self.leftovers = self.fresh()

    def fresh(self) -> Leftovers:
        undo = MacChange(lambda: self.settings).abandon
        return Leftovers(self.book, self.work, {"MACCHANGE": undo}, every=0.05, first=0.2)

    def record(self) -> Record:
        found = self.store.read("one")
        assert found is not None
        return found

    def undone(self) -> bool:
        self.book.nudge()  # the lane looks by itself every 5 s
        return not (self.work / "one").exists()

    def waits(self) -> bool:
        self.book.nudge()
        return self.leftovers.waiting == 1

    def there(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.files.iterdir()}

    @contextmanager
    def lane(self, passed: Callable[[str], object]) -> Iterator[None]:
        works = {"MACCHANGE": MacChange(lambda: self.settings, passed)}
        lane = Lane("commands", self.book, works, self.work, leftovers=self.leftovers)  # type: ignore[arg-type]
        stop = threading.Event()
        thread = threading.Thread(target=lane.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)


def test_out_of_tries_while_the_server_is_away(tmp_path: Path) -> None:
    with Sshd() as server:
        site = Site(server, tmp_path, max_tries=1)
        with site.lane(lambda step: server.stop() if step == "written" else None):
            wait_until(lambda: site.record().state == "produced", "it is given up")
            failure = site.record().failure
            assert failure is not None
            assert failure.code == policy.OUT_OF_TRIES
            wait_until(site.waits, "it can't be undone now")
            assert (site.work / "one" / "macchange.json").exists()
            assert len(site.there()) == 2, "half done"
            clear(site.work)  # what a start of the daemon does
            server.start()
            wait_until(site.undone, "undone")
            assert site.there() == AS_IT_WAS
            assert site.leftovers.waiting == 0


def test_cancelled_between_two_tries(tmp_path: Path) -> None:
    with Sshd() as server:
        site = Site(server, tmp_path, max_tries=3)
        with site.lane(lambda step: server.stop() if step == "written" else None):
            wait_until(lambda: site.record().not_before > 0, "the first try failed")
            site.book.advance(site.record(), lambda r: policy.cancelled(r, site.book.now()))
            server.start()
            wait_until(site.undone, "undone")
            assert site.there() == AS_IT_WAS


def test_what_is_open_or_not_known_stays(tmp_path: Path) -> None:
    """Without its record a folder stays 14 days: the mail may make the same request again."""
    with Sshd() as server:
        site = Site(server, tmp_path, max_tries=3)
        for name in ("one", "unknown", "recording.1"):
            (site.work / name).mkdir(parents=True)
        site.leftovers.sweep()
        assert sorted(path.name for path in site.work.iterdir()) == ["one", "recording.1", "unknown"]
        record = site.record()
        site.store.change(msgspec.structs.replace(record, state="failed"), record.version)
        site.fresh().sweep()
        assert sorted(path.name for path in site.work.iterdir()) == ["recording.1", "unknown"]
