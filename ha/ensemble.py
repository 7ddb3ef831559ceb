"""What the ZooKeeper servers say of themselves: who leads, how many vote. Adapter: plain sockets.

Asked with the four-letter words `mntr` or, where that is not allowed (4lw.commands.whitelist), `srvr`.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

_OLDEST = (3, 6)
_MOST = 1 << 16  # bytes of an answer; the real ones have some 4,000


@dataclass(frozen=True, slots=True)
class Server:
    """One of ha.hosts. `mode`: leader, follower, observer, standalone, or "" where it does not serve.

    `problem` says why nothing more is known; `tick` is seconds, None where it is not told.
    """

    address: str
    mode: str = ""
    version: str = ""
    tick: float | None = None
    problem: str = ""

    @property
    def too_old(self) -> bool:
        """Older than 3.6: it has no persistent watches."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return found is not None and (int(found[1]), int(found[2])) < _OLDEST


@dataclass(frozen=True, slots=True)
class Ensemble:
    """All that was asked. `voters` is None where nobody could tell."""

    servers: tuple[Server, ...]
    voters: int | None = None

    @property
    def leader(self) -> Server | None:
        """Who leads; a server that stands alone leads itself."""
        return next((each for each in self.servers if each.mode in ("leader", "standalone")), None)

    @property
    def tick(self) -> float | None:
        """The longest tick that was told, in seconds."""
        return max((each.tick for each in self.servers if each.tick is not None), default=None)


def voters(configuration: bytes) -> int:
    """How many servers vote, by the data of /zookeeper/config; a server that stands alone lists none."""
    lines = [
        line for line in configuration.decode("utf-8", "replace").splitlines() if line.startswith("server.")
    ]
    return max(1, sum(":observer" not in line for line in lines))


def parse(address: str, text: str) -> Server:
    """The answer to `mntr` or `srvr`."""
    fields = dict(re.findall(r"^(\w+)\t(.*)$", text, re.MULTILINE))
    mode = fields.get("zk_server_state") or _first(r"^Mode: (\w+)", text)
    version = fields.get("zk_version") or _first(r"^Zookeeper version: (\S+)", text)
    if not mode:
        said = text.strip().splitlines()[0] if text.strip() else "it closes the connection"
        return Server(address, version=_short(version), problem=said[:120])
    return Server(address, mode, _short(version))


def ask(hosts: tuple[str, ...], voters: int | None, timeout: float) -> Ensemble:
    """Each of `hosts` (HOST:PORT) in turn, at most `timeout` seconds each."""
    return Ensemble(tuple(_ask(host, timeout) for host in hosts), voters)


def is_here(address: str) -> bool:
    """Whether HOST:PORT is an address of this machine."""
    host = split(address)[0]
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(place)
                return True
    except OSError:
        return False
    return False


def split(address: str) -> tuple[str, int]:
    """HOST:PORT or HOST (port 2181) or [IPv6]:PORT."""
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        return address.strip("[]"), 2181
    return host.strip("[]"), int(port)


def _ask(address: str, timeout: float) -> Server:
    deadline = time.monotonic() + timeout
    try:
        text = _word(address, b"mntr", deadline)
        if "zk_server_state" not in text:
            text = _word(address, b"srvr", deadline)
        server = parse(address, text)
        tick = _first(r"^tickTime=(\d+)", _word(address, b"conf", deadline)) if server.mode else ""
    except (OSError, ValueError) as error:
        return Server(address, problem=str(getattr(error, "strerror", None) or error))
    return Server(
        server.address, server.mode, server.version, int(tick) / 1000 if tick else None, server.problem
    )


def _word(address: str, word: bytes, deadline: float) -> str:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it does not answer in time")
    with socket.create_connection(split(address), left) as link:
        link.sendall(word)
        answer = b""
        while len(answer) < _MOST:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("it does not answer in time")
            link.settimeout(left)
            piece = link.recv(_MOST)
            if not piece:
                break
            answer += piece
    return answer.decode("utf-8", "replace")


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def _short(version: str) -> str:
    return version.split("-")[0].rstrip(",")
