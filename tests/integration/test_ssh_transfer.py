"""Big files to and from a real sshd: resumed, bounded, verified, and everything that goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssh.connection import Connection
from ssh.errors import AlreadyThere, Denied, HostKeyRefused, SshUnreachable
from ssh.pump import Pump, usable
from ssh.traffic import Moving, Progress, Traffic
from ssh.transfer import BIG, Files
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("ssh") is None:
    pytest.skip("ssh is not installed (Debian package openssh-client)", allow_module_level=True)

MB = 1_000_000
GATE = Path(__file__).parents[2] / "etc/ssh/arimonitor-gate"


class Site:
    """A big file, and where it goes."""

    def __init__(self, folder: Path, size: int = 2 * BIG + 17) -> None:
        self.folder = folder
        self.source, self.target = folder / "source", folder / "target"
        self.data = os.urandom(size)
        self.source.write_bytes(self.data)
        self.sha256 = hashlib.sha256(self.data).hexdigest()

    def whole(self) -> bool:
        return self.target.read_bytes() == self.data and self.names() == ["source", "target"]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != "known_hosts")

    def part(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob(".target.*.part"))


Direction = Callable[[Files, Site], object]


def put(files: Files, site: Site) -> object:
    return files.put(site.source, str(site.target), deadline=60, replace=True)


def get(files: Files, site: Site) -> object:
    return files.get(str(site.source), site.target, deadline=60)


both = pytest.mark.parametrize("move", [put, get])


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def known_to(server: Sshd, relay: Relay, folder: Path) -> Path:
    known = folder / "known_hosts"
    key = (server.base / "host_key.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
    return known


def children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


@both
def test_whole_and_verified_and_nothing_is_left_running(server: Sshd, site: Site, move: Direction) -> None:
    before = children()
    with Connection.open(server.place()) as connection:
        moved = move(Files(connection), site)
        assert len(children()) == len(before) + 2, "it was done by a child process and its ssh"
        assert moved == move(Files(connection), site)
    assert site.whole()
    assert children() == before


def test_sizes_around_a_piece(server: Sshd, tmp_path: Path) -> None:
    with Connection.open(server.place(bandwidth=10_000_000)) as connection:
        files = Files(connection)
        for size in (0, 1, 65_536, 65_537, 261_119, 261_120, 261_121, 522_241):
            site = Site(tmp_path, size)
            site.target.unlink(missing_ok=True)
            put(files, site)
            assert site.whole()
            site.target.unlink()
            get(files, site)
            assert site.whole()


# paramiko's own thread for reading ahead ends with a traceback when the connection is cut
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@both
@pytest.mark.parametrize("in_place", [False, True])
def test_cut_in_the_middle_it_is_gone_on_with(
    server: Sshd, site: Site, move: Direction, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setenv("PATH", "/nonexistent")
    site.target.write_bytes(b"old")
    with Relay(server.port) as relay:
        place = server.place(
            port=relay.port, known_hosts=known_to(server, relay, site.folder), bandwidth=40_000, timeout=2.0
        )
        assert usable(place) is not in_place
        with Connection.open(place) as connection:
            files = Files(connection)

            def cut() -> None:
                wait_until(lambda: site.part() > MB, "some of it is there", every=0.005)
                relay.cut()

            threading.Thread(target=cut, daemon=True).start()
            with pytest.raises(SshUnreachable, match="gv1p"):
                move(files, site)
        assert site.target.read_bytes() == b"old"
    with Connection.open(server.place()) as connection:
        moved = move(Files(connection), site)
    assert site.whole()
    assert 0 < moved.resumed < len(site.data)  # type: ignore[attr-defined]
    assert moved.sha256 == site.sha256  # type: ignore[attr-defined]


@both
def test_what_an_earlier_try_left_is_not_believed(server: Sshd, site: Site, move: Direction) -> None:
    """Rubbish under the temporary name: found by SHA-256, taken away, and moved anew at the next try."""
    about = site.source.stat()
    stamp = f"{about.st_mtime_ns:x}" if move is put else str(int(about.st_mtime))
    part = site.folder / f".target.{about.st_size}-{stamp}.part"
    part.write_bytes(b"rubbish" * 1000)
    with Connection.open(server.place()) as connection:
        files = Files(connection)
        with pytest.raises(SshUnreachable, match="did not arrive as it"):
            move(files, site)
        assert site.names() == ["source"]
        move(files, site)
    assert site.whole()


@both
def test_the_bandwidth_is_kept(server: Sshd, site: Site, move: Direction) -> None:
    """8.4 MB at 32 Mbit/s, which are 4 MB/s."""
    with Connection.open(server.place(bandwidth=32_000)) as connection:
        files = Files(connection)
        began = time.monotonic()
        move(files, site)
        seconds = time.monotonic() - began
    assert site.whole()
    assert seconds > 0.95 * len(site.data) / 4_000_000


def test_two_at_a_time_share_the_bandwidth(server: Sshd, tmp_path: Path) -> None:
    traffic, ended = Traffic(), []
    sites = []
    for name in "ab":
        (tmp_path / name).mkdir()
        sites.append(Site(tmp_path / name, BIG))

    def move(site: Site) -> None:
        with Connection.open(server.place(bandwidth=32_000)) as connection:
            get(Files(connection, traffic), site)
            ended.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=move, args=(site,)) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(site.whole() for site in sites)
    assert max(ended) - began > 0.95 * 2 * BIG / 4_000_000
    assert traffic.view() == ()


@both
def test_its_progress_can_be_seen(server: Sshd, site: Site, move: Direction) -> None:
    traffic, seen = Traffic(), []

    def look() -> None:
        wait_until(lambda: any(each.bytes > MB for each in traffic.view()), "progress", every=0.01)
        seen.extend(traffic.view())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    with Connection.open(server.place(bandwidth=40_000)) as connection:
        move(Files(connection, traffic), site)
    watcher.join(10)
    (one,) = seen
    assert isinstance(one, Progress)
    assert (one.machine, one.out, one.of) == ("gv1p", move is put, len(site.data))
    assert MB < one.bytes <= one.of
    assert one.path == str(site.target if move is put else site.source)


@both
def test_the_other_side_hangs(site: Site, move: Direction) -> None:
    with Sshd() as server, Relay(server.port) as relay:
        place = server.place(
            port=relay.port, known_hosts=known_to(server, relay, site.folder), bandwidth=40_000, timeout=1.0
        )
        with Connection.open(place) as connection:
            files = Files(connection)

            def silence() -> None:
                wait_until(lambda: site.part() > MB, "some of it is there", every=0.005)
                relay.silence()

            threading.Thread(target=silence, daemon=True).start()
            with pytest.raises(SshUnreachable, match=r"nothing moved for 3 s|broke|took too long|no answer"):
                move(files, site)
        assert not site.target.exists()


@both
def test_the_deadline(server: Sshd, site: Site, move: Direction) -> None:
    def short(files: Files) -> object:
        if move is put:
            return files.put(site.source, str(site.target), deadline=1.0, replace=True)
        return files.get(str(site.source), site.target, deadline=1.0)

    before = children()
    with Connection.open(server.place(bandwidth=8_000)) as connection:
        with pytest.raises(SshUnreachable, match="took too long"):
            short(Files(connection))
        assert children() == before


@both
def test_the_child_is_killed(server: Sshd, site: Site, move: Direction) -> None:
    with Connection.open(server.place(bandwidth=40_000)) as connection:
        files = Files(connection)

        def kill() -> None:
            wait_until(lambda: site.part() > MB, "some of it is there", every=0.005)
            for pid in children():
                if b"ssh.pumping" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        with pytest.raises(SshUnreachable, match="the process that did it was ended"):
            move(files, site)
        moved = move(files, site)  # another child does
    assert moved.resumed > 0  # type: ignore[attr-defined]
    assert site.whole()


def test_the_disk_there_is_full(server: Sshd, site: Site, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "16m") as disk:
        ballast = fill(disk)
        with Connection.open(server.place()) as connection:
            files = Files(connection)
            with pytest.raises(SshUnreachable, match="is its disk full"):
                files.put(site.source, str(disk / "target"), deadline=60, replace=False)
            ballast.unlink()
            files.put(site.source, str(disk / "target"), deadline=60, replace=False)
        assert (disk / "target").read_bytes() == site.data


def test_the_disk_here_is_full(server: Sshd, site: Site, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "16m") as disk:
        ballast = fill(disk)
        with Connection.open(server.place()) as connection:
            files = Files(connection)
            with pytest.raises(OSError, match="No space left") as caught:
                files.get(str(site.source), disk / "target", deadline=60)
            assert caught.value.errno == errno.ENOSPC
            ballast.unlink()
            files.get(str(site.source), disk / "target", deadline=60)
        assert (disk / "target").read_bytes() == site.data


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with Sshd("ForceCommand internal-sftp -R") as server, Connection.open(server.place()) as connection:
        site = Site(tmp_path)
        with pytest.raises(Denied):
            put(Files(connection), site)
        get(Files(connection), site)
        assert site.whole()


def test_what_is_there_is_not_replaced(server: Sshd, site: Site) -> None:
    with Connection.open(server.place()) as connection:
        files = Files(connection)
        files.put(site.source, str(site.target), deadline=60, replace=False)
        again = files.put(site.source, str(site.target), deadline=60, replace=False)
        assert again.resumed == len(site.data)
        site.source.write_bytes(os.urandom(len(site.data)))
        with pytest.raises(AlreadyThere, match="with other content"):
            files.put(site.source, str(site.target), deadline=60, replace=False)
    assert site.target.read_bytes() == site.data


def test_a_source_that_changes_meanwhile(server: Sshd, site: Site) -> None:
    with Connection.open(server.place(bandwidth=40_000)) as connection:
        files = Files(connection)

        def change() -> None:
            wait_until(lambda: site.part() > MB, "some of it is there", every=0.005)
            with site.source.open("ab") as file:
                file.write(b"more")

        for move in (put, get):
            changing = threading.Thread(target=change, daemon=True)
            changing.start()
            with pytest.raises(SshUnreachable, match="changed while it was"):
                move(files, site)
            changing.join(10)
            assert not site.target.exists()


def test_a_source_that_is_cut_short_meanwhile(server: Sshd, site: Site) -> None:
    with Connection.open(server.place(bandwidth=40_000)) as connection:
        files = Files(connection)

        def cut() -> None:
            wait_until(lambda: site.part() > MB, "some of it is there", every=0.005)
            os.truncate(site.source, MB // 2)

        threading.Thread(target=cut, daemon=True).start()
        with pytest.raises(SshUnreachable, match="shorter than it was"):
            put(files, site)
        site.data = site.source.read_bytes()
        put(files, site)
    assert site.target.read_bytes() == site.data


def test_the_childs_own_login_verifies_the_host_key(server: Sshd, site: Site, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    key = (server.base / "key.pub").read_text().split()[:2]
    other.write_text(f"[127.0.0.1]:{server.port} {' '.join(key)}\n")
    pump = Pump(server.place(known_hosts=other), Traffic())
    moving = Moving("gv1p", "x", True, len(site.data), 0, 0.0)
    with pytest.raises(HostKeyRefused, match="not the one in known_hosts"):
        pump.send(site.source, str(site.target), 0, moving, deadline=20, sync=False)
    assert site.names() == ["source"]


def test_names_with_everything_in_them(server: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "a b%h ü'$x"
    folder.mkdir()
    site = Site(folder)
    for name in ("key", "known_hosts"):
        shutil.copy(server.base / name, folder / name)
    with Connection.open(
        server.place(key_file=folder / "key", known_hosts=folder / "known_hosts")
    ) as connection:
        files = Files(connection)
        put(files, site)
        assert site.target.read_bytes() == site.data
        get(files, site)
    assert site.target.read_bytes() == site.data


# -- SHA-256 at the far end ----------------------------------------------------------------------
def test_the_gate_tells_sha256_and_follows(tmp_path: Path) -> None:
    with Sshd() as server:
        gate = shutil.copy(GATE, server.base / "gate")
        server.restrict(f'restrict,command="{gate}"')
        site = Site(tmp_path, 34 * MB)
        with Connection.open(server.place()) as connection:
            files = Files(connection)
            with files._following(str(site.target), 0, len(site.data)) as told:
                site.target.write_bytes(site.data)
                assert told(time.monotonic() + 30) == site.sha256
            put(files, site)
            assert files.sha256(str(site.target), len(site.data), 30) == site.sha256
            assert files.tells_digests
    assert site.whole()


@both
def test_without_a_command_line_it_is_read_back(tmp_path: Path, move: Direction) -> None:
    with Sshd() as server:
        server.restrict('restrict,command="internal-sftp"')
        site = Site(tmp_path, 34 * MB)
        with Connection.open(server.place()) as connection:
            files = Files(connection)
            move(files, site)
            assert files.sha256(str(site.target), len(site.data), 30) == site.sha256
            assert not files.tells_digests
    assert site.whole()


def test_what_follows_ends_with_the_connection(tmp_path: Path) -> None:
    with Sshd() as server:
        gate = shutil.copy(GATE, server.base / "gate")
        server.restrict(f'restrict,command="{gate}"')
        path = tmp_path / "never-whole"

        def followers() -> list[str]:
            found = []
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = each.read_bytes()
                except OSError:
                    continue
                if words.startswith(b"tail\0") and str(path).encode() in words:
                    found.append(each.parent.name)
            return found

        with (
            Connection.open(server.place()) as connection,
            Files(connection)._following(str(path), 0, 10),
        ):
            wait_until(followers, "it follows")
        wait_until(lambda: not followers(), "it has ended")
