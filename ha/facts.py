"""What the election is decided from, and what it decides: values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ha.codec import Handover
from ha.model import Member, Role


class Phase(StrEnum):
    """Where this node stands."""

    SLAVE = "slave"
    ASKING = "asking"
    MASTER = "master"
    RETIRING = "retiring"


@dataclass(frozen=True, slots=True)
class State:
    """What the election remembers. Times are of the boot clock.

    `epoch` and `session` are the lease's own while master or retiring, and those it was asked with before.
    `free_since`: since when nobody has it. `losses`: when it was lost unplanned lately. `vain_until`: it was
    refused, and is not asked for again before, unless there is another epoch.
    """

    phase: Phase = Phase.SLAVE
    epoch: int = 0
    session: int = 0
    free_since: float | None = None
    losses: tuple[float, ...] = ()
    vain_until: float = 0.0
    to: str = ""
    why: str = ""
    retire_by: float = 0.0

    @property
    def leads(self) -> bool:
        """Whether this node is master, retiring or not."""
        return self.phase in (Phase.MASTER, Phase.RETIRING)

    def role(self, lease_left: float | None) -> Role:
        """What this node is to others; `lease_left` in seconds, None without the lease.

        A process that was frozen still thinks that it leads, until it has looked.
        """
        return "master" if self.leads and lease_left else "slave"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose name is in /lease, and the session that it goes with."""

    name: str
    session: int


class Outcome(StrEnum):
    """What became of an Ask. UNKNOWN: it was sent, and no answer came."""

    WON = "won"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """To an Ask; `epoch` where it was won."""

    outcome: Outcome
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at this moment.

    `connected`: ZooKeeper answers, and what follows is what it says; `starting`: it has not answered yet,
    and the first session timeout is not over. `token` is /epoch's (0: there is none),
    `leader` the node that it names, `ours` whether this installation wrote it. `highest` is the highest epoch
    that this node has on its disk. `others` are those here, without this node. `handover` counts for `token`
    only. `wish` is the reason for which the daemon itself wants to give the lease back, `retired` that it has
    ended the master's work, `impostor` that another installation has this node's name, `barred` why this
    node can't lead, `trouble` why ZooKeeper's answers are of no use. `lease_until` is the deadline of the
    last renewal, `answer` the Ask's.
    """

    me: Member
    connected: bool = True
    starting: bool = False
    session: int = 0
    holder: Holder | None = None
    token: int = 0
    leader: str = ""
    ours: bool = False
    highest: int = 0
    others: tuple[Member, ...] = ()
    handover: Handover | None = None
    wish: str = ""
    retired: bool = False
    impostor: bool = False
    barred: str = ""
    trouble: str = ""
    lease_until: float = 0.0
    answer: Answer | None = None

    @property
    def handed(self) -> Handover | None:
        """The handover, if it is of the present epoch."""
        return self.handover if self.handover is not None and self.handover.token == self.token else None

    def named(self, name: str) -> Member | None:
        """The other of this name, if it is here and may lead."""
        return next((each for each in self.able if each.name == name), None)

    @property
    def able(self) -> tuple[Member, ...]:
        """The others that are here and may lead."""
        return tuple(each for each in self.others if each.mode != "slave")


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for the lease; `over`: in place of this node's own old one, in one step."""

    over: bool = False


@dataclass(frozen=True, slots=True)
class Forget:
    """Take away this node's own old lease: it shall not lead."""


@dataclass(frozen=True, slots=True)
class Win:
    """Tell the daemon that it is master, under `epoch`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Lose:
    """Tell the daemon at once that it is master no more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Tell the daemon to end the master's work."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lease back, for `to` or ("") anybody, and `why`; `late`: the work had not ended in time."""

    to: str
    why: str = ""
    late: bool = False


Action = Ask | Forget | Win | Lose | Retire | Release


@dataclass(frozen=True, slots=True)
class Step:
    """The state that follows, what to do, why, and (`again_at`) when to look again even if nothing comes."""

    state: State
    actions: tuple[Action, ...]
    sentence: str
    again_at: float | None = None
