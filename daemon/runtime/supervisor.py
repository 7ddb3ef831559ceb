"""The only place that spawns greenlets: it keeps services alive and ends them.

Each service has a keeper, a greenlet that runs the service's loop, and runs it
again with backoff when it dies (`states` has the picture). Start is in the
order of adding, stop is its mirror, and each stop has a deadline after which
the greenlet is killed. A FatalError, or too many deaths in a row, ends
`run_until` with a FatalError: the process exits and systemd starts it again.
"""

from __future__ import annotations

import logging
import random as _random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import gevent

from daemon.errors import FatalError
from daemon.runtime import states
from daemon.runtime.backoff import Backoff
from daemon.runtime.service import Service
from daemon.runtime.states import Life, Policy, State

log = logging.getLogger("arimonitor.supervisor")

KILL_GRACE = 1.0
"""Seconds a killed greenlet has for its `finally` blocks before it is left behind."""


class EndedByItselfError(Exception):
    """A service's loop returned though nobody told it to."""


@dataclass(slots=True)
class _Kept:
    """One service and its keeper."""

    service: Service
    policy: Policy
    backoff: Backoff
    stop_timeout: float
    stop: Event = field(default_factory=Event)
    life: Life = field(default_factory=Life)
    keeper: Any = None


class Task:
    """A short helper greenlet: it can be waited for and killed."""

    def __init__(self, name: str, greenlet: Any) -> None:
        self.name = name
        self._greenlet = greenlet

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return bool(self._greenlet.dead)

    def join(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds; whether it has ended."""
        self._greenlet.join(timeout)
        return self.done

    def kill(self, timeout: float = KILL_GRACE) -> bool:
        """End it where it waits; whether it has ended within `timeout` seconds."""
        self._greenlet.kill(block=False)
        return self.join(timeout)


class Supervisor:
    """Keeps services running until it is told to stop.

    `services` are started in their order. `stop_timeout` is the seconds each
    has to end by itself, `stop_total` what all of them have together (systemd's
    TimeoutStopSec must be longer). `clock` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        services: Iterable[Service] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        policy: Policy | None = None,
        stop_timeout: float = 10.0,
        stop_total: float = 40.0,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._policy = policy or Policy()
        self._stop_timeout = stop_timeout
        self._stop_total = stop_total
        self._random = random
        self._kept: dict[str, _Kept] = {}
        self._tasks: set[Task] = set()
        self._running = False
        self._wake = Event()
        self._fatal: FatalError | None = None
        for service in services:
            self.add(service)

    def add(
        self, service: Service, *, policy: Policy | None = None, stop_timeout: float | None = None
    ) -> None:
        """Take a service in; it starts now if the others run. ValueError: the name is taken."""
        if service.name in self._kept:
            raise ValueError(f"a service named {service.name!r} is already supervised")
        rules = policy or self._policy
        backoff = Backoff(rules.first, rules.factor, rules.cap, rules.jitter, self._random)
        deadline = self._stop_timeout if stop_timeout is None else stop_timeout
        kept = _Kept(service, rules, backoff, deadline)
        self._kept[service.name] = kept
        if self._running:
            self._start(kept)

    def remove(self, name: str) -> None:
        """Stop one service within its deadline and forget it. KeyError: there is none."""
        kept = self._kept[name]
        self._end(kept, kept.stop_timeout)
        del self._kept[name]

    def spawn(self, name: str, work: Callable[..., object], *args: object) -> Task:
        """Run a short helper; its error is logged, a FatalError ends the process.

        Helpers that still run when the services have stopped are killed.
        """
        greenlet: Any = gevent.Greenlet(self._run_task, name, work, args)
        greenlet.name = name
        task = Task(name, greenlet)
        self._tasks.add(task)
        greenlet.link(lambda _: self._tasks.discard(task))
        greenlet.start()
        return task

    def start(self) -> None:
        """Start every service in order; does not wait for them."""
        self._running = True
        for kept in list(self._kept.values()):
            self._start(kept)

    def stop(self) -> None:
        """Stop every service, the last started first, then kill what helpers are left."""
        self._running = False
        end = self._clock() + self._stop_total
        for kept in reversed(list(self._kept.values())):
            self._end(kept, min(kept.stop_timeout, max(0.0, end - self._clock())))
        for task in list(self._tasks):
            if not task.kill():
                log.error("helper %s did not end even when killed", task.name)

    def run_until(self, stop: Event, farewell: Callable[[], None] | None = None) -> None:
        """Start, wait for `stop` or for a service that can't live, stop everything.

        `farewell` is called before anything is stopped, where `stop` was set.
        Raises the FatalError that ended it; returns after `stop` was set.
        """
        watcher = self.spawn("stop watcher", self._wake_on, stop)
        try:
            self.start()
            self._wake.wait()
            if farewell is not None and self._fatal is None:
                farewell()
        finally:
            watcher.kill()
            self.stop()
        if self._fatal is not None:
            raise self._fatal

    def status(self) -> list[dict[str, object]]:
        """One entry per service in start order; `detail` is the service's own."""
        now = self._clock()
        return [self._status(kept, now) for kept in list(self._kept.values())]

    def state_by_name(self) -> dict[str, State]:
        """The state of each service by its name."""
        now = self._clock()
        return {name: states.observed(kept.life, now, kept.policy).state for name, kept in self._kept.items()}

    # -- one service ---------------------------------------------------------

    def _start(self, kept: _Kept) -> None:
        if kept.keeper is not None and not kept.keeper.dead:
            return
        kept.stop.clear()
        kept.keeper = gevent.Greenlet(self._keep, kept)
        kept.keeper.name = kept.service.name
        kept.keeper.start()

    def _keep(self, kept: _Kept) -> None:
        """The keeper's loop: lives of one service, one after another."""
        while not kept.stop.is_set():
            kept.life = states.started(kept.life, self._clock())
            error = self._live(kept)
            if error is None:
                return
            if isinstance(error, FatalError):
                kept.life = states.given_up(kept.life, self._clock(), _sentence(error))
                self._end_process(kept.service.name, error)
                return
            if self._bury(kept, error):
                return
            kept.stop.wait(max(0.0, (kept.life.restart_at or 0.0) - self._clock()))

    def _live(self, kept: _Kept) -> BaseException | None:
        """One life. None: it ended as it was told; else what it died of. GreenletExit passes."""
        try:
            kept.service.run(kept.stop)
        except gevent.GreenletExit:
            raise
        # A gevent.Timeout or a SystemExit that escapes a service is a death like any other: left
        # alone, the one would end the keeper silently and the other the whole process.
        except (Exception, gevent.Timeout, SystemExit) as error:  # noqa: BLE001
            if kept.stop.is_set():
                log.warning("service %s failed while stopping: %s", kept.service.name, _sentence(error))
                return None
            return error
        return None if kept.stop.is_set() else EndedByItselfError("ended without being told to")

    def _bury(self, kept: _Kept, error: BaseException) -> bool:
        """Count a death and say it; whether the service is given up with it."""
        now, name = self._clock(), kept.service.name
        row = states.observed(kept.life, now, kept.policy).in_a_row
        # The same error again is said without its traceback.
        known = isinstance(error, EndedByItselfError) or kept.life.last_error == _sentence(error)
        trace = None if known else error
        kept.life = states.died(kept.life, now, _sentence(error), kept.backoff.delay(row), kept.policy)
        if kept.life.state is State.FATAL:
            log.error("service %s died: %s", name, _sentence(error), exc_info=trace)
            why = f"service {name} died {kept.life.in_a_row} times in a row, at last of: {_sentence(error)}"
            self._end_process(name, FatalError(why))
            return True
        log.error(
            "service %s died and is started again in %.1f s deaths=%d in_a_row=%d: %s",
            name,
            (kept.life.restart_at or now) - now,
            kept.life.deaths,
            kept.life.in_a_row,
            _sentence(error),
            exc_info=trace,
        )
        return False

    def _end(self, kept: _Kept, timeout: float) -> None:
        """Tell one to stop, wait, kill; its life is EXITED afterwards (or stays FATAL)."""
        name = kept.service.name
        life = states.observed(kept.life, self._clock(), kept.policy)
        if life.state in (State.STARTING, State.RUNNING, State.BACKOFF):
            kept.life = states.told_to_stop(life, self._clock())
        kept.stop.set()
        began = self._clock()
        if kept.keeper is not None:
            keeper = Task(name, kept.keeper)
            if not keeper.join(timeout):
                log.error("service %s did not stop within %.1f s and is killed", name, timeout)
                if not keeper.kill():
                    log.error("service %s did not end even when killed", name)
            else:
                log.debug("service %s stopped after %.2f s", name, self._clock() - began)
        if kept.life.state is State.STOPPING:
            kept.life = states.ended(kept.life, self._clock())

    def _status(self, kept: _Kept, now: float) -> dict[str, object]:
        life = states.observed(kept.life, now, kept.policy)
        return {
            "name": kept.service.name,
            "state": life.state.value,
            "since_s": round(now - life.since, 1),
            "deaths": life.deaths,
            "in_a_row": life.in_a_row,
            "last_error": life.last_error,
            "restart_in_s": None if life.restart_at is None else round(max(0.0, life.restart_at - now), 1),
            "detail": _detail(kept.service),
        }

    # -- helpers and the end --------------------------------------------------

    def _run_task(self, name: str, work: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            work(*args)
        except gevent.GreenletExit:
            raise
        except FatalError as error:
            self._end_process(name, error)
        except (Exception, gevent.Timeout, SystemExit) as error:
            log.error("helper %s died: %s", name, _sentence(error), exc_info=error)

    def _wake_on(self, stop: Event) -> None:
        stop.wait()
        self._wake.set()

    def _end_process(self, name: str, error: FatalError) -> None:
        log.critical("%s can't go on, the process ends: %s", name, _sentence(error))
        if self._fatal is None:
            self._fatal = error
        self._wake.set()


def _sentence(error: BaseException) -> str:
    text = str(error)
    return text if isinstance(error, EndedByItselfError | FatalError) else f"{type(error).__name__}: {text}"


def _detail(service: Service) -> Mapping[str, object]:
    """What the service says about itself; a status that fails is said, not raised."""
    try:
        return service.status()
    except Exception as error:  # noqa: BLE001 - one broken part must not hide the others
        return {"error": _sentence(error)}
