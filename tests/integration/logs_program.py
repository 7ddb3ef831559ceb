# ruff: noqa: E402 - the standard library is patched before anything is imported
"""A small process with a log, for test_logs: `python -m tests.integration.logs_program WHAT DIR`."""

from gevent import monkey

monkey.patch_all()

import ctypes
import faulthandler
import json
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from datetime import UTC
from pathlib import Path

from daemon import logs
from daemon.runtime import native
from daemon.runtime.process import run

log = logging.getLogger("arimonitor.test")


def prints(system: logs.LogSystem) -> None:
    """Every way in which something can be written to the standard streams."""
    print("printed to stdout")
    print("printed to stderr", file=sys.stderr)
    os.write(1, b"written to descriptor one\n")
    ctypes.CDLL(None).write(2, b"written by the C library\n", 25)
    os.write(1, b"undecodable \xff byte\n")
    subprocess.run(["sh", "-c", "echo a child says; echo a child complains >&2"], check=True)
    run(["sh", "-c", "echo a supervised child says"], timeout=10)
    logging.getLogger("arimonitor.calls").info("a call")
    logging.getLogger("arimonitor.performance").info("a number")
    warnings.warn("a warning of a library", stacklevel=1)
    print("no end of line", end="")


def floods(system: logs.LogSystem) -> None:
    """More than any pipe holds, from the hub itself without a pause, then by a child."""
    line = b"x" * 99 + b"\n"
    os.write(1, line * 40_000)
    subprocess.run([sys.executable, "-c", "for n in range(20000): print('child line', n)"], check=True)
    print("the last line")


def secrets(system: logs.LogSystem) -> None:
    """Secrets in messages, arguments, tracebacks, data and prints; also learnt later."""
    system.add_secrets(["learnt-later"])
    try:
        raise RuntimeError("login with hunter2-known and password=hunter2-pattern failed")
    except RuntimeError:
        log.exception("could not log in as %s", "hunter2-known")
    log.info("event", extra={"data": json.dumps({"password": "hunter2-data", "x": "learnt-later"})})
    print("printed hunter2-known and [1A2B3C4D]")


def raises(system: logs.LogSystem) -> None:
    """Uncaught errors: in a greenlet, in a thread, in the main program."""
    import gevent

    def dies(what: str) -> None:
        raise ValueError(f"died in a {what} with hunter2-known")

    gevent.spawn(dies, "greenlet").join()
    thread = threading.Thread(target=dies, args=("thread",), name="the thread")
    thread.start()
    thread.join()
    dies("main program")


def from_threads(system: logs.LogSystem) -> None:
    """Real threads log, which they must not, and nothing hangs."""
    done = [native.new_lock() for _ in range(4)]

    def work(number: int) -> None:
        for count in range(200):
            log.info("thread %d line %d", number, count)
        done[number].release()

    for number, lock in enumerate(done):
        lock.acquire()
        native.start_thread(lambda number=number: work(number))
    for lock in done:
        while not lock.acquire(blocking=False):
            log.debug("waiting")
            time.sleep(0.01)


def full_disk(system: logs.LogSystem) -> None:
    """Lines until told to stop: the disk fills and is freed by the test."""
    for number in range(10_000):
        log.info("line %d %s", number, "x" * 200)
        if sys.stdin in native_ready():
            break
        time.sleep(0.005)
    log.info("the daemon still lives")


def native_ready() -> list[object]:
    """Whether the test said something on standard input."""
    import select

    return select.select([sys.stdin], [], [], 0)[0]


def levels(system: logs.LogSystem) -> None:
    """Debug on, verbose and off at run time; what the console's tail sees."""
    library = logging.getLogger("somelibrary")
    for mode in ("off", "on", "verbose", "off"):
        system.set_debug(mode)  # type: ignore[arg-type]
        log.debug("ours at debug %s", mode)
        library.debug("library at debug %s", mode)
        library.warning("library warns at %s", mode)
    system.set_level("warning")
    log.info("not to be seen")
    log.warning("tail %s", json.dumps(len(system.tail(3))))
    system.terminal.write("TAIL\n" + "\n".join(system.tail(2)) + "\n")
    system.terminal.flush()


def keeps(system: logs.LogSystem) -> None:
    """How many days are kept, changed at run time."""
    folder = Path(sys.argv[2])
    for days in (0, 30):
        system.set_keep_days(days)
        log.warning("%d old files are there", len(list(folder.glob("ARI-*2020*"))))


def terminal(system: logs.LogSystem) -> None:
    """The console's own terminal is the real one."""
    system.terminal.write("prompt> ")
    system.terminal.flush()
    print("not for the terminal")


def child_outlives(system: logs.LogSystem) -> None:
    """A child that holds the streams must not keep us from ending."""
    subprocess.Popen(["sleep", "60"])
    print("the child was started")


def closed_streams(system: logs.LogSystem) -> None:
    """Started without standard output and error."""
    os.write(1, b"written where nothing was\n")
    log.info("alive")


def main() -> None:
    """Run one of the above with a log in DIR; JSON options in $LOG_OPTIONS."""
    if sys.stderr is not None:
        faulthandler.dump_traceback_later(60, exit=True)
    options = json.loads(os.environ.get("LOG_OPTIONS", "{}"))
    system = logs.configure(
        logs.LogOptions(dir=Path(sys.argv[2]), timezone=UTC, secrets=("hunter2-known",), **options)
    )
    globals()[sys.argv[1]](system)


if __name__ == "__main__":
    main()
