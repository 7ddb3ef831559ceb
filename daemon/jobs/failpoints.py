"""Where a test may kill the process: before and after the effect of every step of a request.

`ARIMONITOR_FAILPOINT=name` makes the process kill itself with SIGKILL when it
reaches that point, as a crash or the power would; `@FILE` reads the name from a
file each time. Honoured only with `ARIMONITOR_TEST_FAILPOINTS=1`; never set in
production.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.errors import FatalError

POINTS: Mapping[str, str] = {
    "fetched": "the mail is read, no record exists",
    "accepted": "the record exists; the mail is not marked",
    "flagged": "the mail is marked; the request is in no line",
    "assigned": "the record is in the line; its file is not written",
    "filed": "its file is in pending/",
    "brought": "its file is in the other node's pending/; the record does not know",
    "dropped": "a file dropped by hand has its record; the file is as it was dropped",
    "running": "the record says running; the file is still in pending/",
    "processing": "the file is in processing/; the work has not begun",
    "worked": "the work is done; the record does not know",
    "produced": "the record has the outcome",
    "requeued": "a failed try is back in the line; the file is still in processing/",
    "confirming": "the record says that the place was told; it was not",
    "confirmed": "the place in the line was told",
    "replying": "the record says that the answer is being sent; it is not",
    "sent": "SMTP has taken the answer; the record does not know",
    "replied": "the record says that the answer is out; the file is still in processing/",
    "completed": "the file is in completed/ or failed/",
    "moved": "the mail is away; the record does not know",
    "done": "the record is final",
}
"""name -> what is true there."""

BETWEEN_NODES = frozenset({"brought"})
"""Those that a node alone never reaches."""

Reach = Callable[[str], None]


def reach_of(environ: Mapping[str, str]) -> Reach:
    """What services call at each point. Raises FatalError for an unknown name."""
    armed = environ.get("ARIMONITOR_FAILPOINT", "")
    if environ.get("ARIMONITOR_TEST_FAILPOINTS") != "1" or not armed:
        return nothing
    file = Path(armed[1:]) if armed.startswith("@") else None
    if file is None and armed not in POINTS:
        raise FatalError(f"ARIMONITOR_FAILPOINT={armed!r}: there is no such point")

    def reach(name: str) -> None:
        if name not in POINTS:
            raise FatalError(f"there is no fail point {name!r}")
        if name == (armed if file is None else file.read_text().strip()):
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def nothing(_name: str) -> None:
    """Not under test."""
