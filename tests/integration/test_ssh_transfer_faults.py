"""Big files to and from a real sshd: everything that goes wrong, and that it is gone on with."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from ssh.connection import Connection
from ssh.errors import Denied, SshUnreachable
from ssh.pump import usable
from ssh.transfer import Files
from tests.integration.transfer_parts import MB, Direction, Site, both, children, get, known_to, put
from tests.integration.transfer_parts import server as server
from tests.integration.transfer_parts import site as site
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("ssh") is None:
    pytest.skip("ssh is not installed (Debian package openssh-client)", allow_module_level=True)


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
