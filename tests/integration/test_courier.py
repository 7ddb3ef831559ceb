"""A request's file on its way to the other node's queue: a real sshd, and everything that goes wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from daemon.errors import PermanentError, TransientError
from daemon.jobs.courier import Courier
from daemon.jobs.model import Record, Request
from daemon.jobs.spool import FOLDERS, Spool
from daemon.settings import Settings
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)

ID = "20251027_110000_1a2b3c4d"


def record(**other: Any) -> Record:
    parameters = {
        "ramais": "1121",
        "inicio": "27/10/2025",
        "fim": "27/10/2025",
        "email": "person@example.com",
    }
    request = Request(ID, "RAMAIS", "person@example.com", parameters, **other)
    return Record(request, "accepted", 1, accepted_at=1_761_562_800.0, queued_at=1_761_562_800.0)


class Peer:
    """The other node's queue, and a courier to it."""

    def __init__(self, server: Sshd, folder: Path) -> None:
        self.server, self.queue = server, folder / "queue"
        if not self.queue.exists():
            Spool(self.queue).prepare()

    def settings(self, **other: Any) -> Settings:
        peer = self.server.settings("audio2", queue_dir=str(self.queue), **other)
        return Settings.model_validate({"node": {"name": "audio"}, "peer": [peer]})

    def courier(self, **other: Any) -> Courier:
        return Courier(self.settings(**other), timeout=2.0)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.queue)) for path in self.queue.rglob("*") if path.is_file())

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.queue / "pending" / f"{ID}.json").read_text())
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def peer(server: Sshd, tmp_path: Path) -> Peer:
    return Peer(server, tmp_path)


def test_a_request_arrives(peer: Peer) -> None:
    courier = peer.courier()
    courier.send(record(), "audio2")
    assert peer.files() == [f"pending/{ID}.json"]
    assert peer.content()["parameters"]["ramais"] == "1121"
    assert (peer.queue / "pending" / f"{ID}.json").stat().st_mode & 0o777 == 0o640
    assert courier.sent == 1


def test_twice_the_same_is_once(peer: Peer) -> None:
    courier = peer.courier()
    courier.send(record(), "audio2")
    before = (peer.queue / "pending" / f"{ID}.json").stat()
    courier.send(record(), "audio2")
    later = msgspec.structs.replace(record(), attempt=2, note="the peer was away")
    courier.send(later, "audio2")
    after = (peer.queue / "pending" / f"{ID}.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (peer.files(), courier.sent) == ([f"pending/{ID}.json"], 1)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_further_on_there_is_not_sent_again(peer: Peer, folder: str) -> None:
    """A courier that was frozen for an hour must not put a request back into the line."""
    courier = peer.courier()
    courier.send(record(), "audio2")
    (peer.queue / "pending" / f"{ID}.json").rename(peer.queue / folder / f"{ID}.json")
    courier.send(record(), "audio2")
    assert peer.files() == [f"{folder}/{ID}.json"]


@pytest.mark.parametrize("text", ['{"request_id": "x"}', "[]", "no JSON", ""])
def test_another_content_is_an_error_that_names_it(peer: Peer, text: str) -> None:
    path = peer.queue / "pending" / f"{ID}.json"
    path.write_text(text)
    with pytest.raises(PermanentError, match=rf"audio2 .*{path} is there already, with another content"):
        peer.courier().send(record(), "audio2")
    assert (path.read_text(), peer.files()) == (text, [f"pending/{ID}.json"])
    path.unlink()
    peer.courier().send(record(), "audio2")
    with pytest.raises(PermanentError, match="with another content"):
        peer.courier().send(record(message_id="<other@example.com>"), "audio2")


def test_many_at_once_are_one(peer: Peer) -> None:
    courier = peer.courier()
    done: list[int] = []

    def send() -> None:
        courier.send(record(), "audio2")
        done.append(1)

    threads = [Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 5
    assert peer.content()["request_id"] == ID
    assert peer.files() == [f"pending/{ID}.json"]


def test_a_peer_that_nobody_knows(peer: Peer) -> None:
    with pytest.raises(PermanentError, match=r"no \[\[peer\]\] 'audio3'"):
        peer.courier().send(record(), "audio3")


def test_a_peer_that_is_down(tmp_path: Path) -> None:
    with Sshd() as server:
        peer = Peer(server, tmp_path)
        server.stop()
        with pytest.raises(TransientError, match=r"audio2 \(.*can't be reached"):
            peer.courier().send(record(), "audio2")
        server.start()
        peer.courier().send(record(), "audio2")
    assert peer.files() == [f"pending/{ID}.json"]


def test_a_peer_that_hangs(tmp_path: Path) -> None:
    with Sshd() as server:
        peer = Peer(server, tmp_path)
        server.freeze()
        with pytest.raises(TransientError, match="audio2"):
            peer.courier().send(record(), "audio2")
        server.thaw()


def test_a_peer_with_another_host_key(tmp_path: Path) -> None:
    """Somebody must mend it; meanwhile the request waits."""
    with Sshd() as server:
        peer = Peer(server, tmp_path)
        server.new_host_key()
        server.restart()
        with pytest.raises(TransientError, match="ITS HOST KEY HAS CHANGED"):
            peer.courier().send(record(), "audio2")
    assert peer.files() == []


def test_a_peer_without_that_folder(peer: Peer) -> None:
    (peer.queue / "pending").rmdir()
    with pytest.raises(TransientError, match="it is not there"):
        peer.courier().send(record(), "audio2")


def test_a_peer_whose_disk_is_full(server: Sshd, tmp_path: Path) -> None:
    with small_disk(tmp_path / "queue", "1m") as disk:
        Spool(disk).prepare()
        peer = Peer(server, tmp_path)
        ballast = fill(disk)
        with pytest.raises(TransientError, match="is its disk full"):
            peer.courier().send(record(), "audio2")
        ballast.unlink()
        assert peer.files() == []
        peer.courier().send(record(), "audio2")
        assert peer.files() == [f"pending/{ID}.json"]


@pytest.mark.parametrize("after", [3000, 3600, 4200, 4800, 5400, 6000, 6600, 7200])
def test_cut_anywhere_it_is_whole_or_not_there(peer: Peer, tmp_path: Path, after: int) -> None:
    """`after` so many bytes from the server: from the greeting to the rename."""
    known = tmp_path / "known_hosts"
    with Relay(peer.server.port) as relay:
        key = (peer.server.base / "host_key.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
        courier = peer.courier(port=relay.port, known_hosts=str(known))
        relay.cut_in = after
        with contextlib.suppress(TransientError):
            courier.send(record(), "audio2")
        names = [name for name in peer.files() if not Path(name).name.startswith(".")]
        assert names in ([], [f"pending/{ID}.json"])
        relay.cut_in = 0
        courier.send(record(), "audio2")
    Spool(peer.queue).prepare()
    assert peer.files() == [f"pending/{ID}.json"]
    assert peer.content()["request_id"] == ID


_KILLED = """
import gevent.monkey
gevent.monkey.patch_all()
import msgspec, sys
from daemon.jobs.courier import Courier
from daemon.jobs.model import Record
from daemon.settings import Settings
settings, record = sys.stdin.buffer.read().split(b"\\0")
courier = Courier(Settings.model_validate_json(settings))
print("ready", flush=True)
courier.send(msgspec.json.decode(record, type=Record), "audio2")
"""


def test_killed_in_the_middle_nothing_is_in_the_line(tmp_path: Path) -> None:
    """The queue looks at no file that begins with a dot, and takes it away at its next start."""
    with Sshd() as server, small_disk(tmp_path / "queue", "1m") as disk:
        Spool(disk).prepare()
        peer = Peer(server, tmp_path)
        with Relay(server.port) as relay:
            known = tmp_path / "known_hosts"
            key = (server.base / "host_key.pub").read_text().split()[:2]
            known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
            settings = peer.settings(port=relay.port, known_hosts=str(known))
            text = json.dumps({"node": {"name": "audio"}, "peer": [settings.peer[0].model_dump(mode="json")]})
            relay.pause = 0.05
            child = subprocess.Popen([sys.executable, "-c", _KILLED], stdin=subprocess.PIPE)
            assert child.stdin is not None
            child.stdin.write(text.encode() + b"\0" + msgspec.json.encode(record()))
            child.stdin.close()
            pending = disk / "pending"
            wait_until(lambda: any(pending.iterdir()), "it is being written", every=0.002)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        assert Spool(disk).dropped([], 1e12) == [] or peer.content()["request_id"] == ID
        peer.courier().send(record(), "audio2")
        Spool(disk).prepare()
        assert peer.files() == [f"pending/{ID}.json"]
