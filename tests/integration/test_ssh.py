"""Package ssh against a real sshd: connect, run, get and put; everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ssh.connection import Connection, Place
from ssh.errors import (
    AlreadyThere,
    Denied,
    HostKeyRefused,
    LoginRefused,
    NoSuchFile,
    SshRefused,
    SshUnreachable,
)
from ssh.remote import run
from ssh.transfer import Files
from tests.servers import sshd
from tests.servers.sshd import Sshd
from tests.servers.waiting import DEADLINE, meanwhile, wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)

MB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def connection(server: Sshd) -> Iterator[Connection]:
    with Connection.open(server.place()) as opened:
        yield opened


@pytest.fixture
def files(connection: Connection) -> Iterator[Files]:
    opened = Files(connection)
    yield opened
    opened.close()


# -- connecting ----------------------------------------------------------------------------------
def test_the_cipher_is_aes_gcm(server: Sshd, connection: Connection) -> None:
    assert run(connection, ["true"]).status == 0
    assert connection._client.get_transport().remote_cipher == "aes128-gcm@openssh.com"


def test_a_wrong_key_is_refused(server: Sshd) -> None:
    with pytest.raises(LoginRefused, match=r"does not accept the key .*stranger for the user"):
        Connection.open(server.place(key_file=server.stranger))


def test_keys_that_are_none(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no key\n")
    with pytest.raises(LoginRefused, match="holds no private key"):
        Connection.open(server.place(key_file=tmp_path / "text"))
    with pytest.raises(LoginRefused, match="can't be read"):
        Connection.open(server.place(key_file=tmp_path / "absent"))
    with pytest.raises(LoginRefused, match="no key_file"):
        Connection.open(server.place(key_file=None))


@pytest.mark.parametrize("kind", [["rsa", "-b", "2048"], ["rsa", "-b", "2048", "-m", "PEM"], ["ecdsa"]])
def test_other_kinds_of_keys(server: Sshd, tmp_path: Path, kind: list[str]) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(key), "-t", *kind], check=True, timeout=30)
    authorized = server.base / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + key.with_suffix(".pub").read_text())
    Connection.open(server.place(key_file=key)).close()
    authorized.write_text(before)


def test_a_key_with_a_passphrase_is_no_use(server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(key)], check=True, timeout=30
    )
    with pytest.raises(LoginRefused, match="without a passphrase"):
        Connection.open(server.place(key_file=key))


def test_a_hashed_known_hosts(server: Sshd, tmp_path: Path) -> None:
    hashed = tmp_path / "known_hosts"
    hashed.write_text(server.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-H", "-f", str(hashed)], check=True, capture_output=True, timeout=30)
    assert "127.0.0.1" not in hashed.read_text()
    Connection.open(server.place(known_hosts=hashed)).close()
    hashed.write_text("rubbish\n" + hashed.read_text())
    Connection.open(server.place(known_hosts=hashed)).close()


def test_an_unknown_host_is_refused(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(HostKeyRefused, match=r"its host key \(ssh-ed25519 SHA256:.*not in known_hosts"):
        Connection.open(server.place(known_hosts=tmp_path / "empty"))
    with pytest.raises(HostKeyRefused, match="can't be read"):
        Connection.open(server.place(known_hosts=tmp_path / "absent"))


def test_a_changed_host_key_is_refused() -> None:
    with Sshd() as server:
        Connection.open(server.place()).close()
        server.new_host_key()
        server.restart()
        with pytest.raises(HostKeyRefused, match="ITS HOST KEY HAS CHANGED"):
            Connection.open(server.place())
        assert "Accepted publickey" not in server.log().split("Server listening")[-1]
        server.trust()
        Connection.open(server.place()).close()


def test_a_server_that_is_down() -> None:
    with Sshd() as server:
        server.stop()
        with pytest.raises(SshUnreachable, match="can't be reached"):
            Connection.open(server.place())


def test_a_server_that_says_nothing(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = server.place(port=silent.getsockname()[1], timeout=0.3)
        with pytest.raises(SshUnreachable, match="gv1p"):
            Connection.open(place)


def test_a_server_that_greets_and_then_hangs(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _ = other.accept()
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            held.append(peer)

        held: list[socket.socket] = []
        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SshUnreachable, match="gv1p"):
            Connection.open(server.place(port=other.getsockname()[1], timeout=0.3))
        held[0].close()


def test_a_server_that_speaks_something_else(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.sendall(b"220 mail.example.com ESMTP\r\n" * 200)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SshUnreachable, match=r"no SSH handshake|can't be reached"):
            Connection.open(server.place(port=other.getsockname()[1], timeout=1.0))


# -- running -------------------------------------------------------------------------------------
def test_words_arrive_as_they_are(connection: Connection) -> None:
    words = ["a b", "$(id)", "`id`", "'; echo x; '", "*", "~", "-n", "é", "", "\\", "!!", '"']
    output = run(connection, ["printf", "%s\\n", *words])
    assert output.stdout.decode() == "".join(word + "\n" for word in words)
    assert (output.status, output.stderr) == (0, b"")


def test_status_and_errors_of_a_program(connection: Connection) -> None:
    output = run(connection, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (output.status, output.stdout, output.stderr) == (7, b"out\n", b"err\n")
    assert run(connection, ["no-such-program-here"]).status == 127


@pytest.mark.parametrize("word", ["a\nb", "a\x00b", "a\x1b[2J", "a\u2028b"])
def test_control_characters_are_refused(connection: Connection, word: str) -> None:
    with pytest.raises(SshRefused, match="control characters"):
        run(connection, ["echo", word])


@pytest.mark.parametrize("program", ["", "-x", "a b", "$(id)", "a;b"])
def test_what_is_no_program_is_refused(connection: Connection, program: str) -> None:
    with pytest.raises(SshRefused, match="no name of a program"):
        run(connection, [program])


def test_too_much_output_is_refused(connection: Connection) -> None:
    with pytest.raises(SshRefused, match="more than 1000 bytes"):
        run(connection, ["head", "-c", "5000000", "/dev/zero"], max_output=1000)


def test_a_program_that_does_not_end(server: Sshd) -> None:
    with Connection.open(server.place()) as connection:
        with pytest.raises(SshUnreachable, match=r"no answer within 0\.5 s"):
            run(connection, ["sleep", "60"], seconds=0.5)
        with pytest.raises(SshUnreachable, match="closed"):
            run(connection, ["true"])


def test_cut_while_a_program_runs(tmp_path: Path) -> None:
    with Sshd() as server, Connection.open(server.place()) as connection:
        begun = tmp_path / "begun"
        with pytest.raises(SshUnreachable, match="broke"), meanwhile(begun.exists, "it runs", server.cut):
            run(connection, ["sh", "-c", f"touch {begun}; exec sleep 60"], seconds=DEADLINE)


def test_frozen_while_we_ask() -> None:
    with Sshd() as server, Connection.open(server.place()) as connection:
        connection.place = replace(connection.place, timeout=0.5)
        server.freeze()
        with pytest.raises(SshUnreachable, match=r"took too long|no answer within|went away"):
            Files(connection)


# -- files ---------------------------------------------------------------------------------------
def test_get(files: Files, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    data = os.urandom(3 * MB + 17)
    source.write_bytes(data)
    os.utime(source, (1_700_000_000, 1_700_000_000))
    target.write_bytes(b"old")
    moved = files.get(str(source), target, deadline=30)
    assert target.read_bytes() == data
    assert (moved.size, moved.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (target.stat().st_mtime, target.stat().st_mode & 0o777) == (1_700_000_000, 0o640)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source", "target"]


def test_what_cannot_be_got(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(NoSuchFile):
        files.get(str(tmp_path / "absent"), target, deadline=5)
    with pytest.raises(SshRefused, match="no file"):
        files.get(str(tmp_path), target, deadline=5)
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(SshRefused, match="more than 10"):
        files.get(str(tmp_path / "big"), target, deadline=5, most=10)
    assert not target.exists()


def sizes(folder: Path, pattern: str) -> int:
    return sum(each.stat().st_size for each in folder.glob(pattern))


def cut_when(server: Sshd, condition: Callable[[], bool]) -> None:
    def cut() -> None:
        wait_until(condition, "some of it has been moved", every=0.005)
        server.cut()

    threading.Thread(target=cut, daemon=True).start()


def test_a_get_that_is_cut_is_resumed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    data = os.urandom(8 * MB)
    source.write_bytes(data)
    target.write_bytes(b"old")
    with Sshd() as server:
        with Connection.open(server.place(bandwidth=32_000)) as connection:
            cut_when(server, lambda: sizes(tmp_path, ".target.*") > MB)
            with pytest.raises(SshUnreachable):
                Files(connection).get(str(source), target, deadline=30)
        assert target.read_bytes() == b"old"
        with Connection.open(server.place()) as connection:
            moved = Files(connection).get(str(source), target, deadline=30)
    assert target.read_bytes() == data
    assert 0 < moved.resumed < len(data)
    assert moved.sha256 == hashlib.sha256(data).hexdigest()


def test_a_source_that_changed_is_fetched_anew(files: Files, tmp_path: Path) -> None:
    """What an earlier try left of another content is not gone on with."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new content")
    (tmp_path / ".target.11-1600000000.part").write_bytes(b"old ")
    moved = files.get(str(source), target, deadline=5)
    assert (target.read_bytes(), moved.resumed) == (b"new content", 0)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source", "target"]


def test_put(files: Files, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    data = os.urandom(2 * MB + 5)
    source.write_bytes(data)
    moved = files.put(source, str(target), deadline=30, replace=False)
    assert (target.read_bytes(), moved.size, moved.resumed) == (data, len(data), 0)
    assert target.stat().st_mode & 0o777 == 0o640
    again = files.put(source, str(target), deadline=30, replace=False)
    assert again.resumed == len(data), "the same content is there: nothing is sent"
    source.write_bytes(b"other")
    with pytest.raises(AlreadyThere):
        files.put(source, str(target), deadline=30, replace=False)
    assert target.read_bytes() == data
    files.put(source, str(target), deadline=30, replace=True)
    assert target.read_bytes() == b"other"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source", "target"]


def test_a_put_that_is_cut_is_resumed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    data = os.urandom(8 * MB)
    source.write_bytes(data)
    with Sshd() as server:
        with Connection.open(server.place(bandwidth=32_000)) as connection:
            cut_when(server, lambda: sizes(tmp_path, ".target.*") > MB)
            with pytest.raises(SshUnreachable):
                Files(connection).put(source, str(target), deadline=30, replace=True)
        assert not target.exists()
        with Connection.open(server.place()) as connection:
            moved = Files(connection).put(source, str(target), deadline=30, replace=True)
    assert target.read_bytes() == data
    assert 0 < moved.resumed < len(data)


def test_a_transfer_that_takes_too_long(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * MB)
    with Connection.open(server.place(bandwidth=800)) as connection:
        files = Files(connection)
        with pytest.raises(SshUnreachable, match=r"no answer within|took too long"):
            files.get(str(tmp_path / "source"), tmp_path / "target", deadline=0.5)
    assert not (tmp_path / "target").exists()


def test_read_and_names(files: Files, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"0123456789")
    (tmp_path / "a").write_bytes(b"")
    assert files.names(str(tmp_path)) == ["a", "b"]
    assert files.read(str(tmp_path / "b"), most=10) == b"0123456789"
    assert files.read(str(tmp_path / "b"), most=10, offset=7) == b"789"
    with pytest.raises(SshRefused, match="more than 9"):
        files.read(str(tmp_path / "b"), most=9)
    with pytest.raises(SshRefused, match="more than 1"):
        files.names(str(tmp_path), most=1)
    with pytest.raises(NoSuchFile):
        files.read(str(tmp_path / "absent"), most=9)
    assert files.stat(str(tmp_path / "absent")) is None


def test_a_new_file_replaces_nothing(files: Files, tmp_path: Path) -> None:
    files.write_new(str(tmp_path / "new"), b"one", mode=0o644, temporary=".t")
    assert (tmp_path / "new").read_bytes() == b"one"
    with pytest.raises(AlreadyThere):
        files.write_new(str(tmp_path / "new"), b"two", mode=0o644, temporary=".t")
    assert (tmp_path / "new").read_bytes() == b"one"


def test_what_is_not_allowed(tmp_path: Path) -> None:
    with Sshd("ForceCommand internal-sftp -R") as server, Connection.open(server.place()) as connection:
        files = Files(connection)
        with pytest.raises(Denied, match="no permission for the user"):
            files.write_new(str(tmp_path / "new"), b"x", mode=0o644, temporary=".t")
        assert files.names(str(tmp_path)) == []


def test_a_server_without_sftp(tmp_path: Path) -> None:
    with Sshd() as server:
        server.restrict('restrict,command="false"')
        with Connection.open(server.place(timeout=2.0)) as connection, pytest.raises(SshUnreachable):
            Files(connection)


def test_places_say_who_and_where() -> None:
    assert str(Place("gv1p", "192.0.2.7", 2222, "monitor")) == "gv1p (monitor@192.0.2.7:2222)"
