"""The log: one sink for everything, made once by `configure`.

Every record, from our loggers, the libraries', warnings, uncaught exceptions
and whatever the process or its children print, is formatted once, freed of
secrets once, and then written to the day's file, to a file of its own if it is
about calls or performance, to the journal or terminal, and to a bounded buffer
that the console's `log` command reads.

Nothing here may stop the daemon. A disk that is full or a folder that can't be
written is said once on the real standard error, where the lines go until the
file works again. A terminal or journal that does not read loses lines, counted.

Levels: `debug` makes our own loggers say everything, the JSON of each event
included; `debug_verbose` the libraries' loggers as well.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from daemon.logs import format as logs_format
from daemon.logs.capture import Capture
from daemon.logs.sink import DebugMode, Echo, LogOptions, Shown, Sink
from daemon.runtime import native

__all__ = ["DebugMode", "Echo", "LogOptions", "LogSystem", "Shown", "configure"]

ROOT = "arimonitor"

log = logging.getLogger("arimonitor.log")


class LogSystem:
    """The running log. `terminal` is the real standard output, for a console on it."""

    def __init__(self, options: LogOptions, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._level = _level(options.level)
        self.debug_mode: DebugMode = options.debug
        self._closed = False
        self._sink = Sink(options, clock)
        root = logging.getLogger()
        self._before = (root.level, list(root.handlers), sys.excepthook, threading.excepthook)
        root.handlers = [self._sink]
        if options.redirect:
            self._sink.capture = Capture()
            self._sink.stderr_fd = self._sink.capture.stderr_fd
            self._sink.capture.extra = self._sink.take_foreign  # type: ignore[method-assign]
        self.terminal: TextIO = self._sink.capture.terminal if self._sink.capture is not None else sys.stdout
        self._apply_levels()
        logging.captureWarnings(True)
        sys.excepthook = self._uncaught
        threading.excepthook = _uncaught_in_thread
        self._undo_hub = native.on_unhandled_errors(_unhandled_in_hub) if native.patched() else lambda: None
        atexit.register(self.close)
        self._sink.remove_expired()

    @property
    def path(self) -> Path | None:
        """The current file; None when there are no files."""
        return self._sink.main.file.path if self._sink.main is not None else None

    @property
    def level(self) -> str:
        """The level of our own loggers when debug is off."""
        return logging.getLevelName(self._level)

    def set_level(self, level: str) -> None:
        """DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case; ValueError for another."""
        self._level = _level(level)
        self._apply_levels()

    def set_debug(self, mode: DebugMode) -> None:
        """ "off", "on" (our loggers, each event's JSON) or "verbose" (the libraries' too)."""
        if mode not in ("off", "on", "verbose"):
            raise ValueError(f"debug is off, on or verbose, not {mode!r}")
        self.debug_mode = mode
        self._apply_levels()

    def set_keep_days(self, days: int) -> None:
        """Delete files that are older than so many days, now and at each midnight; 0 keeps all."""
        self._sink.keep_days(days)

    def add_secrets(self, secrets: Iterable[str]) -> None:
        """Values that must appear nowhere from now on; those already known stay so."""
        self._sink.redact.add(secrets)

    def tail(self, count: int) -> list[str]:
        """The last lines as they were written, oldest first."""
        return list(self._sink.ring)[-count:] if count > 0 else []

    def status(self) -> dict[str, object]:
        """For the snapshot: where it writes, and whether it can."""
        main, capture = self._sink.main, self._sink.capture
        return {
            "path": None if self.path is None else str(self.path),
            "level": self.level,
            "debug": self.debug_mode,
            "lines": self._sink.lines,
            "writable": main is None or main.failed_at is None,
            "missed_lines": 0 if main is None else main.missed,
            "dropped_bytes": 0 if capture is None else capture.dropped,
        }

    def emergency(self, text: str) -> None:
        """One line past all queues, for a real thread while the hub is stuck. Redacted as all."""
        body = (self._sink.redact(text), "", "")
        ts = logs_format.timestamp(time.time(), self._options.timezone)
        data = logs_format.logfmt(ts, "CRITICAL", "arimonitor.hub", body).encode() + b"\n"
        if self.path is not None:
            with contextlib.suppress(OSError):
                fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
                os.write(fd, data)
                os.close(fd)
        native.write_without_waiting(self._sink.stderr_fd, data, 50)

    def close(self) -> None:
        """Give standard output and error back, log what was still in them, close the files."""
        if self._closed:
            return
        self._closed = True
        if self._sink.capture is not None:
            # Its descriptors end with it: what is logged from now on goes to the given-back stream.
            capture, self._sink.capture = self._sink.capture, None
            self._sink.stderr_fd = 2
            capture.close()
        root = logging.getLogger()
        level, root.handlers, sys.excepthook, threading.excepthook = self._before
        root.setLevel(level)
        logging.captureWarnings(False)
        self._undo_hub()
        self._sink.close()
        atexit.unregister(self.close)

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """The process ends with it: said in the log, and where its starter looks."""
        if issubclass(kind, KeyboardInterrupt):
            log.warning("interrupted from the keyboard")
            return
        log.critical("uncaught exception, the process ends", exc_info=(kind, error, trace))
        if not self._sink.echo:
            text = self._sink.redact("".join(traceback.format_exception(kind, error, trace)))
            native.write_without_waiting(self._sink.stderr_fd, text.encode("utf-8", "backslashreplace"), 50)

    def _apply_levels(self) -> None:
        ours = logging.DEBUG if self.debug_mode != "off" else self._level
        logging.getLogger(ROOT).setLevel(ours)
        logging.getLogger().setLevel(logging.DEBUG if self.debug_mode == "verbose" else logging.WARNING)


def configure(options: LogOptions, clock: Callable[[], float] = time.time) -> LogSystem:
    """Begin to log; call `close` at the end (the interpreter's exit does so too).

    `clock` is seconds since the epoch, for the files' names and rotation.
    ValueError: `options.level` is no level.
    """
    return LogSystem(options, clock)


def _level(name: str) -> int:
    number = logging.getLevelNamesMapping().get(name.strip().upper())
    if not number:
        raise ValueError(f"{name!r} is no log level: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return number


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "?"
    error = args.exc_value if args.exc_value is not None else args.exc_type()
    log.error("uncaught exception in thread %s", name, exc_info=(args.exc_type, error, args.exc_traceback))


def _unhandled_in_hub(
    context: str, exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
) -> None:
    log.error("uncaught exception in %s", context, exc_info=exc_info)
