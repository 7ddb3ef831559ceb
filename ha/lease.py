"""The lease as a value, its arithmetic, and the cell in which the whole process sees it. Pure.

send of the last renewal                                          the servers may give
that was answered                                                 the lease to another
    |-------------------- T (negotiated) -----------------------------|
    |---------- T - margin ------------------|
    valid() is true until here --------------^   nothing new is begun
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_VERSION_BITS = 32


def token(generation: int, version: int) -> int:
    """The epoch as one number: it grows with each election, and with each generation beyond all before."""
    return (generation << _VERSION_BITS) | version


def generation_of(epoch: int) -> int:
    """How often ZooKeeper's data were lost and adopted anew, plus one."""
    return epoch >> _VERSION_BITS


def version_of(epoch: int) -> int:
    """The data version of /epoch that a fenced multi checks."""
    return epoch & ((1 << _VERSION_BITS) - 1)


def spelled(epoch: int) -> str:
    """For people: generation.count, as 1.4; the plain number on one host. The greater one is the later."""
    return f"{generation_of(epoch)}.{version_of(epoch)}" if generation_of(epoch) else str(epoch)


@dataclass(frozen=True, slots=True)
class Timings:
    """All times of the lease in seconds, from the session timeout T that the servers granted.

    `margin` covers what T does not say: a server forwards that a session lives only with the leader's next
    ping (up to a tick), and the renewal before may be a fifth of T old. `patience` is how long a lower node
    waits for a higher one that is here; `handover` for the one that a switchover names; `hold_off` how long a
    node that lost the lease leaves it to others; `retirement` what a master has to end its work.
    """

    timeout: float
    margin: float
    renew_every: float
    answer_within: float
    patience: float
    handover: float
    hold_off: float
    retirement: float = 10.0
    flapping: float = 60.0

    @classmethod
    def of(cls, timeout: float, tick: float | None = None) -> Timings:
        """By T and, where it is known, the servers' tick."""
        margin = min(max(0.25 * timeout, tick or 0.0), 0.5 * timeout)
        return cls(
            timeout=timeout,
            margin=margin,
            renew_every=timeout / 5,
            answer_within=timeout / 4,
            patience=min(0.5, timeout / 8),
            handover=max(2.0, timeout),
            hold_off=max(10.0, 2 * timeout),
        )

    def deadline(self, sent: float) -> float:
        """Until when a lease counts whose renewal was sent at `sent` and answered."""
        return sent + self.timeout - self.margin


@dataclass(frozen=True, slots=True)
class Lease:
    """Ours, under `epoch`, until the clock shows `valid_until`."""

    epoch: int
    valid_until: float


class LeaseCell:
    """What the process knows of its lease: asked from anywhere, also from real threads; never blocks.

    Only the agent changes it. `clock` is seconds (ha.clock.boottime).
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lease: Lease | None = None
        self._suspended = False
        self._highest = 0

    def valid(self) -> bool:
        """Whether something new may be begun as the master at this moment."""
        lease = self._lease  # one look: it may change between two
        return lease is not None and not self._suspended and self._clock() < lease.valid_until

    @property
    def epoch(self) -> int:
        """The highest epoch seen; ours while master."""
        return self._highest

    @property
    def lease(self) -> Lease | None:
        """The lease as it was last granted, valid or not; None while this node is not master."""
        return self._lease

    @property
    def suspended(self) -> bool:
        """Whether ZooKeeper is away, so that nothing new is begun though the lease may still run."""
        return self._suspended

    def left(self) -> float | None:
        """Seconds that it still runs, 0 when it is over; None while this node is not master."""
        lease = self._lease
        return None if lease is None else max(0.0, lease.valid_until - self._clock())

    # -- the agent's side --------------------------------------------------
    def saw(self, epoch: int) -> None:
        """An epoch was seen, whoever's it is."""
        self._highest = max(self._highest, epoch)

    def grant(self, epoch: int, valid_until: float) -> None:
        """Won, or renewed: answered by ZooKeeper, so no longer suspended."""
        self.saw(epoch)
        self._lease = Lease(epoch, valid_until)
        self._suspended = False

    def suspend(self) -> None:
        """ZooKeeper is away: valid() is false at once, until the next `grant`."""
        self._suspended = True

    def end(self) -> None:
        """Lost or given back."""
        self._lease = None
