"""Nodes of an election as real processes (ha_program), their ensemble, and what they said, for the tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]
T = 4.0
SLACK = 1.5  # seconds: the machine of the tests has two cores for everything


class Node:
    """One process. `events` is what it has said so far, in order."""

    def __init__(
        self, name: str, folder: Path, hosts: str, namespace: str, *options: str, timeout: float = 4.0
    ) -> None:
        self.name = name
        self.events: list[Event] = []
        self.folder = folder
        argv = [sys.executable, "-m", "tests.integration.ha_program"]
        argv += [name, str(folder / name), hosts, namespace, str(timeout), *options]
        with (folder / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def tell(self, line: str) -> None:
        """A command on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line: str) -> Event:
        """A command, and what it says to it."""
        mark = len(self.events)
        self.tell(line)
        return self.next("view", "answer", "refused", after=mark)

    def view(self) -> Event:
        """How the election stands as this node sees it."""
        return self.ask("view")

    def next(self, *whats: str, after: int = 0) -> Event:
        """The first event of these kinds since the `after`th; waits for it."""

        def found() -> Event | None:
            return next((each for each in self.events[after:] if each["what"] in whats), None)

        event: Event = wait_until(lambda: found() or self._died(), f"{self.name} says {whats}")
        assert event is not None, self.log_text()[-2000:]
        return event

    def count(self) -> int:
        """How many events there are now, for `after`."""
        return len(self.events)

    def _died(self) -> bool:
        assert self.process.poll() is None, (self.process.returncode, self.log_text()[-2000:])
        return False

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)
        self._stopped()

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(20)
        self._stopped()

    def _stopped(self) -> None:
        """Whoever runs no more begins nothing."""
        self.events.append({"at": time.clock_gettime(time.CLOCK_BOOTTIME), "what": "stopped"})

    def quit(self) -> None:
        """An orderly end."""
        self.tell("quit")
        self.process.wait(30)

    def log_text(self) -> str:
        """What it has logged so far."""
        return (self.folder / f"{self.name}.log").read_text()

    def leases(self) -> list[tuple[float, float, int]]:
        """From when to when (boot clock, maybe inf) it held itself for master, and under which epoch."""
        found: list[tuple[float, float, int]] = []
        for event in list(self.events):
            if event["what"] == "valid":
                found.append((event["at"], inf, event["epoch"]))
            elif event["what"] in ("invalid", "stopped") and found and found[-1][1] == inf:
                begin, _, epoch = found[-1]
                found[-1] = (begin, event["at"], epoch)
        return found


@dataclass
class Nodes:
    """The nodes of one test, ended with it."""

    folder: Path
    hosts: str
    namespace: str
    all: list[Node] = field(default_factory=list)

    def start(self, name: str, *options: str, hosts: str = "", timeout: float = 4.0) -> Node:
        """A process of this name; its data stay for the next one of the same name."""
        node = Node(name, self.folder, hosts or self.hosts, self.namespace, *options, timeout=timeout)
        self.all.append(node)
        node.next("ready", "refused")
        return node

    def pair(self, *options: str) -> tuple[Node, Node]:
        """AUDIO, which is master, and AUDIO2, which follows it."""
        master = self.start("AUDIO", *options)
        master.next("valid")
        slave = self.start("AUDIO2", *options)
        wait_until(lambda: master.name in slave.log_text(), "the slave sees the master")
        wait_until(lambda: len(master.view()["here"]) == 2, "the master sees the slave", every=0.1)
        return master, slave

    def close(self) -> None:
        """End them all."""
        for node in self.all:
            node.thaw()
            node.kill()


def assert_apart(nodes: Iterable[Node]) -> None:
    """Never were two masters at one time: no two leases of different processes overlap."""
    leases = sorted((lease, node.name) for node in nodes for lease in node.leases())
    for ((_, end, epoch), one), ((begin, _, later), two) in pairwise(leases):
        if one != two:
            assert end < begin, f"{one} was master until {end}, {two} from {begin}"
            assert epoch < later


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Ensemble]:
    with Ensemble(3) as ensemble:
        yield ensemble


@pytest.fixture
def nodes(tmp_path: Path, zookeeper: Ensemble, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    """Nodes of one test, in a namespace of its own."""
    made = Nodes(tmp_path, zookeeper.hosts, f"/tests/{request.node.name}")
    yield made
    made.close()
    for server in zookeeper.servers:
        server.thaw()


def takeover(old: Node, new: Node, since: float, what: str) -> float:
    """Seconds from `since` until `new` was master."""
    lasted = float(new.next("valid")["at"]) - since
    assert_apart([old, new])
    print(f"{what}: master again after {lasted:.2f} s")
    return lasted
