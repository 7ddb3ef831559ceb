"""A node: the product's own services over the simulator's ports; and what of it outlives its process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from daemon.errors import PermanentError, TransientError
from daemon.jobs.answering import Answering
from daemon.jobs.book import Book
from daemon.jobs.checkip import CheckIp
from daemon.jobs.clerk import Clerk
from daemon.jobs.composer import MailComposer
from daemon.jobs.dispatcher import Dispatcher
from daemon.jobs.failpoints import POINTS
from daemon.jobs.leftovers import Leftovers
from daemon.jobs.macchange import MacChange
from daemon.jobs.ondisk import UntoldSteps
from daemon.jobs.placing import Node as Member
from daemon.jobs.policy import Limits
from daemon.jobs.rebuild import Rebuild
from daemon.jobs.records import Deposed, Fenced, Held
from daemon.jobs.runner import Lane
from daemon.jobs.spool import Spool
from daemon.jobs.takeover import Takeover
from daemon.mail.imap import ImapMailbox
from daemon.mail.monitor import MailMonitor
from daemon.mail.policy import policy_of
from daemon.mail.tokens import Tokens
from daemon.runtime.backoff import Backoff
from daemon.settings import Settings
from ha.claims import Claims
from tests.unit.simulator.cluster import Cell, Cluster
from tests.unit.simulator.composing import Remembering
from tests.unit.simulator.host import Host
from tests.unit.simulator.world import Actor, trouble_of
from tests.unit.simulator.zookeeper import Session

if TYPE_CHECKING:
    from tests.unit.simulator.site import Site

TAKEOVER_AFTER = 10.0


class Standing:
    """In place of an Event that is waited for in the middle of a step: it stands still, others go on."""

    def __init__(self, node: Node) -> None:
        self._node, self._set = node, False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        if not self._set:
            self._node.world.stand_still(self._node, self.is_set, seconds)
        return self._set


class Node:
    """One process on a host, from its start to its end. With a cluster it is one of several."""

    def __init__(self, site: Site, host: Host) -> None:
        self.site, self.host, self.world = site, host, site.world
        self.name = host.name
        self.dead = self.paused = self.session_over = False
        self.frozen = self.paused_at = self.died_at = 0.0
        """Seconds that its clock did not count: it was frozen as a whole."""
        self.cut_off: set[str] = set()
        """Ports that can't be reached now: imap, smtp, records, ssh, zk, ..."""
        self.actors: list[Actor] = []
        self.members: Sequence[Member] = ()
        self._stop = Event()
        self._mail: MailMonitor | None = None
        self._reign = 0
        self._is_open = False
        self._tickets = self._served = 0
        self._done: set[int] = set()
        cluster = site.cluster
        host.epoch += 1
        self.cell = Cell(self)
        self.tree: Session | None = None
        if cluster is not None:
            self.tree = Session(cluster.ensemble, self)
            cluster.look(self)
            self._add("zookeeper", self._connect, None, lambda: self.session_over and self.is_heard)
            self._add("ha", lambda: self._ha(cluster), None)
        self.store = site.store(self)
        settings = site.settings[host.name]
        self.book = Book(
            self.store,
            Spool(host.queue),
            self._disk,
            owner=host.name,
            mastership=self.cell if cluster is not None else Held(host.epoch),
            zone=ZoneInfo(settings.node.timezone),
            limits=lambda: Limits(max_tries=9, confirmation=site.confirmation),
            nodes=self._nodes if cluster is not None else None,
            untold=UntoldSteps(host.folder / "untold"),
            reach=self._reach,
            now=self.world.clock,
        )
        self._services(settings)

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end, in good order."""
        return self._stop.is_set()

    def tell_to_stop(self) -> None:
        """As SIGTERM does, or the loss of the mastership."""
        self._stop.set()

    @property
    def is_heard(self) -> bool:
        """Whether ZooKeeper hears of it now."""
        return not (self.dead or self.paused or "zk" in self.cut_off)

    def clock(self) -> float:
        """Its own, which may not have counted while it was frozen."""
        return self.world.now - self.frozen

    def end_session(self) -> None:
        """ZooKeeper has given it up; it does not know."""
        self.session_over = True
        if self.tree is not None and self.site.cluster is not None:
            self.site.cluster.ensemble.end(self.tree.session_id)

    def _connect(self) -> float:
        """It is connected again, in a new session; what became of the lease it learns later."""
        if self.session_over and self.is_heard and self.tree is not None:
            self.session_over = False
            self.tree.begin()
        return 1.0

    def cut(self, port: str) -> None:
        """It can't reach that any more."""
        self.cut_off.add(port)
        self.world.upset = True
        if port == "zk" and self.tree is not None:
            self.tree.connection(False)

    def mend(self) -> None:
        """It can reach everything again."""
        cut, self.cut_off, self.world.upset = self.cut_off, set(), True
        if "zk" in cut and self.tree is not None and not self.session_over:
            self.tree.connection(True)

    def watch(self, claims: Claims) -> None:
        """The service that keeps the copy of the records."""
        claims._connected = Standing(self)  # type: ignore[assignment]
        claims._connected.set()
        claims.watch()
        tree = self.tree
        assert tree is not None

        def keep_up() -> float:
            tree.deliver()
            claims.keep_up(0.0)
            return 1.0

        self._add("records", keep_up, None, lambda: bool(tree.events))

    def _nodes(self) -> Sequence[Member]:
        """This one is here, whatever it saw last."""
        return tuple(m if m.name != self.name else replace(m, here=True) for m in self.members)

    def _services(self, settings: Settings) -> None:
        site, book, host = self.site, self.book, self.host
        rules = policy_of(settings)
        reached = site.reaching(self)
        check = CheckIp(lambda: settings, reach=reached, remember=book.remember, remembered=book.remembered)
        move = MacChange(lambda: settings, begun_by=book.begun_by, reach=reached)
        works = {"RAMAIS": site.recordings(self), "CHECKIP": check, "MACCHANGE": move}
        leftovers = Leftovers(book, host.work, {"MACCHANGE": move.abandon}, every=0.0, first=1e-9)
        rebuild = Rebuild(book, host.folder) if site.cluster is not None else None
        clerk = Clerk(book, host.work, lambda: rules, rebuild)
        answers = Answering(book, site.way_out(self), Remembering(MailComposer(lambda: settings)))
        recordings = Lane("recordings", book, works, host.work, dice=lambda: 0.0)
        commands = Lane("commands", book, works, host.work, leftovers=leftovers, dice=lambda: 0.0)
        self._rules = lambda: rules
        self._add("answers", lambda: answers._round(self._stop), answers._wake)
        self._add("queue", lambda: self._keep(clerk), clerk._wake)
        self._add("queue-recordings", lambda: recordings._next(self._stop), recordings._wake)
        self._add("queue-commands", lambda: commands._next(self._stop), commands._wake)
        self._add("mail", self._look, None)
        if site.cluster is not None:
            dispatcher = Dispatcher(book, site.courier(self), clock=self.world.clock)
            takeover = Takeover(book, lambda: TAKEOVER_AFTER, clock=self.world.clock)
            self._add("queue-peer", lambda: dispatcher._round(self._stop), dispatcher._wake)
            self._add("takeover", lambda: self._take_over(takeover), takeover._wake)

    # -- steps: what the services' own loops do around them ----------------------------------
    def _add(
        self,
        name: str,
        step: Callable[[], float],
        wake: Event | None,
        woken: Callable[[], bool] = lambda: False,
    ) -> None:
        trouble = Backoff(first=0.5, cap=30.0, jitter=0.0)

        def turn() -> float:
            if wake is not None:
                wake.clear()
            try:
                if not self._is_open and self.tree is None:  # as the root does before anything else
                    self.site.open(self)
                    self._is_open = True
                seconds = step()
            except Deposed as error:
                self.world.note(f"deposed: {error}")
                return 60.0
            except Fenced as error:
                self.world.note(f"fenced: {error}")
                return 0.1
            except (TransientError, PermanentError) as error:
                self.world.note(f"waits: {error}")
                return trouble.next()
            trouble.reset()
            return seconds

        self.actors.append(Actor(self, name, turn, wake.is_set if wake is not None else woken))

    def _ha(self, cluster: Cluster) -> float:
        cluster.look(self)
        return 1.0

    def _keep(self, clerk: Clerk) -> float:
        clerk._settle()
        if self.book.is_settled:
            clerk._round()
        return 1.0

    def _look(self) -> float:
        """The mailbox's service, which is made anew with each reign."""
        mastership = self.book.mastership
        if not mastership.valid():
            self._mail = None
            return 1.0
        if self._mail is None or self._reign != mastership.epoch:
            self._reign, self._mailbox = mastership.epoch, self._open_mailbox()
            self._mail = MailMonitor(self._mailbox, self.book, self._rules, lambda: Tokens(()), held=0.0)
        try:
            self._mail._look(self._stop)
        except (TransientError, PermanentError):
            self._mailbox.close()
            raise
        return 1.0 if self._mail is not None and self._mail._of_mail else 30.0

    def _open_mailbox(self) -> ImapMailbox:
        return ImapMailbox(
            self.site.access,
            folder="INBOX",
            done="Done",
            aside="Aside",
            max_age=30,
            poll=30,
            offload=None,  # type: ignore[arg-type]  # for big mails only
            clock=self.world.clock,
            connect=lambda _: self.site.link(self),  # type: ignore[arg-type, return-value]
        )

    def _take_over(self, takeover: Takeover) -> float:
        if self.book.mastership.valid():
            takeover._round()
        else:
            takeover._away.clear()  # its service is begun anew with each reign
        return 1.0

    # -- ports -----------------------------------------------------------------------------------
    def on_file(self, fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
        def effect() -> Any:
            result = fn(*data)
            if fn.__name__ in ("create", "change"):
                self.world.changed(f"{data[0][0]} is {data[0][2]} (version {data[0][1]})")
            return result

        return self.world.call(self, f"records {fn.__name__}", effect, trouble_of(TransientError))

    def _disk(self, fn: Callable[..., Any], *data: Any, timeout: float | None = None) -> Any:
        """The pool of one thread: calls are carried out in the order in which they were made."""
        mine, self._tickets = self._tickets, self._tickets + 1

        def effect() -> Any:
            if self._served != mine:
                self.world.stand_still(self, lambda: self._served == mine, float("inf"))
            return fn(*data)

        try:
            return self.world.call(self, f"disk {fn.__name__}", effect, trouble_of(TransientError))
        finally:
            self._done.add(mine)
            while self._served in self._done:
                self._done.discard(self._served)
                self._served += 1

    def _reach(self, point: str) -> None:
        assert point in POINTS
        self.world.moment(self, point, "point")
