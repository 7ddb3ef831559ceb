"""An Asterisk's files on another machine, mirrored over a real sshd."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import pytest

from daemon.directory.definitions import CLIENTS_FILE, ENDPOINTS_FILE
from daemon.errors import PermanentError, TransientError
from daemon.machines.mirror import Mirror
from tests.servers import sshd
from tests.servers.sshd import Sshd
from tests.servers.waiting import DEADLINE, wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


class Site:
    """The folder there, the mirror here."""

    def __init__(self, server: Sshd, folder: Path) -> None:
        self.server = server
        self.there, self.here = folder / "there", folder / "data/mirror/voip3"
        self.there.mkdir()
        self.cdr = self.there / "Master.csv"
        self.write(CLIENTS_FILE, "[101]\n")
        self.mirror = self.new_mirror()

    def new_mirror(self) -> Mirror:
        """As of another process."""
        place = self.server.place()
        return Mirror("voip3", place, self.there, self.cdr, self.here, lambda: None)

    def write(self, name: str, text: str, mtime: int = 1_700_000_000) -> None:
        (self.there / name).write_text(text)
        os.utime(self.there / name, (mtime, mtime))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.here.iterdir())

    def append(self, *rows: str) -> None:
        with self.cdr.open("a") as file:
            file.writelines(row + "\n" for row in rows)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Sshd() as server:
        yield Site(server, tmp_path)


def test_only_what_changed_is_fetched(site: Site) -> None:
    assert site.mirror.refresh() == [CLIENTS_FILE]
    assert (site.here / CLIENTS_FILE).read_text() == "[101]\n"
    assert site.mirror.refresh() == []
    site.write(CLIENTS_FILE, "[102]\n", mtime=1_700_000_001)
    site.write(ENDPOINTS_FILE, "")
    assert site.mirror.refresh() == [CLIENTS_FILE, ENDPOINTS_FILE]
    assert (site.here / CLIENTS_FILE).read_text() == "[102]\n"
    assert site.new_mirror().refresh() == [], "another process knows what is here"
    assert site.mirror.refresh(all_of_them=True) == [CLIENTS_FILE, ENDPOINTS_FILE]


def test_a_change_is_noticed_and_told(site: Site) -> None:
    told, stop = Queue[None](), Event()
    place = site.server.place()
    mirror = Mirror("voip3", place, site.there, None, site.here, lambda: told.put(None), every=0.1)
    service = Thread(target=mirror.run, args=(stop,), daemon=True)
    service.start()
    told.get(timeout=DEADLINE)
    site.write(CLIENTS_FILE, "[102]\n", mtime=1_700_000_001)
    told.get(timeout=DEADLINE)
    assert (site.here / CLIENTS_FILE).read_text() == "[102]\n"
    site.server.stop()
    wait_until(lambda: mirror.away, "it is noticed that the machine is away")
    site.write(CLIENTS_FILE, "[103]\n", mtime=1_700_000_002)
    site.server.start()
    told.get(timeout=DEADLINE)
    assert (site.here / CLIENTS_FILE).read_text() == "[103]\n"
    stop.set()
    service.join(DEADLINE)
    assert not service.is_alive()


def test_what_is_gone_there_stays_here(site: Site) -> None:
    site.mirror.refresh()
    (site.there / CLIENTS_FILE).unlink()
    assert site.mirror.refresh() == []
    assert site.mirror.problem == f"{site.there / CLIENTS_FILE} is not there any more: the copy of it stays"
    assert site.names() == [CLIENTS_FILE]
    site.write(CLIENTS_FILE, "[101]\n")
    site.mirror.refresh()
    assert site.mirror.problem == ""


def test_a_machine_that_is_away(site: Site) -> None:
    site.mirror.refresh()
    site.server.stop()
    with pytest.raises(TransientError):
        site.mirror.refresh()
    assert "can't be reached" in site.mirror.problem
    assert (site.here / CLIENTS_FILE).read_text() == "[101]\n"
    with pytest.raises(TransientError, match="can't be reached"):
        site.mirror.cdr()
    site.server.start()
    site.mirror.refresh()
    assert (site.mirror.problem, site.mirror.away) == ("", False)


def test_it_looks_and_tries_again_by_itself(site: Site) -> None:
    changed = threading.Semaphore(0)
    place = site.server.place()
    mirror = Mirror("voip3", place, site.there, site.cdr, site.here, changed.release, every=0.05)
    stop = threading.Event()
    loop = threading.Thread(target=mirror.run, args=(stop,))
    loop.start()
    try:
        assert changed.acquire(timeout=DEADLINE), "the first copy"
        site.server.stop()
        wait_until(lambda: mirror.away, "it notices that the machine is away")
        site.write(CLIENTS_FILE, "[102]\n", mtime=1_700_000_001)
        site.server.start()
        assert changed.acquire(timeout=DEADLINE), "what changed meanwhile"
    finally:
        stop.set()
        loop.join(DEADLINE)
    assert (site.here / CLIENTS_FILE).read_text() == "[102]\n"


def test_a_changed_host_key_leaves_the_copies(site: Site) -> None:
    site.mirror.refresh()
    site.server.new_host_key()
    site.server.restart()
    site.write(CLIENTS_FILE, "[666]\n", mtime=1_700_000_002)
    with pytest.raises(PermanentError, match="HOST KEY HAS CHANGED"):
        site.mirror.refresh()
    assert (site.here / CLIENTS_FILE).read_text() == "[101]\n"


def test_the_end_of_the_cdr(site: Site) -> None:
    with pytest.raises(TransientError, match=r"Master\.csv is not there"):
        site.mirror.cdr()
    site.append("one", "two")
    first = site.mirror.cdr()
    assert first.read_text() == "one\ntwo\n"
    site.append("three")
    assert site.mirror.cdr().read_text() == "one\ntwo\nthree\n"
    assert not first.exists(), "one copy only"
    assert site.new_mirror().cdr().read_text() == "one\ntwo\nthree\n"


def test_the_recordings_of_a_time(site: Site) -> None:
    day = site.there / "2025/10/27"
    day.mkdir(parents=True)
    for began in (1761562800, 1761562900):
        (day / f"internal-1-2-20251027-080000-{began}.1.wav").write_bytes(bytes(44 + 16_000))
        os.utime(day / f"internal-1-2-20251027-080000-{began}.1.wav", (began + 5, began + 5))
    (found,) = site.mirror.recorded(str(site.there), 1761562790_000, 1761562810_000)
    assert (found.uniqueid, found.modified, found.talked) == ("1761562800.1", 1761562805_000, 1000)
    site.server.stop()
    with pytest.raises(TransientError, match="refuse"):
        site.mirror.recorded(str(site.there), 0, 1)


def test_a_cdr_that_began_anew(site: Site) -> None:
    """Rotated: shorter, and later longer again than what was known."""
    site.append("one", "two")
    site.mirror.cdr()
    site.cdr.write_text("a\n")
    assert site.mirror.cdr().read_text() == "a\n"
    site.cdr.write_text("b\nc\nd\ne\nf\n")
    assert site.mirror.cdr().read_text() == "b\nc\nd\ne\nf\n"


def test_only_the_end_of_a_long_cdr(site: Site) -> None:
    row = "x" * 1023
    site.append(*[row] * (9 * 1024))
    found = site.mirror.cdr().read_text().splitlines()
    assert set(found) == {row}
    assert len(found) == 8 * 1024 - 1, "the first was cut"
    site.append("last")
    again = site.mirror.cdr().read_text().splitlines()
    assert again[-1] == "last"
    assert set(again) == {row, "last"}
