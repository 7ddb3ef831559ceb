"""A clock that skips pauses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.system.faults.blind_clock import Skipping


def test_pauses_are_skipped() -> None:
    now = [100.0]
    clock = Skipping(lambda: now[0])
    for step, skipped in ((0.5, 0.0), (1.4, 0.0), (60.0, 60.0), (0.1, 60.0), (2.0, 62.0)):
        now[0] += step
        assert clock.look() == skipped


def test_the_daemon_starts_with_it() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "tests/system/faults/blind_clock.py", "--version"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("arimonitor ")
