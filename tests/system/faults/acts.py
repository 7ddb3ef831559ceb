"""What can be done to a cluster: each verb of the scenarios as begin and end."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from tests.servers.daemon import ArimonitorDaemon, CommandFailed
from tests.servers.disk import fill
from tests.servers.hosts import Drop
from tests.servers.waiting import wait_until
from tests.system.faults.cluster import Node
from tests.system.faults.collecting import Chronicle
from tests.system.faults.history import Fault
from tests.system.faults.scenario import Act, seconds
from tests.system.faults.targets import Targets, start
from tests.system.faults.trees import next_version

Undo = Callable[[], None]


@dataclass
class Done:
    """An act that has begun. `undo` ends it; `nodes` and `blind` are as in Fault."""

    at: float
    act: Act
    undo: Undo
    master: str
    nodes: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    until: float = 0.0

    def fault(self) -> Fault:
        """As the history keeps it."""
        return Fault(
            self.at,
            self.until or time.time(),
            self.act.text,
            self.act.verb,
            self.nodes,
            self.blind,
            self.master,
        )


@dataclass
class Effect:
    """What a verb did: how it is ended, and whom it kept from what."""

    undo: Undo
    nodes: Iterable[Node] = ()
    blind: bool = True
    at: float | None = None
    """When it happened, where that was not at once."""


def nothing() -> None:
    """There is nothing to end."""


@dataclass
class Stage(Targets):
    """The cluster in the hands of a scenario."""

    chronicle: Chronicle
    going: dict[int, Done] = field(default_factory=dict)
    past: list[Done] = field(default_factory=list)

    def begin(self, number: int, act: Act) -> None:
        """Do it now."""
        master, at = self.cluster.master().name, time.time()
        effect = getattr(self, f"_{act.verb}")(*act.words)
        nodes = tuple(node.name for node in effect.nodes)
        blind = nodes if effect.blind else ()
        self.going[number] = Done(effect.at or at, act, effect.undo, master, nodes, blind)

    def end(self, number: int) -> None:
        """End what it began, on whatever it began it."""
        done = self.going.pop(number, None)
        if done is not None:
            done.undo()
            done.until = time.time()
            self.past.append(done)

    def heal(self) -> None:
        """End everything, the last first; start what was killed."""
        for number in sorted(self.going, reverse=True):
            self.end(number)

    def faults(self) -> list[Fault]:
        """Everything that was done, in order."""
        return sorted(
            (done.fault() for done in (*self.past, *self.going.values())), key=lambda fault: fault.at
        )

    # -- processes -----------------------------------------------------------------
    def _kill9(self, word: str) -> Effect:
        return self._taken(word, "kill")

    def _stop(self, word: str) -> Effect:
        return self._taken(word, "stop")

    def _taken(self, word: str, how: str) -> Effect:
        nodes, servers = self._processes(word)
        for node in nodes:
            node.expected = False
            getattr(node.daemon, how)()
        for server in servers:
            getattr(server, how)()

        def back() -> None:
            for node in nodes:
                start(node)
            for server in servers:
                # One of an ensemble serves with a majority only: nobody waits for it here.
                (getattr(server, "launch", None) or server.start)()  # type: ignore[attr-defined]

        return Effect(back, nodes)

    def _crash(self, word: str, point: str) -> Effect:
        (node,) = self._nodes(word)
        file = self.cluster.failpoint(node.name)
        file.write_text(point)
        wait_until(lambda: not node.alive, f"{node.name} came to {point}", 30, every=0.005)
        at = time.time()
        file.write_text("")
        node.expected = False
        return Effect(lambda: start(node), (node,), at=at)

    def _freeze(self, word: str) -> Effect:
        nodes, servers = self._processes(word)
        for node in nodes:
            node.frozen = True
            node.daemon.freeze()
        for server in servers:
            server.freeze()  # type: ignore[attr-defined]

        def thaw() -> None:
            for node in nodes:
                node.daemon.thaw()
                node.frozen = False
            for server in servers:
                server.thaw()  # type: ignore[attr-defined]

        return Effect(thaw, nodes)

    _suspend = _freeze
    """The clocks are its launcher's affair (blind_clock.py)."""

    def _switchover(self, to: str) -> Effect:
        words = ("switchover", to) if to else ("switchover",)
        self.cluster.master().daemon.ctl(*words)
        return Effect(nothing)

    def _adopt(self, word: str) -> Effect:
        for node in self._nodes(word):
            wait_until(lambda daemon=node.daemon: _adopted(daemon), f"{node.name} adopts", every=0.5)
        return Effect(nothing)

    def _wipe(self, _: str) -> Effect:
        self.chronicle.before_wipe()
        self.cluster.zookeeper.wipe()
        return Effect(nothing)

    def _alarm(self, _: str) -> Effect:
        self.cluster.broker.set_memory_alarm(True)
        return Effect(lambda: self.cluster.broker.set_memory_alarm(False))

    def _fill(self, word: str) -> Effect:
        (node,) = self._nodes(word)
        ballast = fill(node.daemon.data)
        return Effect(ballast.unlink, (node,), blind=False)

    def _clock(self, word: str, by: str) -> Effect:
        (node,) = self._nodes(word)
        self.cluster.shift(node.name, seconds(by[1:]) * (-1 if by[0] == "-" else 1))
        return Effect(lambda: self.cluster.shift(node.name, 0.0), (node,), blind=False)

    def _upgrade(self, word: str) -> Effect:
        (node,) = self._nodes(word)
        tree = next_version(Path(tempfile.mkdtemp(prefix=f"{node.name}.next.", dir=self.cluster.base)))
        node.expected = False
        node.daemon.stop()
        node.daemon.tree = tree
        start(node)
        return Effect(nothing, (node,))

    # -- hosts and their cables ------------------------------------------------------
    def _hang(self, word: str) -> Effect:
        host = self._host(word)
        nodes, pids = self._on(host), host.pids()
        for node in nodes:
            node.frozen = True
        _signal(pids, signal.SIGSTOP)

        def go_on() -> None:
            _signal(pids, signal.SIGCONT)
            for node in nodes:
                node.frozen = False

        return Effect(go_on, nodes)

    def _off(self, word: str) -> Effect:
        host = self._host(word)
        host.off()
        return Effect(host.on, self._on(host))

    def _power(self, word: str) -> Effect:
        host = self._host(word)
        nodes = self._on(host) if word != "asterisk" else []
        host.off()
        for node in nodes:
            node.expected = False
            getattr(node.daemon, "power_loss", node.daemon.kill)()
            node.ssh.stop()
        server = self.cluster.zookeepers().get(host.name)
        if server is not None:
            server.kill()

        def boot() -> None:
            host.on()
            if server is not None:
                server.launch()
            for node in nodes:
                node.ssh.start()
                start(node)

        return Effect(boot, nodes)

    def _reboot(self, word: str) -> Effect:
        host = self._host(word)
        nodes = self._on(host)
        server = self.cluster.zookeepers().get(host.name)
        for node in nodes:
            node.expected = False
            node.daemon.reboot()  # type: ignore[attr-defined]
            node.ssh.restart()
        if server is not None:
            server.stop()
            server.launch()
        for node in nodes:
            start(node)
        return Effect(nothing, nodes)

    def _flap(self, word: str, *spans: str) -> Effect:
        host, over = self._host(word), Event()
        times = {key: seconds(value) for key, _, value in (span.partition("=") for span in spans)}

        def flap() -> None:
            while True:
                host.off()
                if over.wait(times.get("down", 1.0)):
                    break
                host.on()
                if over.wait(times.get("up", 3.0)):
                    break
            host.on()

        thread = Thread(target=flap, daemon=True)
        thread.start()

        def settle() -> None:
            over.set()
            thread.join(10)

        return Effect(settle, self._on(host))

    def _lose(self, word: str, percent: str) -> Effect:
        host = self._host(word)
        fault = host.begin(Drop(percent=int(percent.rstrip("%"))))
        return Effect(lambda: host.end(fault), self._on(host), blind=False)

    def _slow(self, word: str, rate: str) -> Effect:
        host = self._host(word)
        host.limit(rate)
        return Effect(lambda: host.limit(None), self._on(host), blind=False)

    def _cut(self, way: str, word: str, direction: str) -> Effect:
        drop = self._drop(way, inwards=direction != "outwards", outwards=direction != "inwards")
        return self._packets(way, word, drop)

    def _refuse(self, way: str, word: str) -> Effect:
        return self._packets(way, word, self._drop(way, refuse=True))

    def _packets(self, way: str, word: str, drop: Callable[[Node], Drop]) -> Effect:
        nodes = self._nodes(word)
        faults = [(node.host, node.host.begin(drop(node))) for node in nodes]

        def mend() -> None:
            for host, fault in faults:
                host.end(fault)

        return Effect(mend, nodes, blind=way in ("asterisk-from", "all-from"))

    def _drop(
        self, way: str, *, inwards: bool = True, outwards: bool = True, refuse: bool = False
    ) -> Callable[[Node], Drop]:
        hosts = self.cluster.hosts

        def of(node: Node) -> Drop:
            match way:
                case "zk-from":
                    # Its clients' port only, on its own host's too: ZooKeeper itself stays whole.
                    return Drop((), (2181,), inwards, outwards, refuse=refuse)
                case "peer-from":
                    others = [
                        other.host.address for other in self.cluster.nodes.values() if other is not node
                    ]
                    return Drop(tuple(others), (), inwards, outwards, refuse=refuse)
                case "all-from":
                    return Drop(
                        tuple(host.address for host in hosts if host is not node.host), (), inwards, outwards
                    )
            return Drop((hosts[way.removesuffix("-from")].address,), (), inwards, outwards, refuse=refuse)

        return of


def _adopted(daemon: ArimonitorDaemon) -> bool:
    """Whether ZooKeeper's data are adopted, by this node or by another before; False: it is still away."""
    try:
        daemon.ctl("adopt")
    except CommandFailed as refused:
        return "nothing to adopt" in str(refused) or "another node was faster" in str(refused)
    return True


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
