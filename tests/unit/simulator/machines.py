"""Machines reached over SSH: a telephone server, and the other node's disk. Ports.

The product's own CheckIp, MacChange and Courier stand before them; only the
connection is replaced. Every command and every change of a file is a moment of
its own; after a call without an answer a connection is of no use any more.
"""

from __future__ import annotations

import contextlib
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from daemon.machines.reach import Reach, translated
from ssh.connection import Connection, Output, Place
from ssh.errors import SshUnreachable
from tests.unit.simulator.host import Host
from tests.unit.simulator.node import Node
from tests.unit.simulator.world import World, anything, trouble_of

FOLDER = "/srv/provisioning"
OLD, NEW = "00:15:65:aa:bb:0c", "80:5e:c0:dd:ee:1f"
BEFORE = b"account.1.user_name = 1121\nmac = 00:15:65:AA:BB:0C\n"
AFTER = b"account.1.user_name = 1121\nmac = 80:5E:C0:DD:EE:1F\n"
OLD_FILE, NEW_FILE = f"{FOLDER}/001565aabb0c.cfg", f"{FOLDER}/805ec0ddee1f.cfg"
BANNED = "203.0.113.7"


class Files(Protocol):
    """A machine's file system."""

    def get(self, path: str) -> bytes:
        """Raises FileNotFoundError."""

    def put(self, path: str, data: bytes) -> None: ...

    def rename(self, source: str, target: str) -> None:
        """As OpenSSH does it: never over another."""

    def remove(self, path: str) -> None: ...


class PhoneServer:
    """Outlives the nodes. `files` by path; `bans` by jail."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.files: dict[str, bytes] = {OLD_FILE: BEFORE}
        self.bans: dict[str, set[str]] = {"asterisk": {BANNED}, "sshd": set()}
        self.lifted = 0
        self.away = 0
        """So many connections fail, then it is there."""

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError
        return self.files[path]

    def put(self, path: str, data: bytes) -> None:
        self.files[path] = data
        self.world.changed(f"{path} is written")

    def rename(self, source: str, target: str) -> None:
        if target in self.files:
            raise OSError("Failure")
        self.files[target] = self.get(source)
        del self.files[source]
        self.world.changed(f"{source} becomes {target}")

    def remove(self, path: str) -> None:
        self.get(path)
        del self.files[path]
        self.world.changed(f"{path} is removed")

    def fail2ban(self, *words: str) -> bytes:
        """What fail2ban-client 0.11 and later print."""
        match words:
            case ["status"]:
                return f"Status\n`- Jail list:\t{', '.join(self.bans)}\n".encode()
            case ["get", jail, "banip", "--with-time"]:
                times = "2025-10-29 12:00:00 + 3600 = 2025-10-29 13:00:00"
                return "".join(f"{ip} \t{times}\n" for ip in sorted(self.bans[jail])).encode()
            case ["get", _, "logpath"]:
                return b"Current monitored log file(s):\n`- /var/log/asterisk/security\n"
            case ["get", _, "maxretry" | "findtime"]:
                return b"5\n"
            case ["set", jail, "unbanip", ip]:
                if ip in self.bans[jail]:
                    self.bans[jail].discard(ip)
                    self.lifted += 1
                    self.world.changed(f"{ip} is let out of {jail}")
                return b"1\n"
        raise AssertionError(f"fail2ban-client {words}")


class HostFiles:
    """The queue of the other node, as its sshd gives it: /queue/NAME is its `queue.dir`."""

    def __init__(self, world: World, host: Host) -> None:
        self._world, self._host = world, host

    def _path(self, path: str) -> Path:
        return self._host.queue / Path(path).relative_to(queue_dir(self._host.name))

    def get(self, path: str) -> bytes:
        return self._path(path).read_bytes()

    def put(self, path: str, data: bytes) -> None:
        self._path(path).write_bytes(data)
        self._world.changed()

    def rename(self, source: str, target: str) -> None:
        if self._path(target).exists():
            raise OSError("Failure")
        self._path(source).rename(self._path(target))
        self._world.changed(f"{target} is there")

    def remove(self, path: str) -> None:
        self._path(path).unlink()
        self._world.changed()


def queue_dir(name: str) -> Path:
    """Where a node's queue is, as the configuration says."""
    return Path("/queue") / name


class Session(Connection):
    """A connection of one node."""

    def __init__(self, place: Place, server: Files, node: Node) -> None:
        super().__init__(place, None)
        self._server, self._node, self._broken = server, node, False

    def call(self, what: str, effect: Callable[[], Any]) -> Any:
        if self._broken:
            raise SshUnreachable("the connection is closed")
        try:
            return self._node.world.call(self._node, f"ssh {what}", effect, trouble_of(SshUnreachable))
        except SshUnreachable:
            self._broken = True
            raise

    def close(self) -> None:
        """Nobody waits for that."""

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            raise self._translated(what, error) from error

    def execute(self, command: str, *, seconds: float, max_output: int) -> Output:
        words = shlex.split(command)
        assert isinstance(self._server, PhoneServer)
        fail2ban = self._server.fail2ban
        if words[0] == "date":
            return Output(0, b"-0300\n", b"")
        said = self.call(" ".join(words[:2]), lambda: fail2ban(*words[1:]))
        return Output(0, said, b"")

    def files(self) -> Any:
        return _Client(self, self._server)


class _Client:
    """paramiko's SFTPClient, as far as ssh.transfer uses it for small files."""

    def __init__(self, session: Session, server: Files) -> None:
        self._session, self._server = session, server

    def stat(self, path: str) -> Any:
        return self._session.call("stat", lambda: _about(self._server.get(path)))

    def open(self, path: str, mode: str) -> _File:
        if "r" in mode:
            return self._session.call("open", lambda: _File(self, path, self._server.get(path)))
        self._session.call("create", lambda: self._server.put(path, b""))
        return _File(self, path, b"")

    def write(self, path: str, data: bytes) -> None:
        self._session.call("write", lambda: self._server.put(path, data))

    def chmod(self, path: str, mode: int) -> None:
        """Nobody looks."""

    def _request(self, *_: object) -> None:
        """fsync: what is written is there."""

    def rename(self, source: str, target: str) -> None:
        self._session.call("rename", lambda: self._server.rename(source, target))

    def remove(self, path: str) -> None:
        self._session.call("remove", lambda: self._server.remove(path))

    def close(self) -> None:
        """Nobody waits for that."""


class _File:
    """An open file; what is written is there at once, as sshd does it."""

    def __init__(self, client: _Client, path: str, data: bytes) -> None:
        self._client, self._path, self._data, self._at = client, path, data, 0

    def stat(self) -> Any:
        return anything(st_size=len(self._data))

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def write(self, data: bytes) -> None:
        self._data += data
        self._client.write(self._path, self._data)

    def flush(self) -> None:
        """It is there."""

    handle = b""

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        """Closed."""


def reaching(find: Callable[[str], Files | None], node: Node) -> Reach:
    """In place of daemon.machines.reach.reached. `find`: the machine of that name, None while it is off."""

    @contextlib.contextmanager
    def reached(place: Place) -> Iterator[Session]:
        def connected() -> Session:
            server = find(place.name)
            if server is None:
                raise SshUnreachable(f"{place} can't be reached")
            return Session(place, server, node)

        with translated():
            world = node.world
            yield world.call(node, f"ssh connect {place.name}", connected, trouble_of(SshUnreachable))

    return reached


def settings_of(name: str) -> dict[str, Any]:
    """The [[server]] of this machine."""
    return {
        "name": name,
        "host": "192.0.2.10",
        "provisioning_dir": str(Path(FOLDER)),
        "audios_from": "audio",
    }


def _about(data: bytes) -> Any:
    return anything(st_size=len(data), st_mtime=0, st_mode=stat.S_IFREG | 0o640, st_uid=0, st_gid=0)
