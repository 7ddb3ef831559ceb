# ruff: noqa: E402 - the standard library is patched before anything is imported
"""A node that does nothing but take part in the election, for test_zookeeper_agents.

    python -m tests.integration.ha_program NAME DATA_DIR HOSTS NAMESPACE T [--mode M] [--priority N]

It writes a line of JSON for each thing that happens, with the boot clock's time (the same for all processes
of the machine): the orders, and from when to when its lease was valid, as samples every 5 ms see it. Lines on
its standard input are commands: see `obey`.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import faulthandler
import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from daemon.runtime import native
from ha.agent import Agent, Sessions
from ha.clock import boottime
from ha.deadman import Deadman
from ha.errors import HaError
from ha.model import Member
from ha.zookeeper import Tree

_SAMPLE = 0.005


def say(what: str, **more: Any) -> None:
    os.write(1, json.dumps({"at": boottime(), "what": what, **more}).encode() + b"\n")


class Recorder:
    """The daemon: it says what it is told; after `slow` seconds of a retirement its work has ended."""

    agent: Agent
    slow = 0.0

    def won(self, epoch: int) -> None:
        say("won", epoch=epoch)

    def lost(self, reason: str) -> None:
        say("lost", reason=reason)

    def retire(self, reason: str) -> None:
        say("retire", reason=reason)

        def work_ends() -> None:
            time.sleep(self.slow)
            self.agent.retired()

        threading.Thread(target=work_ends, daemon=True).start()


class Sampler:
    """When the lease was valid: a line at each change, and how late the hub was when it noticed."""

    def __init__(self, agent: Agent) -> None:
        self.ticks = 0
        self._agent = agent

    def run(self) -> None:
        valid = False
        while True:
            self.ticks += 1
            if (now := self._agent.lease.valid()) != valid:
                valid = now
                say("valid" if valid else "invalid", epoch=self._agent.lease.epoch)
            time.sleep(_SAMPLE)


def busy(agent: Agent, on: Event) -> None:
    """Traffic on the data session, more often than kazoo would ping."""
    while on.is_set():
        try:
            agent._sessions.data.exists("/epoch", timeout=0.2)
        except HaError as error:
            say("busy", error=str(error))
        time.sleep(0.05)


def obey(line: str, agent: Agent, orders: Recorder, traffic: Event) -> None:
    word, _, rest = line.partition(" ")
    try:
        match word:
            case "switchover":
                say("answer", text=agent.switchover(rest or None))
            case "mode":
                say("answer", text=agent.set_mode(rest))  # type: ignore[arg-type]
            case "adopt":
                say("answer", text=agent.adopt())
            case "down":
                say("answer", text=agent.step_down(rest))
            case "slow":
                orders.slow = float(rest)
            case "say":
                agent.say({"said": rest})
            case "pause":
                agent.board.pause(rest == "on")
                say("answer", text="paused" if rest == "on" else "resumed")
            case "busy":
                traffic.set() if rest == "on" else traffic.clear()
                threading.Thread(target=busy, args=(agent, traffic), daemon=True).start()
            case "view":
                view = agent.view()
                say(
                    "view",
                    role=view.role,
                    master=view.master,
                    epoch=view.epoch,
                    reason=view.reason,
                    connected=view.connected,
                    here={m.member.name: m.here for m in view.members},
                    facts={m.member.name: dict(m.member.facts) for m in view.members},
                    known={name: dict(s.member.facts) for name, s in agent.board._known.items()},
                    history=[[c.epoch, c.master, c.reason] for c in view.history],
                    problems=list(view.problems),
                    paused=agent.board.paused(),
                    left=view.lease_left,
                )
            case "hang":
                say("hangs")
                while True:
                    pass
    except HaError as error:
        say("refused", text=str(error))


def lines() -> Iterator[str]:
    """Standard input, without holding up the hub."""
    rest = b""
    while True:
        select.select([0], [], [])
        piece = os.read(0, 65536)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode().strip() for line in whole)


def main() -> int:
    faulthandler.dump_traceback_later(300, exit=True)
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("hosts")
    parser.add_argument("namespace")
    parser.add_argument("timeout", type=float)
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--priority", type=int, default=100)
    parser.add_argument("--quiet-hosts", default="")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    sessions = Sessions(
        Tree(options.quiet_hosts or options.hosts, options.namespace, options.timeout, name="lease"),
        Tree(options.hosts, options.namespace, options.timeout, name="data"),
    )
    orders = Recorder()
    me = Member(options.name, options.mode, options.priority)
    sampler: Sampler
    deadman = Deadman(
        lambda: sampler.ticks,
        native.start_thread,
        native.sleep,
        lambda text: say("emergency", text=text),
    )
    agent = orders.agent = Agent(sessions, me, options.data_dir, orders, deadman=deadman)
    sampler = Sampler(agent)
    try:
        agent.open()
    except HaError as error:
        say("refused", text=str(error))
        return 1
    stop, traffic = Event(), Event()
    services = [threading.Thread(target=service.run, args=(stop,)) for service in (agent, agent.board)]
    threading.Thread(target=sampler.run, daemon=True).start()
    for service in services:
        service.start()
    say("ready")
    for line in lines():
        if line == "quit":
            break
        threading.Thread(target=obey, args=(line, agent, orders, traffic), daemon=True).start()
    stop.set()
    for service in services:
        service.join(10)
    agent.close()
    say("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
