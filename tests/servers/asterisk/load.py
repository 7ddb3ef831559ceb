"""Many calls at a steady rate, played by SIPp (Python phones would need the processor for themselves)."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from .roots import HERE, Unavailable, root_for
from .server import Asterisk

CALLERS = ("1013010", "1013011", "1013012")
CALLED = ("1013013", "1013014", "1013015")


class LoadFailed(Exception):
    """Not every call went through."""


def load(
    server: Asterisk,
    calls: int,
    rate: float,
    *,
    ring: float = 0.2,
    talk: float = 1.0,
) -> float:
    """`calls` calls, `rate` of them per second, from 1013010-12 to 1013013-15; the seconds it took.

    Each rings `ring` seconds, is answered, and hung up by the caller after `talk` seconds.  SIPp comes from
    the root directory of Asterisk 22 (that of 16 is too old).  The Python phones of these numbers are
    closed first, since SIPp takes their addresses; `server.phone()` makes them anew.
    """
    root = server.home if server.version == "22" else root_for("22")
    if not (root / "usr/bin/sipp").exists():
        raise Unavailable(f"no SIPp in {root}")
    server.register(*CALLED)
    for number in (*CALLERS, *CALLED):
        if phone := server.phones.pop(number, None):
            phone.close()
    place = root / "tmp" / f"load-{server.slot}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(HERE / "sipp", place)
    shares = [calls // 3 + (n < calls % 3) for n in range(3)]
    limit = calls / rate + ring + talk + 30
    running: dict[str, subprocess.Popen[bytes]] = {}
    began = time.monotonic()
    try:
        for number, share in zip(CALLED, shares, strict=True):
            if share:
                running[number] = _sipp(server, root, number, "uas-answer", share, limit, pause=ring)
        for number, called, share in zip(CALLERS, CALLED, shares, strict=True):
            if share:
                more = ["-s", called, "-l", str(share), "-r", str(max(1, round(rate * 10))), "-rp", "30000"]
                running[number] = _sipp(server, root, number, "uac-silent", share, limit, *more, pause=talk)
        failed = [number for number, process in running.items() if process.wait(limit + 10)]
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
                process.wait()
    if failed:
        errors = "".join(path.read_text(errors="replace")[-1500:] for path in place.glob("*.err"))
        raise LoadFailed(f"calls of {', '.join(failed)} failed: {errors}")
    shutil.rmtree(place)
    return time.monotonic() - began


def _sipp(
    server: Asterisk, root: Path, number: str, xml: str, calls: int, limit: float, *more: str, pause: float
) -> subprocess.Popen[bytes]:
    inside = f"/tmp/load-{server.slot}"
    address = f"{server.net}.{int(number[-2:])}"
    port = "5060" if xml.startswith("uas") else "5070"
    # fmt: off
    command = [
        "chroot", str(root), "sipp", f"127.0.0.1:{server.sip}", "-sf", f"{inside}/{xml}.xml",
        "-i", address, "-p", port, "-mi", address, "-m", str(calls), "-d", str(round(pause * 1000)),
        "-key", "me", number, "-au", number, "-ap", f"sip-{number}", "-timeout", str(round(limit)),
        "-nostdin", "-trace_err", "-error_file", f"{inside}/{number}.err", *more,
    ]
    # fmt: on
    with (root / inside[1:] / f"{number}.log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "TERM": "dumb"}
        )
