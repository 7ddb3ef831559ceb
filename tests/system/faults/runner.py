"""One scenario on a cluster: the load, what is done, the time to settle; the history and the verdict."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from tests.servers.waiting import wait_until
from tests.system.faults import collecting, figures, plan
from tests.system.faults.acts import Stage
from tests.system.faults.checker import Verdict, check, seen
from tests.system.faults.cluster import Cluster
from tests.system.faults.collecting import Chronicle
from tests.system.faults.history import History, Listening, Stored, save
from tests.system.faults.posts import Boxes, Postman
from tests.system.faults.scenario import Load, Scenario, render
from tests.system.faults.targets import settle_zookeeper
from tests.system.faults.watching import Consumer, Poller, listened

Say = Callable[[str], None]

WARM_UP = Scenario("warm-up", load=Load(mails=1.0, calls=5.0, seconds=3.0))
PRUNING = 15.0  # seconds that a standby may take to learn what was published
FRESH = 5.0  # seconds that a fact may be on its way: a call's end is told a moment after its last leg's
QUIET = 1.5  # seconds without anything new after which a run is over


class Runner:
    """Runs scenarios on one cluster, one after the other."""

    def __init__(self, cluster: Cluster, say: Say = print) -> None:
        self.cluster = cluster
        self.say = say
        self._chronicle = Chronicle(cluster)
        self._boxes = Boxes(cluster.imap)
        self._warm = False

    def run(self, scenario: Scenario) -> tuple[History, Verdict]:
        """The whole of it. Raises only where the test itself can't go on."""
        if not self._warm:  # connections that are made once are no leak
            self._run(WARM_UP)
            self._warm = True
        return self._run(scenario)

    def _run(self, scenario: Scenario) -> tuple[History, Verdict]:
        self._prepare(scenario)
        stage = Stage(self.cluster, self._chronicle)
        history = History(scenario.name, began=time.time())
        run = f"{scenario.name}-{secrets.token_hex(3)}"
        postman = Postman(self.cluster.imap, run, self.cluster.mails)
        calls = self.cluster.calls
        first = len(calls.emitted)
        history.resources += [collecting.resources(node, "before") for node in self.cluster.nodes.values()]
        before = self._chronicle.znodes() if self._with_zookeeper else 0
        with Consumer(self.cluster.mailbox) as consumer, Poller(self.cluster) as poller:
            history.said = poller.said
            postman.start(scenario.load.mails)
            calls.begin(scenario.load.calls)
            began = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                acting = pool.submit(self._act, scenario, stage, began)
                try:
                    _sleep_until(began + scenario.load.seconds)
                finally:
                    calls.finish()
                    postman.finish()
                    history.load_ended = time.time()
                    wait([acting])
                    stage.heal()
                acting.result()
            history.healed = time.time()
            self.cluster.mails += len(postman.mailed)
            history.faults = stage.faults()
            history.notes += self._settle(scenario.settle, postman, consumer, history, first)
            history.settled = time.time()
            history.resources += [
                collecting.resources(node, "after")
                for node in self.cluster.nodes.values()
                if self.cluster.ask(node)
            ]
        history.consumed = consumer.consumed
        history.mailed = postman.mailed
        history.emitted = calls.emitted[first:]
        self._collect(history, before)
        return history, check(history, scenario.expect)

    def keep_logs(self, folder: Path) -> None:
        """Everything that was logged, for whoever looks for the mistake."""
        folder.mkdir(parents=True, exist_ok=True)
        for node in self.cluster.nodes.values():
            (folder / f"{node.name}.log").write_text(node.daemon.log_text())
            (folder / f"{node.name}.output").write_text(node.daemon.output())
        if self._with_zookeeper:
            for host, server in self.cluster.zookeepers().items():
                (folder / f"zookeeper-{host}.log").write_text(server.log_text())

    # -- before --------------------------------------------------------------------
    @property
    def _with_zookeeper(self) -> bool:
        return len(self.cluster.names) > 1

    def _prepare(self, scenario: Scenario) -> None:
        leader, master = scenario.given.get("zookeeper-leader"), scenario.given.get("master")
        if self._with_zookeeper:
            if leader is not None:
                settle_zookeeper(self.cluster, "witness" if leader == "witness" else "audio2")
                master = {"master": "AUDIO2", "standby": "AUDIO"}.get(leader, master)
            self.cluster.ready()
            if master is not None and self.cluster.master().name != master:
                self.cluster.master().daemon.ctl("switchover", master)
                wait_until(lambda: self.cluster.master().name == master, f"{master} is master")
        self.cluster.ready()
        wait_until(self._at_rest, "nothing of an earlier run goes on", 60, every=0.2)

    def _at_rest(self) -> bool:
        words = [self.cluster.ask(node) for node in self.cluster.nodes.values()]
        return not self.cluster.calls.playing and all(
            word
            and not any(each["outbox"] for each in word["brokers"] if not each.get("standby"))
            and not any(each["active_calls"] or each["backlog"] for each in word["asterisk"])
            for word in words
        )

    def _nothing_kept(self) -> bool:
        """Whether the standby has nothing left that it thinks nobody published; it takes a while to know."""
        return not any(map(collecting.kept, self.cluster.nodes.values()))

    # -- meanwhile -----------------------------------------------------------------
    def _act(self, scenario: Scenario, stage: Stage, began: float) -> None:
        """Every step at its time, whatever another one is waiting for; an end waits for its begin."""
        begun: dict[int, Future[None]] = {}
        with ThreadPoolExecutor(16) as pool:
            ended = []
            for step in plan.steps(scenario):
                _sleep_until(began + step.at)
                self.say(f"  {time.monotonic() - began:6.2f} s  {step.what} {step.act.text}")
                if step.what == "begin":
                    begun[step.number] = pool.submit(stage.begin, step.number, step.act)
                else:
                    ended.append(pool.submit(_after, begun[step.number], stage.end, step.number))
            for future in (*begun.values(), *ended):
                future.result()

    # -- afterwards ----------------------------------------------------------------
    def _settle(
        self, patience: float, postman: Postman, consumer: Consumer, history: History, first: int
    ) -> list[str]:
        """Wait until nothing goes on and nothing is missing; what still was when patience ended."""
        sent = {mail.message_id for mail in postman.mailed}
        left: list[str] = []

        def settled() -> bool:
            left[:] = self._left(sent, consumer, history, first)
            return not left

        try:
            wait_until(settled, "settled", patience, every=0.1)
            left[:] = ["messages that the standby keeps"]
            wait_until(self._nothing_kept, "nothing kept", PRUNING, every=0.2)
        except AssertionError:
            return [f"there was still: {', '.join(left)}"]
        at_rest = time.monotonic()
        number = len(consumer.consumed)
        while time.monotonic() - at_rest < QUIET:  # whether anything comes twice
            if len(consumer.consumed) != number:
                number, at_rest = len(consumer.consumed), time.monotonic()
            time.sleep(0.1)
        return []

    def _left(self, sent: set[str], consumer: Consumer, history: History, first: int) -> list[str]:
        left = []
        if not self.cluster.sound():
            left.append("a node that is not connected to everything")
        elif not self._at_rest():
            left.append("calls or messages under way")
        history.listening = self._listening(history)
        facts = self.cluster.calls.emitted[first:]
        fresh = time.time() - FRESH
        to_come = [f for f in facts if (f.call, f.type) not in consumer.facts]
        if missing := sum(f.at > fresh or seen(history, f) for f in to_come):
            left.append(f"{missing} facts to come")
        answered = {each.answers for each in self._boxes.answers() if each.kind != "queued"}
        if missing := len(sent - answered):
            left.append(f"{missing} mails to answer")
        if inbox := len(sent & set(self._boxes.folder(""))):
            left.append(f"{inbox} mails in the inbox")
        if any(word and _queued(word) for word in (node.status for node in self.cluster.nodes.values())):
            left.append("requests in a queue")
        return left

    def _listening(self, history: History) -> list[Listening]:
        told = self.cluster.calls.listeners()
        return listened(history.said) if told is None else told

    def _collect(self, history: History, before: int) -> None:
        sent = {mail.message_id for mail in history.mailed}
        margin = history.began - 1.0
        history.listening = [each for each in self._listening(history) if each.until > margin]
        history.answered = [each for each in self._boxes.answers() if each.answers in sent]
        history.inbox = [each for each in self._boxes.folder("") if each in sent]
        history.done = [each for each in self._boxes.folder("Done") if each in sent]
        history.aside = [each for each in self._boxes.folder("Aside") if each in sent]
        stored: list[Stored] = []
        if self._with_zookeeper:
            # Of /lease and /epoch all: this run's first reign began before it.
            history.writes = [
                w for w in self._chronicle.writes() if w.path in ("/lease", "/epoch") or w.at > margin
            ]
            stored = self._chronicle.records()
            history.znodes = (before, self._chronicle.znodes())
        else:
            for node in self.cluster.nodes.values():
                stored += collecting.records_of_file(node)
        history.stored = [each for each in stored if each.message_id in sent]
        requests = {each.request_id for each in history.stored}
        history.published = [
            each for each in collecting.published(self.cluster) if each.request_id in requests
        ]
        for node in self.cluster.nodes.values():
            history.logged += collecting.logged(node, history.began)


def report(scenario: Scenario, verdict: Verdict, say: Say = print) -> None:
    """What came of it, in a few lines."""
    done = verdict.figures
    times = ", ".join(
        f"{what} {' '.join(f'{value:.2f}' for value in values)} s"
        for what in ("lease", "failover", "intake")
        if (values := done.each(what))
    )
    say(
        f"  {scenario.name}: {times or 'no change of master'}; {done.mails} mails, {done.messages} messages,"
        f" {done.lost} lost, {done.doubled} doubled, {done.repeats} repeats, {done.epochs} epochs"
    )
    for violation in verdict.violations:
        say(f"  WRONG {violation}")


def keep(history: History, scenario: Scenario, folder: Path, name: str) -> None:
    """The history and its scenario, to be checked and replayed."""
    folder.mkdir(parents=True, exist_ok=True)
    save(history, folder / f"{name}.history.json.gz")
    (folder / f"{name}.txt").write_text(render(scenario))


def result(scenario: Scenario, verdict: Verdict, number: int, began: float) -> figures.Run:
    """As it is kept in a file."""
    return figures.Run(
        scenario.name,
        scenario.row,
        scenario.title,
        number,
        began,
        verdict.figures,
        tuple(map(str, verdict.violations)),
        time.time() - began,
    )


def _after(first: Future[None], then: Callable[[int], None], number: int) -> None:
    first.result()
    then(number)


def _queued(status: Mapping[str, Any]) -> bool:
    queue = status.get("queue")
    return bool(queue and (queue["pending"] or queue["processing"]))


def _sleep_until(moment: float) -> None:
    """The scenario's clock: its times are what is tested."""
    time.sleep(max(0.0, moment - time.monotonic()))
