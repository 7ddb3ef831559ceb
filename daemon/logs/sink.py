"""The log's sink: one record in, one redacted line out, to everywhere it belongs."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from daemon.logs import format as logs_format
from daemon.logs.capture import Capture
from daemon.logs.files import DatedFile
from daemon.logs.redact import Redactor
from daemon.runtime import native

log = logging.getLogger("arimonitor.log")

DebugMode = Literal["off", "on", "verbose"]
Echo = Literal["auto", "always", "never"]

OWN_FILES: Mapping[str, str] = {"arimonitor.calls": "CALLS", "arimonitor.performance": "PERFORMANCE"}
"""Loggers whose lines are also in files of their own, and those files' kind."""

RETRY_AFTER = 5.0
"""Seconds between two tries to write to a file that failed."""
RING_LINE = 8192


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How to log. `dir` None: no files. Sizes are bytes, `keep_days` 0 keeps all.

    `timezone` is the node's: of timestamps and of the midnight at which a new
    file begins (None: the machine's). `redirect` catches what is printed.
    `echo` is about the real standard error: "auto" writes there when it is the
    journal or a terminal; "never" is for a console on that terminal.
    """

    dir: Path | None
    level: str = "INFO"
    keep_days: int = 30
    debug: DebugMode = "off"
    timezone: tzinfo | None = None
    json: bool = False
    max_bytes: int = 50 * 1024 * 1024
    files: int = 10
    redirect: bool = True
    echo: Echo = "auto"
    secrets: tuple[str, ...] = ()
    ring_lines: int = 2000


class Series:
    """One file with its health: whether it works, and since when it does not."""

    def __init__(self, file: DatedFile) -> None:
        self.file = file
        self.failed_at: float | None = None
        self.retry_at = 0.0
        self.missed = 0


class Sink(logging.Handler):
    """The root logger's only handler.

    It takes no lock when gevent runs the process: nothing it does switches
    greenlets, and a lock would hang real threads. A real thread's record waits
    in a list until the pump, on the hub, takes it.
    """

    def __init__(self, options: LogOptions, clock: Callable[[], float]) -> None:
        super().__init__()
        self.options = options
        self.redact = Redactor(options.secrets)
        self.ring: deque[str] = deque(maxlen=options.ring_lines)
        self.foreign: deque[logging.LogRecord] = deque(maxlen=10_000)
        self.capture: Capture | None = None
        self.stderr_fd = 2
        self.echo: Literal["journal", "plain", ""] = where_to_echo(options.echo)
        self.echo_lost = 0
        self.lines = 0
        self._clock = clock
        self._patched = native.patched()
        self._home = native.thread_ident()
        self._format = logs_format.json_line if options.json else logs_format.logfmt
        self.main: Series | None = None
        self.own: dict[str, Series] = {}
        if options.dir is not None:
            self.main = Series(self._dated(options.dir, ""))
            self.own = {name: Series(self._dated(options.dir, kind)) for name, kind in OWN_FILES.items()}

    def handle(self, record: logging.LogRecord) -> bool:
        """As the base class, but with its lock only where real threads share the sink."""
        if not self._patched:
            return bool(super().handle(record))
        if native.thread_ident() != self._home and self.capture is not None:
            self.foreign.append(record)
            self.capture.wake()
        else:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Format, redact, write. Never raises."""
        redact = self.redact
        message, trace, data = logs_format.parts(record)
        body = (redact(message), redact(trace) if trace else "", redact(data) if data else "")
        self.write(record.created, record.levelno, record.levelname, record.name, body)

    def write(
        self, created: float, level: int, level_name: str, name: str, body: tuple[str, str, str]
    ) -> None:
        """One formatted line to everywhere it belongs."""
        line = self._format(logs_format.timestamp(created, self.options.timezone), level_name, name, body)
        self.lines += 1
        self.ring.append(line if len(line) <= RING_LINE else f"{line[:RING_LINE]}...")
        data = line.encode() + b"\n"
        echoed = False
        if self.echo:
            self._to_stderr(level, data)
            echoed = True
        if self.main is not None and not self._to_file(self.main, data) and not echoed:
            self._to_stderr(level, data)
        own = self.own.get(name)
        if own is not None:
            self._to_file(own, data)

    def take_foreign(self) -> None:
        """Write what real threads logged; run by the pump."""
        while self.foreign:
            self.emit(self.foreign.popleft())

    def close(self) -> None:
        """Close the files."""
        for series in (self.main, *self.own.values()):
            if series is not None:
                series.file.close()
        super().close()

    def keep_days(self, days: int) -> None:
        """Files older than so many days are deleted, now and at each midnight; 0 keeps all."""
        for series in (self.main, *self.own.values()):
            if series is not None:
                series.file.keep_days = days
        self.remove_expired()

    def remove_expired(self) -> None:
        """Delete old files; a folder that is not there yet has none."""
        if self.main is None:
            return
        try:
            self.main.file.remove_expired()
        except FileNotFoundError:
            return
        except OSError as error:
            self._say_undeleted(error)

    def _dated(self, folder: Path, kind: str) -> DatedFile:
        options = self.options
        return DatedFile(
            folder,
            os.getpid(),
            options.timezone,
            kind=kind,
            max_bytes=options.max_bytes,
            files=options.files,
            keep_days=options.keep_days,
            clock=self._clock,
        )

    def _to_file(self, series: Series, data: bytes) -> bool:
        """Whether the line is in the file. A failure is said once and tried again now and then."""
        now = time.monotonic()
        if series.failed_at is not None and now < series.retry_at:
            series.missed += 1
            return False
        try:
            series.file.write(data)
        except OSError as error:
            series.retry_at = now + RETRY_AFTER
            series.missed += 1
            if series.failed_at is None:
                series.failed_at = now
                series.missed = 1
                where = f"{series.file.path}: {error.strerror}"
                self._say(
                    logging.ERROR, f"the log file can't be written, its lines go to standard error: {where}"
                )
            return False
        if series.file.undeleted is not None:
            undeleted, series.file.undeleted = series.file.undeleted, None
            self._say_undeleted(undeleted)
        if series.failed_at is not None:
            facts = f"missed_lines={series.missed} after_s={now - series.failed_at:.0f}"
            series.failed_at, series.missed = None, 0
            self._say(logging.WARNING, f"the log file can be written again: {series.file.path} {facts}")
        return True

    def _say_undeleted(self, error: OSError) -> None:
        self._say(logging.WARNING, f"old log files can't be deleted: {error}")

    def _say(self, level: int, message: str) -> None:
        """About the log itself: past the loggers, so that it can't call itself without end."""
        self.write(time.time(), level, logging.getLevelName(level), log.name, (message, "", ""))

    def _to_stderr(self, level: int, data: bytes) -> None:
        if self.echo == "journal":
            data = b"<%d>%s" % (logs_format.journal_priority(level), data)
        # The journal is waited for a little; a terminal that was stopped is not waited for at all.
        if not native.write_without_waiting(self.stderr_fd, data, 50 if self.echo_lost == 0 else 0):
            self.echo_lost += 1
        elif self.echo_lost:
            lost, self.echo_lost = self.echo_lost, 0
            self._say(logging.WARNING, f"standard error is read again missed_lines={lost}")


class Shown(logging.Handler):
    """Lines for somebody who looks at a terminal, `fd`; what it does not take at once is left out."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        line = f"{self.format(record)}\n"
        native.write_without_waiting(self._fd, line.encode("utf-8", "backslashreplace"))


def where_to_echo(echo: Echo) -> Literal["journal", "plain", ""]:
    """How lines go to the real standard error; asked before that is redirected."""
    if echo == "never":
        return ""
    try:
        stderr = os.fstat(2)
        is_terminal = os.isatty(2)
    except OSError:
        return ""
    # systemd.exec(5): the journal's stream is named by device and inode, so that a redirect is noticed.
    if os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}":
        return "journal"
    return "plain" if is_terminal or echo == "always" else ""
