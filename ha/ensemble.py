"""What the ZooKeeper servers say of themselves: who leads, how many vote. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OLDEST = (3, 6)


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


def tick_of(text: str) -> float | None:
    """Seconds, by the answer to `conf`; None where it is not told."""
    found = _first(r"^tickTime=(\d+)", text)
    return int(found) / 1000 if found else None


def split(address: str) -> tuple[str, int]:
    """HOST:PORT or HOST (port 2181) or [IPv6]:PORT."""
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        return address.strip("[]"), 2181
    return host.strip("[]"), int(port)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def _short(version: str) -> str:
    return version.split("-")[0].rstrip(",")
