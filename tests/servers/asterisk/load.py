"""Many calls at a steady rate, played by SIPp (Python phones would need the processor for themselves)."""

import os
import shutil
import signal
import subprocess

from .roots import HERE, Unavailable, root_for
from .server import Asterisk

CALLERS = ("1013010", "1013011", "1013012")
CALLED = ("1013013", "1013014", "1013015")
LONG = 3600.0  # seconds: more than any test


class LoadFailed(Exception):
    """Not every call went through."""


def load(server: Asterisk, calls: int, rate: float, *, ring: float = 0.2, talk: float = 1.0) -> None:
    """`calls` calls, `rate` of them per second; see `Calling`."""
    with Calling(server, rate, ring=ring, talk=talk, calls=calls) as calling:
        calling.wait(calls / rate + ring + talk + 40)


class Calling:
    """Calls from 1013010-12 to 1013013-15 within a `with`: `rate` a second, `calls` of them or without end.

    `pairs`: of caller and called, each two SIPp; one will do for a small load.

    Each rings `ring` seconds, is answered, and hung up by the caller after `talk` seconds.  SIPp comes from
    the root directory of Asterisk 22 (that of 16 is too old).  The Python phones of these numbers are
    closed first, since SIPp takes their addresses; `server.phone()` makes them anew.
    """

    def __init__(
        self,
        server: Asterisk,
        rate: float,
        *,
        ring: float = 0.2,
        talk: float = 1.0,
        calls: int | None = None,
        pairs: int = 3,
    ) -> None:
        self._server, self._rate, self._ring, self._talk = server, rate, ring, talk
        self._shares = [None if calls is None else calls // pairs + (n < calls % pairs) for n in range(pairs)]
        self._root = server.home if server.version == "22" else root_for("22")
        self._place = self._root / "tmp" / f"load-{server.slot}"
        self._called: list[subprocess.Popen[bytes]] = []
        self._callers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Calling":
        if not (self._root / "usr/bin/sipp").exists():
            raise Unavailable(f"no SIPp in {self._root}")
        self._server.register(*CALLED)
        for number in (*CALLERS, *CALLED):
            if phone := self._server.phones.pop(number, None):
                phone.close()
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(HERE / "sipp", self._place)
        try:
            self._start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        shutil.rmtree(self._place, ignore_errors=True)

    def _start(self) -> None:
        for number, share in zip(CALLED, self._shares, strict=False):
            if share != 0:
                self._called.append(self._sipp(number, "uas-answer", share, pause=self._ring))
        for number, called, share in zip(CALLERS, CALLED, self._shares, strict=False):
            if share != 0:
                rate = ["-r", str(max(1, round(self._rate * 10))), "-rp", str(10_000 * len(self._shares))]
                more = ["-s", called, "-l", str(share or 1000), *rate]
                self._callers[number] = self._sipp(number, "uac-silent", share, *more, pause=self._talk)

    def wait(self, seconds: float) -> None:
        """Until all calls were made. Raises LoadFailed, subprocess.TimeoutExpired."""
        failed = [number for number, process in self._callers.items() if process.wait(seconds)]
        if failed:
            errors = "".join(path.read_text(errors="replace")[-1500:] for path in self._place.glob("*.err"))
            raise LoadFailed(f"calls of {', '.join(failed)} failed: {errors}")

    def finish(self, seconds: float = 30.0) -> None:
        """No new calls from now on; those there are come to their end. Raises as `wait` does."""
        for process in self._callers.values():
            process.send_signal(signal.SIGUSR1)
        self.wait(seconds)

    def _kill(self) -> None:
        for process in (*self._callers.values(), *self._called):
            if process.poll() is None:
                process.kill()
                process.wait()

    def _sipp(
        self, number: str, xml: str, calls: int | None, *more: str, pause: float
    ) -> subprocess.Popen[bytes]:
        inside = f"/tmp/{self._place.name}"
        address = f"{self._server.net}.{int(number[-2:])}"
        port = "5060" if xml.startswith("uas") else "5070"
        # fmt: off
        command = [
            "chroot", str(self._root), "sipp", f"127.0.0.1:{self._server.sip}", "-sf", f"{inside}/{xml}.xml",
            "-i", address, "-p", port, "-mi", address, "-d", str(round(pause * 1000)),
            "-key", "me", number, "-au", number, "-ap", f"sip-{number}", "-timeout", str(round(LONG)),
            "-nostdin", "-trace_err", "-error_file", f"{inside}/{number}.err", *more,
        ]
        # fmt: on
        if calls is not None:
            command += ["-m", str(calls)]
        with (self._place / f"{number}.log").open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "TERM": "dumb"}
            )
