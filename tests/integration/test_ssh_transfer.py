"""Big files to and from a real sshd: whole, bounded, seen and verified."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from ssh.connection import Connection
from ssh.errors import AlreadyThere, HostKeyRefused
from ssh.pump import Pump
from ssh.traffic import Moving, Progress, Traffic
from ssh.transfer import BIG, Files
from tests.integration.transfer_parts import MB, Direction, Site, both, children, get, put
from tests.integration.transfer_parts import server as server
from tests.integration.transfer_parts import site as site
from tests.servers import sshd
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("ssh") is None:
    pytest.skip("ssh is not installed (Debian package openssh-client)", allow_module_level=True)
GATE = Path(__file__).parents[2] / "etc/ssh/arimonitor-gate"


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
