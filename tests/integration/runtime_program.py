# ruff: noqa: E402 - the standard library is patched before anything is imported
"""A small supervised daemon for test_runtime: `python -m tests.integration.runtime_program WHAT DIR`."""

from gevent import monkey

monkey.patch_all()

import faulthandler
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from threading import Event

from daemon import logs
from daemon.errors import FatalError
from daemon.runtime.hubwatch import HubWatch
from daemon.runtime.signals import Signals, dump_greenlets
from daemon.runtime.states import Policy
from daemon.runtime.supervisor import Supervisor
from daemon.runtime.systemd import Notifier, Watchdog

log = logging.getLogger("arimonitor.test")
QUICK = Policy(settle=60.0, max_deaths=4, first=0.01, cap=0.05)


class Worker:
    """A service that says when it begins and ends, and does `work` between."""

    def __init__(self, name: str, work: Callable[[Event], None] = Event.wait) -> None:  # type: ignore[assignment]
        self.name = name
        self.work = work
        self.lives = 0

    def run(self, stop: Event) -> None:
        """One life."""
        self.lives += 1
        log.info("%s begins life %d", self.name, self.lives)
        self.work(stop)
        log.info("%s ends", self.name)

    def status(self) -> Mapping[str, object]:
        """How often it lived."""
        return {"lives": self.lives}


def never_ends(stop: Event) -> None:
    """Takes no notice of its end."""
    while True:
        time.sleep(1)


def fatal(stop: Event) -> None:
    """Can't go on."""
    raise FatalError("the outbox is on a disk that does not exist")


def dies(stop: Event) -> None:
    """Dies each time."""
    raise ValueError("no luck")


def ends_by_itself(stop: Event) -> None:
    """Returns though nobody told it to."""


def busy_after_usr2(stop: Event) -> None:
    """Blocks the hub for good as soon as the test makes the file `block`."""
    while not stop.wait(0.02):
        if (Path(sys.argv[2]) / "block").exists():
            while True:
                pass


SERVICES: dict[str, list[Worker]] = {
    "orderly": [Worker("first"), Worker("second"), Worker("third")],
    "stubborn": [Worker("first"), Worker("stubborn", never_ends), Worker("third")],
    "fatal": [Worker("first"), Worker("fatal", fatal)],
    "keeps_dying": [Worker("first"), Worker("dying", dies)],
    "ends_by_itself": [Worker("first"), Worker("quitter", ends_by_itself)],
    "blocks": [Worker("first"), Worker("busy", busy_after_usr2)],
}


def main() -> int:
    """Run until SIGTERM; 1 after a FatalError."""
    faulthandler.dump_traceback_later(60, exit=True)
    what, folder = sys.argv[1], Path(sys.argv[2])
    system = logs.configure(logs.LogOptions(dir=folder / "log", timezone=UTC, level="DEBUG"))
    signals = Signals()
    signals.install()
    notifier = Notifier.from_environ(os.environ)
    healthy = folder / "healthy"
    healthy.touch()
    supervisor = Supervisor(SERVICES[what], policy=QUICK, stop_timeout=0.5 if what == "stubborn" else 60.0)
    supervisor.add(
        HubWatch(threshold=0.1, stuck=0.5 if what == "blocks" else 60.0, emergency=system.emergency)
    )
    supervisor.add(Watchdog.from_environ(notifier, healthy.exists, os.environ))
    supervisor.spawn("greenlet dump", dump_greenlets, signals.dump)

    def reloads() -> None:
        while True:
            signals.reload.wait()
            signals.reload.clear()
            notifier.reloading()
            log.info("reloaded")
            notifier.ready()

    supervisor.spawn("reloads", reloads)
    supervisor.spawn("ready", notifier.ready, "all is well")
    try:
        supervisor.run_until(signals.stop)
    except FatalError as error:
        system.terminal.write(f"arimonitor: {error}\n")
        return 1
    finally:
        notifier.stopping()
        system.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
