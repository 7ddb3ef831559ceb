"""A big file and a real sshd to move it to or from, for the tests of transfers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssh.transfer import BIG, Files
from tests.servers.relay import Relay
from tests.servers.sshd import Sshd

MB = 1_000_000


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
