"""Who is master: the election of this configuration, built, and what follows from it. Root.

One host (`ha.backend = "file"`): a lock file; this node is master from the
first moment on. Two hosts: ZooKeeper; this node begins as slave, and the
agent's orders change its role (`roles`).

    agent (lease, election) --> roles --> services
    board (members, marks, pause), records --> the second session
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from daemon import __version__
from daemon.brokers import OWN
from daemon.carrying import serves
from daemon.errors import FatalError, PermanentError, TransientError
from daemon.jobs.ondisk import Outcomes
from daemon.jobs.placing import Node, nodes_of
from daemon.jobs.recordfile import Offloaded
from daemon.jobs.records import Deposed, RecordStore
from daemon.jobs.recordzk import ZooKeeperRecords, is_lasting
from daemon.mail.trust import TOO_MANY
from daemon.member import MemberFacts
from daemon.outbox.publisher import Publisher
from daemon.outbox.store import Outbox
from daemon.roles import Roles
from daemon.settings import Settings
from daemon.snapshot import Problem
from daemon.standby.board import BoardMarks
from daemon.standby.handover import BlindMaster
from daemon.standby.succession import Succession
from daemon.watching import Watched
from ha import errors as ha_errors
from ha.agent import Agent, Sessions
from ha.claims import Claims
from ha.deadman import Deadman
from ha.lease import LeaseCell
from ha.lockfile import LockfileAgent
from ha.model import Member, Mode, Seen, View
from ha.zookeeper import Tree

log = logging.getLogger("arimonitor.ha")

_LATELY = 600.0  # seconds for which a failover is news
_COUNTED = {
    "marks": ("waiting", "written", "left_out", "taken_from_standby"),
    "pruner": ("dropped", "settled", "given_up", "handed"),
}
"""What of a standby's services is shown as a number."""


@contextmanager
def translated() -> Iterator[None]:
    """Errors of package ha become the daemon's, with the same sentence."""
    try:
        yield
    except ha_errors.Deposed as error:
        raise Deposed(str(error)) from error
    except (ha_errors.CommandRefused, ha_errors.NoAuth, ha_errors.Unusable) as error:
        raise PermanentError(str(error)) from error
    except ha_errors.HaError as error:
        raise TransientError(str(error)) from error


class Cluster:
    """This node among the nodes: what the root and its parts ask of the election.

    Also what comes with a change of role (`roles.Duties`).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        node, ha = settings.node, settings.ha
        # A shadow watches beside another system: it takes no part in anything.
        self.alone = ha.backend == "file" or node.shadow
        self._me = Member(node.name, "slave" if node.shadow else node.mode, node.priority)
        self._data: Tree | None = None
        self._claims: Claims | None = None
        self._succession: Succession | None = None
        self._publishers: Callable[[], Mapping[str, Publisher]] = dict
        self._lockfile: LockfileAgent | None = None
        self._agent: Agent | None = None
        self._roles: Roles | None = None

    def join(self, roles: Roles, deadman: Deadman) -> None:
        """Take part; `roles` is given the orders. Raises FatalError."""
        node, self._roles = self._settings.node, roles
        if self.alone:
            self._lockfile = LockfileAgent(self._me, node.data_dir, roles)
        else:
            sessions = Sessions(self._tree("lease"), self._tree("data"))
            self._data = sessions.data
            self._agent = Agent(sessions, self._me, node.data_dir, roles, deadman=deadman)
        try:
            self.agent.open()
        except ha_errors.LeaseHeldError as error:
            raise FatalError(
                f"another arimonitor uses the data directory {node.data_dir}: "
                "stop it, or give this one a node.data_dir of its own"
            ) from error
        except ha_errors.EpochError as error:
            raise FatalError(str(error)) from error
        if self.alone and self._me.mode != "slave":
            roles.begin_as("master")  # nobody else can be

    def _tree(self, name: str) -> Tree:
        ha = self._settings.ha
        password = ha.password.get_secret_value() if ha.password is not None else ""
        return Tree(
            ha.hosts, ha.namespace, ha.session_timeout, username=ha.username, password=password, name=name
        )

    def works_over(self, outbox: Outbox, publishers: Callable[[], Mapping[str, Publisher]]) -> None:
        """Whose messages the other node has to know of."""
        self._publishers = publishers
        if self._agent is not None:
            marks = BoardMarks(self._agent.board, lambda: self.lease.epoch)
            self._succession = Succession(
                self._me.name, outbox, marks, self._others, lambda broker: broker.startswith(OWN)
            )

    def records(self, offload: Offloaded) -> RecordStore:
        """Where requests stand, for all nodes."""
        if self._agent is None or self._data is None:
            raise RuntimeError("one host has its records in a file")
        self._claims = Claims(self._data, "/req", is_lasting)
        return ZooKeeperRecords(
            self._claims,
            Claims(self._data, "/mails"),
            self._agent.board,
            Outcomes(self._settings.node.data_dir / "outcomes"),
            offload,
            owner=self._me.name,
            over_limit=sorted(TOO_MANY),
        )

    def begin(self, roles: Roles, watched: Mapping[str, Watched]) -> None:
        """The services of the election and of the standby."""
        roles.add(roles)
        if self._agent is None or self._succession is None:
            roles.add(self.agent)
            return
        succession, agent = self._succession, self._agent
        roles.keep("marks", lambda: succession.writer)
        roles.keep("pruner", lambda: succession.pruner)
        roles.keep(
            BlindMaster.name,
            lambda: BlindMaster(
                lambda: _connections(watched.values()), self._facts_of_others, self._step_down
            ),
        )
        roles.add(MemberFacts(lambda: self._facts(watched.values()), agent.say))
        if self._claims is not None:
            self._claims.watch()
            roles.add(self._claims)
        roles.add(agent.board)
        roles.add(agent)

    # -- who is master -----------------------------------------------------
    @property
    def agent(self) -> Agent | LockfileAgent:
        """The election's end on this node."""
        agent = self._agent or self._lockfile
        if agent is None:
            raise RuntimeError("it has not joined")
        return agent

    @property
    def lease(self) -> LeaseCell:
        """Whether this node may begin something new, and under which epoch."""
        return self.agent.lease

    def view(self) -> View:
        """How the election stands."""
        return self.agent.view()

    def valid(self) -> bool:
        """Whether the lease counts now."""
        return self.lease.valid()

    def retired(self) -> None:
        """The master's work has ended: the lease may go."""
        self.agent.retired()

    def close(self) -> None:
        """After everything has ended."""
        self.agent.close()
        if self._data is not None:
            self._data.stop()

    # -- a change of role --------------------------------------------------
    def take_over(self, epoch: int) -> None:
        """As roles.Duties says."""
        if self._succession is not None:
            self._succession.take_over(epoch)

    def hand_over(self) -> None:
        """As roles.Duties says."""
        if self._succession is not None:
            shared = [p for broker, p in self._publishers().items() if not broker.startswith(OWN)]
            self._succession.hand_over(shared)

    def published(self, ids: Sequence[str]) -> None:
        """The broker has these messages: the other node need not keep them. Returns at once."""
        if self._succession is not None:
            self._succession.writer.published(ids)

    # -- the others --------------------------------------------------------
    def nodes(self) -> Sequence[Node]:
        """All nodes, and what each can give."""
        settings = self._settings
        peers = {peer.name: peer.audios_from for peer in settings.peer}
        return nodes_of(self._me.name, serves(settings), self.view().members, peers)

    def _others(self) -> Sequence[str]:
        return [seen.member.name for seen in self._others_here()]

    def _others_here(self) -> Sequence[Seen]:
        return [seen for seen in self.view().members if seen.here and seen.member.name != self._me.name]

    def _facts_of_others(self) -> Mapping[str, Mapping[str, object]]:
        return {seen.member.name: seen.member.facts for seen in self._others_here()}

    def _facts(self, watched: Iterable[Watched]) -> Mapping[str, Any]:
        settings = self._settings
        return {
            "version": __version__,
            "serves": list(serves(settings)),
            "audios_from": settings.recordings.audios_from,
            "asterisk": _connections(watched),
        }

    def taken_over(self) -> tuple[int, str, str] | None:
        """Epoch, from whom, and why: where this node is master since lately and another one was before it."""
        view = self.view()
        if view.role != "master" or len(view.history) < 2:
            return None
        old, new = view.history[-2:]
        lately = new.epoch == view.epoch and time.time() - new.at < _LATELY
        return (new.epoch, old.master, new.reason) if lately and old.master != new.master else None

    def counters(self) -> dict[str, int | float]:
        """Numbers by dotted name: changes of role; what the services of two nodes count."""
        numbers: dict[str, int | float] = {}
        if self._roles is not None:
            numbers["ha.role_changes"] = self._roles.changes
            numbers["ha.role_change_ms"] = round(self._roles.last_seconds * 1000, 1)
        if self._succession is not None:
            writer, pruner = self._succession.writer.status(), self._succession.pruner.status()
            for part, said in (("marks", writer), ("pruner", pruner)):
                for key in _COUNTED[part]:
                    value = said[key]
                    numbers[f"{part}.{key}"] = value if isinstance(value, int) else 0
        return numbers

    def notices(self) -> Iterator[Problem]:
        """What is wrong, in sentences."""
        view = self.view()
        for sentence in view.problems:
            yield Problem("ha", sentence)
        told = self._succession if view.connected else None  # if not, that is said already
        if told is not None and (trouble := told.trouble(leads=view.role == "master")):
            yield Problem("ha", f"the two nodes can't tell one another what is published: {trouble}")
        mine = self._settings.recordings.audios_from
        for name, facts in self._facts_of_others().items():
            theirs = facts.get("audios_from", mine)
            if theirs != mine and view.role == "master":
                yield Problem(
                    "ha", f"recordings.audios_from is {mine} here and {theirs} on {name}: the master's counts"
                )

    # -- what an operator asks for -----------------------------------------
    def switchover(self, to: str | None) -> str:
        """The lease goes to another node. Raises PermanentError, TransientError."""
        with translated():
            return self.agent.switchover(to)

    def set_mode(self, mode: Mode) -> str:
        """auto, master or slave. Raises PermanentError, TransientError."""
        with translated():
            return self.agent.set_mode(mode)

    def adopt(self) -> str:
        """Accept ZooKeeper's data though they are older. Raises PermanentError, TransientError."""
        with translated():
            return self.agent.adopt()

    def _step_down(self, to: str, reason: str) -> str:
        try:
            with translated():
                return self.agent.step_down(f"{reason} ({to} is to go on)")
        except PermanentError as error:
            raise TransientError(str(error)) from error


def _connections(watched: Iterable[Watched]) -> dict[str, bool]:
    """Each Asterisk that both nodes watch: is this node connected to it?"""
    return {
        each.settings.name: bool(each.listener.status()["connected"])
        for each in watched
        if each.settings.watch == "both"
    }
