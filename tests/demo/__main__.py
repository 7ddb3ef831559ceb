"""`make demo`: two hosts on one machine with the real servers and calls, and keys to break them.

    python -m gevent.monkey --module tests.demo [--recorded] [--script "5s s 10s k 20s r 25s q"]

The calls are those of a real Asterisk with SIP phones, or (`--recorded`) recorded ones, many more a second.

Nothing of this machine is touched: the hosts are network namespaces (tests/servers/hosts.py), all servers
are its own, in folders that are gone afterwards. Root; the packages are what `make test-deps` installs.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import termios
import threading
import time
import tty
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.gevent import SequentialGeventHandler

from daemon.standby.marks import HEAD, JOURNAL
from ha.paths import PUBLISHED
from tests.demo.view import Frame, NodeView, render
from tests.servers.daemon import CommandFailed
from tests.system.faults.acts import Stage
from tests.system.faults.cluster import NAMESPACE, Cluster, Kind, unavailable_reason
from tests.system.faults.collecting import Chronicle
from tests.system.faults.posts import Boxes, Postman
from tests.system.faults.scenario import Act, seconds
from tests.system.faults.watching import Consumer

CALLS, RECORDED, MAILS = 4.0, 15.0, 0.15  # a second; 600 mails an hour are answered
EVERY = 0.25  # seconds between two pictures
LATELY = 30.0
ACTS = {
    "k": (Act(0, "kill9", ("master",)), "is dead (kill -9)"),
    "f": (Act(0, "freeze", ("master",)), "is frozen"),
    "c": (Act(0, "cut", ("all-from", "master", "")), "is cut off"),
}


class Demo:
    """The cluster, its load, and what is shown of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._stage = Stage(cluster, Chronicle(cluster))
        self._began = time.monotonic()
        self._troubles: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=50)
        self._number = 0
        self._master = ""
        self._boxes = Boxes(cluster.imap)
        self._journal = _Journal(cluster.zookeeper.hosts)

    def key(self, key: str) -> bool:
        """Do what a key says; False: to end."""
        if key == "q":
            return False
        if key == "s":
            self._beside("switch over", self._switchover)
        elif key == "r":
            self._beside("restore everything", self._restore)
        elif key in ACTS:
            self._beside("break the master", self._break, key)
        return True

    def _beside(self, what: str, act: Callable[..., None], *words: str) -> None:
        """The picture goes on meanwhile; what can't be done is told."""

        def run() -> None:
            try:
                act(*words)
            except (OSError, AssertionError, CommandFailed, subprocess.SubprocessError) as error:
                self._say(f"could not {what}: {str(error).strip().splitlines()[-1][:70]}")

        threading.Thread(target=run, daemon=True).start()

    def _switchover(self) -> None:
        self._say(f"switchover is asked of {self.cluster.master().name}")
        self.cluster.master().daemon.ctl("switchover")

    def _restore(self) -> None:
        self._say("everything is restored")
        self._stage.heal()
        self._troubles.clear()

    def _break(self, key: str) -> None:
        act, what = ACTS[key]
        self._number += 1
        self._stage.begin(self._number, act)
        node = next(iter(self._stage.going[self._number].nodes), "")
        self._troubles[node] = what
        self._say(f"{node} {what}")

    def frame(self, consumer: Consumer, postman: Postman) -> Frame:
        """How it is now."""
        statuses = {node.name: self.cluster.ask(node) for node in self.cluster.nodes.values()}
        for name, status in statuses.items():
            if status.get("role") == "master" and name != self._master:
                self._say(f"{name} is master")
                self._master = name
        calls, came = self.cluster.calls, list(consumer.consumed)
        ids = {each.id for each in came if each.call}
        return Frame(
            time.monotonic() - self._began,
            [NodeView(name, status, self._troubles.get(name, "")) for name, status in statuses.items()],
            {host: self.cluster.mode(host) for host in self.cluster.zookeepers()},
            calls.started,
            calls.playing,
            len(calls.emitted),
            len(ids),
            sum(1 for each in came if each.call) - len(ids),
            len({(fact.call, fact.type) for fact in list(calls.emitted)} - consumer.facts),
            Counter(each.node for each in came if each.call),
            len(postman.mailed),
            len({each.answers for each in self._boxes.answers() if each.kind != "queued"}),
            _silence([each.at for each in came if each.at > time.time() - LATELY]),
            self._journal.read(),
            tuple(self._events),
        )

    def close(self) -> None:
        """Heal, so that everything can be ended."""
        self._stage.heal()
        self._journal.close()

    def _say(self, what: str) -> None:
        self._events.append(f"{time.monotonic() - self._began:6.1f} s  {what}")


class _Journal:
    """What the master writes of what it has published, in ZooKeeper; a client of the demo's own."""

    def __init__(self, hosts: str) -> None:
        self._client = KazooClient(hosts, handler=SequentialGeventHandler(), timeout=4.0)
        self._client.start_async()

    def read(self) -> str:
        """How often and when it was last written; "" where ZooKeeper does not answer."""
        with suppress(KazooException, self._client.handler.timeout_exception):
            if self._client.connected:
                head = f"{NAMESPACE}{PUBLISHED}/{JOURNAL}/{HEAD}"
                _, stat = self._client.get_async(head).get(timeout=1)
                age = max(time.time() - stat.mtime / 1000, 0)
                return f"written {stat.version:,} times, last {age:.1f} s ago"
        return ""

    def close(self) -> None:
        """End the session."""
        self._client.stop()
        self._client.close()


def _silence(moments: list[float]) -> float:
    """The longest time between two of them, or since the last."""
    steps = [*moments, time.time()]
    return max((after - before for before, after in pairwise(steps)), default=0.0)


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal shows the demo only, and gives keys as they are pressed."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _run(demo: Demo, script: list[tuple[float, str]], *, live: bool) -> None:
    began, shown = time.monotonic(), 0.0
    postman = Postman(demo.cluster.imap, "demo", 0)
    demo.cluster.calls.begin(CALLS if demo.cluster.kind.asterisk == "real" else RECORDED)
    postman.start(MAILS)
    with Consumer(demo.cluster.mailbox) as consumer:
        going = True
        while going:
            frame = demo.frame(consumer, postman)
            lines = render(frame, colour=live)
            if live:
                sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
                sys.stdout.flush()
            elif time.monotonic() - shown > 2.0:
                shown = time.monotonic()
                print("\n".join(lines), flush=True)
            keys = [key for at, key in script if at <= time.monotonic() - began]
            script = script[len(keys) :]
            if live and select.select([sys.stdin], [], [], EVERY)[0]:
                keys.append(os.read(sys.stdin.fileno(), 1).decode("ascii", "replace").lower())
            elif not live:
                time.sleep(EVERY)
            for key in keys:
                going = going and demo.key(key)
        demo.cluster.calls.finish()
        postman.finish()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--script", default="", help="keys at times, in place of a person's")
    parser.add_argument("--recorded", action="store_true", help="recorded calls, not a real Asterisk's")
    told = parser.parse_args()
    words = told.script.split()
    script = [(seconds(at), key) for at, key in zip(words[::2], words[1::2], strict=True)]
    if reason := unavailable_reason():
        print(f"the demo can't be shown here: {reason}")
        return 3
    live = sys.stdin.isatty() and sys.stdout.isatty() and not script
    if not live and not script:
        print("the demo needs a terminal, or a --script")
        return 2
    print("two hosts, three ZooKeepers, RabbitMQ, Dovecot, Postfix, Asterisk: half a minute", flush=True)
    with Cluster(Kind(asterisk="" if told.recorded else "real")) as cluster:
        demo = Demo(cluster)
        try:
            if live:
                with _screen():
                    _run(demo, script, live=True)
            else:
                _run(demo, script, live=False)
        finally:
            demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
