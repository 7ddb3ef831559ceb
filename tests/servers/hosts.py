"""Hosts on one machine: network namespaces on a bridge that is in a namespace of its own.

    with Hosts("audio", "audio2", "witness") as hosts:
        hosts.enter()                      # this process is at the bridge and reaches all of them
        host = hosts["audio"]
        Popen([*host.prefix, "java", ...]) # a server of that host
        host.off(); host.on()              # its cable is out
        with host.fault(Drop(source=hosts["audio2"].address)): ...
        host.connect(("127.0.0.1", 1101))  # as on its own console: no cable is needed

Nothing is changed in the machine's own network. Names are unique per run; what
a run that died has left behind is removed by the next one (who holds the lock
of its file lives). The packages iproute2 and nftables; root.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.lifetime import Lifetime

NET = "192.0.2"  # RFC 5737: for documentation; it exists in these namespaces only
_NAMESPACES = Path("/run/netns")
_LOCKS = Path(tempfile.gettempdir()) / "arimonitor-hosts"
_CLONE_NEWNET = 0x40000000
_SWITCH = "switch"
_libc = ctypes.CDLL(None, use_errno=True)


def unavailable_reason() -> str | None:
    """Why there can be no such hosts here; None where there can."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian package {package})"
    if os.geteuid() != 0:
        return "network namespaces are made by root only"
    return None


@dataclass(frozen=True, slots=True)
class Drop:
    """Packets that a host no longer gets or sends. Unset: whatever it is.

    `source`, `to`: addresses of the other side. `inwards`, `outwards`: which of
    the two ways is broken. `ports`: TCP ports of the serving side, be it this
    host or the other. `percent` of them only. `refuse`: answered by a reset, not dropped.
    """

    peers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    inwards: bool = True
    outwards: bool = True
    percent: int = 100
    refuse: bool = False

    def rules(self) -> Iterator[tuple[str, str]]:
        """(chain, rule) of nftables."""
        verdict = "reject with tcp reset" if self.refuse else "drop"
        if self.percent < 100:
            verdict = f"numgen random mod 100 < {self.percent} {verdict}"
        for chain, side, wanted in (("in", "saddr", self.inwards), ("out", "daddr", self.outwards)):
            if not wanted:
                continue
            peers = f"ip {side} {{ {', '.join(self.peers)} }} " if self.peers else ""
            if not self.ports:
                yield chain, peers + verdict
                continue
            ports = "{ " + ", ".join(map(str, self.ports)) + " }"
            # A reset goes out by the same way: what answers is not looked at.
            for port in ("dport",) if self.refuse else ("dport", "sport"):
                yield chain, f"{peers}tcp {port} {ports} {verdict}"


class Host:
    """One of them. `prefix` goes before the argv of what runs on it."""

    def __init__(self, hosts: Hosts, name: str, number: int) -> None:
        self.name = name
        self.namespace = hosts.namespace(name)
        self.address = f"{NET}.{number}"
        self.prefix = ("nsenter", f"--net={_NAMESPACES / self.namespace}", "--")
        self._hosts = hosts
        self._faults = 0
        self._limited = False

    # -- faults ------------------------------------------------------------------
    def off(self) -> None:
        """Its cable is out: nobody is told, nothing passes. What runs on it runs on."""
        self._hosts.ip("-n", self._hosts.namespace(_SWITCH), "link", "set", f"p-{self.name}", "down")

    def on(self) -> None:
        """The cable is in again."""
        self._hosts.ip("-n", self._hosts.namespace(_SWITCH), "link", "set", f"p-{self.name}", "up")

    def begin(self, *drops: Drop) -> str:
        """Packets are lost from now on; the name for `end`."""
        self._faults += 1
        table = f"fault{self._faults}"
        lines = [f"table inet {table} {{"]
        for chain, hook in (("in", "input"), ("out", "output")):
            lines.append(f"chain {chain} {{ type filter hook {hook} priority 0;")
            lines += [rule for drop in drops for at, rule in drop.rules() if at == chain]
            lines.append("}")
        self._nft("\n".join([*lines, "}"]))
        return table

    def end(self, fault: str) -> None:
        """These packets pass again."""
        self._nft(f"delete table inet {fault}")

    @contextlib.contextmanager
    def fault(self, *drops: Drop) -> Iterator[None]:
        """Packets are lost within a `with`."""
        name = self.begin(*drops)
        try:
            yield
        finally:
            self.end(name)

    def limit(self, rate: str | None) -> None:
        """What it sends goes at such a rate ("1mbit") at most; None: as fast as it can."""
        action = "replace" if rate else "del"
        words = ("tbf", "rate", rate, "burst", "16k", "latency", "200ms") if rate else ()
        if rate or self._limited:
            self._run("tc", "qdisc", action, "dev", "eth0", "root", *words)
        self._limited = rate is not None

    def _nft(self, text: str) -> None:
        self._run("nft", "-f", "-", text=text)

    def _run(self, *argv: str, text: str = "") -> None:
        done = subprocess.run(
            [*self.prefix, *argv], input=text, text=True, capture_output=True, timeout=30, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)} on {self.name}: {done.stderr.strip()}: {text}")

    # -- sockets -----------------------------------------------------------------
    def new_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this host in the hands of this process: a namespace counts when a socket is made."""
        with _inside(_NAMESPACES / self.namespace):
            return socket.socket(socket.AF_INET, kind)

    def connect(self, address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        """As socket.create_connection, from this host."""
        made = self.new_socket()
        try:
            made.settimeout(timeout)
            made.connect(address)
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, port: int = 0) -> socket.socket:
        """A listening socket on its address."""
        made = self.new_socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.address, port))
        made.listen(64)
        return made

    def pids(self) -> list[int]:
        """Every process that runs on it."""
        return _pids(self.namespace)


class Hosts(Lifetime):
    """The hosts of these names, in this order from the address .11 on."""

    def __init__(self, *names: str) -> None:
        self.run = f"ar{os.getpid():x}{secrets.token_hex(2)}"
        self.names = names
        self._hosts = {name: Host(self, name, 11 + at) for at, name in enumerate(names)}
        self._lock: int | None = None
        self._home: int | None = None  # the namespace that this process was in

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def namespace(self, name: str) -> str:
        """The name under which the kernel knows a host, or the switch."""
        return f"{self.run}-{name}"

    def start(self) -> Self:
        """Make them all, cables in; first take away what dead runs have left."""
        _LOCKS.mkdir(parents=True, exist_ok=True)
        remove_leftovers()
        self._lock = os.open(_LOCKS / f"{self.run}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        switch = self.namespace(_SWITCH)
        self.ip("netns", "add", switch)
        self.ip("-n", switch, "link", "set", "lo", "up")
        self.ip("-n", switch, "link", "add", "br0", "type", "bridge")
        self.ip("-n", switch, "addr", "add", f"{NET}.1/24", "dev", "br0")
        self.ip("-n", switch, "link", "set", "br0", "up")
        for host in self:
            inside, port = host.namespace, f"p-{host.name}"
            self.ip("netns", "add", inside)
            self.ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", inside)
            self.ip("-n", switch, "link", "set", port, "master", "br0", "up")
            self.ip("-n", inside, "link", "set", "lo", "up")
            self.ip("-n", inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            self.ip("-n", inside, "link", "set", "eth0", "up")
        return self

    def enter(self) -> None:
        """What this thread opens and starts from now on is at the switch; other threads stay."""
        if self._home is None:
            self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            _setns(_NAMESPACES / self.namespace(_SWITCH))

    def close(self) -> None:
        """End everything that runs on them, and them."""
        if self._home is not None:
            _check(_libc.setns(self._home, _CLONE_NEWNET))
            os.close(self._home)
            self._home = None
        _remove(self.run)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def ip(self, *words: str) -> None:
        """One `ip` command."""
        _ip(*words)


def remove_leftovers() -> list[str]:
    """Take away the hosts of runs whose process is dead; the names of these runs."""
    removed = []
    for path in _LOCKS.glob("*.lock"):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path.stem)
            removed.append(path.stem)
        except BlockingIOError:
            pass  # its run goes on
        finally:
            os.close(handle)
    return removed


def _remove(run: str) -> None:
    names = [path.name for path in _NAMESPACES.glob(f"{run}-*")]
    for name in names:
        for pid in _pids(name):
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    for name in names:
        _ip("netns", "del", name)
    (_LOCKS / f"{run}.lock").unlink(missing_ok=True)


def _pids(namespace: str) -> list[int]:
    done = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, timeout=30, check=False
    )
    return [int(each) for each in done.stdout.split()]


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def _inside(namespace: Path) -> Iterator[None]:
    """Nothing may wait within: other greenlets of this thread would be there too."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(namespace)
        try:
            yield
        finally:
            _check(_libc.setns(home, _CLONE_NEWNET))
    finally:
        os.close(home)


def _setns(namespace: Path) -> None:
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(handle, _CLONE_NEWNET))
    finally:
        os.close(handle)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
