"""The supervisor with its services and helpers as greenlets of this process.

Run as `python -m gevent.monkey --module pytest`; what needs patched modules is skipped otherwise.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from threading import Event

import gevent
import pytest

from daemon.errors import FatalError
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.states import Policy, State
from daemon.runtime.supervisor import Supervisor
from tests.integration.runtime_parts import DEADLINE, patched
from tests.servers.waiting import wait_until

QUICK = Policy(settle=60.0, max_deaths=0, first=0.01, cap=0.02)


class Service:
    def __init__(self, name: str, work: Callable[[Event], None]) -> None:
        self.name = name
        self.work = work
        self.lives = 0

    def run(self, stop: Event) -> None:
        self.lives += 1
        self.work(stop)

    def status(self) -> Mapping[str, object]:
        return {"lives": self.lives}


def waits(stop: Event) -> None:
    stop.wait()


def run_in_background(supervisor: Supervisor) -> tuple[Event, list[BaseException], threading.Thread]:
    stop, errors = Event(), []

    def body() -> None:
        try:
            supervisor.run_until(stop)
        except FatalError as error:
            errors.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return stop, errors, thread


@patched
@pytest.mark.parametrize(
    "error", [ValueError("x"), gevent.Timeout(1), SystemExit(3), OSError(28, "No space left on device")]
)
def test_whatever_it_dies_of_it_is_started_again(error: BaseException) -> None:
    third_life = Event()

    def work(stop: Event) -> None:
        if service.lives < 3:
            raise error
        third_life.set()
        stop.wait()

    service = Service("mortal", work)
    supervisor = Supervisor([service], policy=QUICK)
    stop, errors, thread = run_in_background(supervisor)
    assert third_life.wait(DEADLINE)
    (status,) = supervisor.status()
    assert (status["state"], status["deaths"], status["detail"]) == ("starting", 2, {"lives": 3})
    assert str(status["last_error"]).startswith(type(error).__name__)
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert errors == []
    assert supervisor.state_by_name() == {"mortal": State.EXITED}


@patched
def test_services_come_and_go_while_it_runs() -> None:
    supervisor = Supervisor([Service("one", waits)], policy=Policy(settle=0.01))
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.state_by_name() == {"one": State.RUNNING}, "one")
    two = Service("two", waits)
    supervisor.add(two)
    wait_until(lambda: supervisor.state_by_name().get("two") is State.RUNNING, "two")
    with pytest.raises(ValueError, match="already supervised"):
        supervisor.add(Service("two", waits))
    supervisor.remove("one")
    assert supervisor.state_by_name() == {"two": State.RUNNING}
    with pytest.raises(KeyError):
        supervisor.remove("one")
    supervisor.add(Service("one", waits))
    stop.set()
    thread.join(DEADLINE)
    assert set(supervisor.state_by_name().values()) == {State.EXITED}


@patched
def test_stop_does_not_wait_for_a_service_in_backoff() -> None:
    def work(stop: Event) -> None:
        raise ValueError("x")

    supervisor = Supervisor([Service("dead", work)], policy=Policy(first=600.0, cap=600.0, jitter=0.0))
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.state_by_name() == {"dead": State.BACKOFF}, "the death")
    assert supervisor.status()[0]["restart_in_s"] == pytest.approx(600, abs=5)
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert supervisor.state_by_name() == {"dead": State.EXITED}


@patched
def test_an_error_while_stopping_is_said_and_no_death(caplog: pytest.LogCaptureFixture) -> None:
    def work(stop: Event) -> None:
        stop.wait()
        raise FatalError("late")

    supervisor = Supervisor([Service("late", work)])
    stop, errors, thread = run_in_background(supervisor)
    wait_until(lambda: supervisor.status()[0]["detail"] == {"lives": 1}, "its life")
    stop.set()
    thread.join(DEADLINE)
    assert errors == []
    assert "service late failed while stopping" in caplog.text
    assert supervisor.state_by_name() == {"late": State.EXITED}


@patched
def test_helpers_are_logged_when_they_die_and_killed_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def dies() -> None:
        raise ValueError("helper's end")

    supervisor = Supervisor()
    stop, errors, thread = run_in_background(supervisor)
    assert supervisor.spawn("short", dies).join(DEADLINE)
    assert "helper short died: ValueError: helper's end" in caplog.text
    endless = supervisor.spawn("endless", time.sleep, 3600)
    time.sleep(0)
    assert not endless.done
    stop.set()
    thread.join(DEADLINE)
    assert endless.done
    assert errors == []


@patched
def test_a_helper_s_fatal_error_ends_all() -> None:
    def fatal() -> None:
        raise FatalError("no disk")

    supervisor = Supervisor([Service("one", waits)])
    _, errors, thread = run_in_background(supervisor)
    supervisor.spawn("checker", fatal)
    thread.join(DEADLINE)
    assert [str(error) for error in errors] == ["no disk"]
    assert supervisor.state_by_name() == {"one": State.EXITED}


@patched
def test_a_status_that_fails_hides_no_other() -> None:
    class Broken(Service):
        def status(self) -> Mapping[str, object]:
            raise RuntimeError("broken")

    supervisor = Supervisor([Broken("one", waits), Service("two", waits)])
    assert [entry["detail"] for entry in supervisor.status()] == [
        {"error": "RuntimeError: broken"},
        {"lives": 0},
    ]


@patched
def test_the_hub_s_lag_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    watch = HubWatch(interval=0.005, threshold=0.1)
    supervisor = Supervisor([watch])
    stop, _, thread = run_in_background(supervisor)
    wait_until(lambda: watch.lag().samples > 20, "samples")

    def block_the_hub() -> None:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            pass

    block_the_hub()
    wait_until(lambda: watch.blocked, "the blockage")
    status = watch.status()
    assert int(str(status["blocked"])) >= 1  # more where the machine is so busy that it blocks us, too
    assert float(str(status["max_ms"])) > 350
    assert re.search(r"the hub was blocked for \d+\.\d", caplog.text)
    wait_until(lambda: "in block_the_hub" in caplog.text, "where it was")
    stop.set()
    thread.join(DEADLINE)
