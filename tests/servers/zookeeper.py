"""A real ZooKeeper for tests: one server, or an ensemble whose members can be killed, frozen, cut off, wiped.

    with Ensemble(3) as zookeeper:
        zookeeper.hosts                   # HOST:PORT,HOST:PORT,HOST:PORT
        zookeeper.leader().freeze()       # SIGSTOP; .thaw()
        zookeeper.servers[0].kill()       # kill -9; .start() again with its data
        zookeeper.wipe()                  # all of them begin with nothing

`Ensemble(1)` is one server that stands alone. With `relayed=True` the servers talk to one another through
relays, and `isolate(server)` cuts one off from the others while its clients still reach it. `places` puts
each server at an address of its own, in a network namespace if its `prefix` says so:

    Ensemble(places=[Place("10.0.0.1", 2181, 2888, 3888, ("ip", "netns", "exec", "one")), ...])

It is Debian's (package zookeeper, its jars), with a small heap and short ticks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.lifetime import Lifetime
from tests.servers.ports import free_port
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until

_JARS = Path("/usr/share/java")
_NAMES = """zookeeper zookeeper-jute slf4j-api slf4j-simple log4j-1.2 netty-all metrics-core snappy-java
jackson-core jackson-databind jackson-annotations commons-cli commons-io commons-lang""".split()
_CONF = """\
tickTime={tick}
initLimit=20
syncLimit={sync}
fastleader.maxNotificationInterval=1000
minSessionTimeout={least}
maxSessionTimeout=60000
dataDir={data}
clientPort={client}
clientPortAddress={address}
admin.enableServer=false
maxClientCnxns=0
4lw.commands.whitelist=srvr,mntr,conf,cons
snapshot.trust.empty=true
"""
# A four-letter word from inside a namespace.
_ASK = """import socket, sys
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
link.sendall(sys.argv[3].encode())
print(b"".join(iter(lambda: link.recv(65536), b"")).decode(), end="")"""


def unavailable_reason() -> str | None:
    """Why no ZooKeeper can be started here; None where one can."""
    if not (_JARS / "zookeeper.jar").exists():
        return "zookeeper is not installed (Debian package zookeeper)"
    if shutil.which("java") is None:
        return "java is not installed (Debian package default-jre-headless)"
    return None


@dataclass(frozen=True)
class Place:
    """Where a server listens: for clients, its fellows, elections; what its command begins with."""

    address: str
    client: int
    quorum: int
    election: int
    prefix: tuple[str, ...] = ()

    @classmethod
    def free(cls, address: str = "127.0.0.1") -> Place:
        """On ports of the loopback that nobody uses."""
        return cls(address, *(free_port(host=address) for _ in range(3)))


class Server:
    """One ZooKeeper server of an ensemble, by number from 1."""

    def __init__(self, number: int, place: Place, base: Path, conf: str) -> None:
        self.number = number
        self.place = place
        self.base = base
        self._data = base / "data"
        self._data.mkdir(parents=True)
        (base / "zoo.cfg").write_text(conf)
        (self._data / "myid").write_text(f"{number}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT for clients."""
        return f"{self.place.address}:{self.place.client}"

    @property
    def pid(self) -> int:
        """Of the Java machine."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def launch(self) -> None:
        """Start it without waiting."""
        jars = ":".join(str(jar) for name in _NAMES if (jar := _JARS / f"{name}.jar").exists())
        options = ["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        properties = {
            "zookeeper.jmx.log4j.disable": "true",
            "zookeeper.preAllocSize": "1024",
            "zookeeper.forceSync": "no",  # killed, not unplugged: the kernel has what was written
            "org.slf4j.simpleLogger.showDateTime": "true",
        }
        argv = [*self.place.prefix, "java", *options, *(f"-D{k}={v}" for k, v in properties.items())]
        argv += ["-cp", jars, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.base / "zoo.cfg")]
        with (self.base / "log").open("ab") as out:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def start(self) -> Self:
        """Start it and wait until it serves (which an ensemble's server does with a majority only)."""
        self.launch()
        self.await_serving()
        return self

    def await_serving(self) -> None:
        """Wait until it has found its part in the ensemble."""
        wait_until(lambda: self.mode() or self._ended(), f"ZooKeeper {self.number} serves", every=0.05)
        assert self.mode(), self.log_text()[-2000:]

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def mode(self) -> str:
        """leader, follower, standalone; "" while it does not serve."""
        for line in self.word("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return ""

    def word(self, word: str) -> str:
        """What it answers to a four-letter word; "" where it does not answer."""
        host, port = self.place.address, self.place.client
        if self.place.prefix:
            argv = [*self.place.prefix, sys.executable, "-c", _ASK, host, str(port), word]
            return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout
        answer = b""
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0) as link:
            link.settimeout(1.0)
            link.sendall(word.encode())
            while piece := link.recv(65536):
                answer += piece
        return answer.decode()

    def stop(self) -> None:
        """An orderly stop (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Its data are gone; it must not run meanwhile."""
        assert self._process is None, "it runs"
        shutil.rmtree(self._data / "version-2", ignore_errors=True)

    def log_text(self) -> str:
        """What it has logged so far."""
        return (self.base / "log").read_text(errors="replace")


class Ensemble(Lifetime):
    """`size` servers that form one ZooKeeper; `tick` in milliseconds, `sync_limit` in ticks."""

    def __init__(
        self,
        size: int = 3,
        *,
        places: Sequence[Place] = (),
        tick: int = 500,
        sync_limit: int = 4,
        least_session: int = 1000,
        relayed: bool = False,
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-zookeeper-"))
        places = tuple(places) or tuple(Place.free() for _ in range(size))
        self._relays: dict[tuple[int, int], list[Relay]] = {}
        self.servers: list[Server] = []
        for number, place in enumerate(places, 1):
            folder = self.base / str(number)
            conf = _CONF.format(
                tick=tick,
                sync=sync_limit,
                least=least_session,
                data=folder / "data",
                client=place.client,
                address=place.address,
            )
            if len(places) > 1:
                for other, seen in enumerate(places, 1):
                    ports = (seen.quorum, seen.election)
                    if relayed and other != number:
                        self._relays[number, other] = [Relay(port).__enter__() for port in ports]
                        ports = tuple(relay.port for relay in self._relays[number, other])
                    conf += f"server.{other}={seen.address}:{ports[0]}:{ports[1]}\n"
            self.servers.append(Server(number, place, folder, conf))

    @property
    def hosts(self) -> str:
        """For a client: all of them."""
        return ",".join(server.address for server in self.servers)

    def start(self) -> Self:
        """Start all and wait until all serve."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.await_serving()
        return self

    def leader(self) -> Server:
        """The one that leads at this moment."""
        return next(server for server in self.servers if server.mode() in ("leader", "standalone"))

    def followers(self) -> list[Server]:
        """Those that follow at this moment."""
        return [server for server in self.servers if server.mode() == "follower"]

    def isolate(self, server: Server) -> None:
        """Nothing passes between it and the other servers; its clients reach it as before."""
        for relay in self._between(server):
            relay.silence()

    def heal(self, server: Server) -> None:
        """It is among them again; what hung is cut."""
        for relay in self._between(server):
            relay.cut()

    def _between(self, server: Server) -> list[Relay]:
        assert self._relays, "it was made without relayed=True"
        return [relay for pair, relays in self._relays.items() if server.number in pair for relay in relays]

    def stop(self) -> None:
        """An orderly stop of all."""
        for server in self.servers:
            server.stop()

    def kill(self) -> None:
        """All at once, as the power would."""
        for server in self.servers:
            server.kill()

    def wipe(self) -> None:
        """Stop all, take all data away, start all."""
        self.kill()
        for server in self.servers:
            server.wipe()
        self.start()

    def close(self) -> None:
        """Stop all and take their folders away."""
        self.kill()
        for relays in self._relays.values():
            for relay in relays:
                relay.__exit__()
        shutil.rmtree(self.base, ignore_errors=True)
