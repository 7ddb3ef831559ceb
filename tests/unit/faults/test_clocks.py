"""A clock that skips pauses, and one that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.faults.blind_clock import Skipping
from tests.system.faults.wrong_clock import LOOK_EVERY, Shift


def test_pauses_are_skipped() -> None:
    now = [100.0]
    clock = Skipping(lambda: now[0])
    for step, skipped in ((0.5, 0.0), (1.4, 0.0), (60.0, 60.0), (0.1, 60.0), (2.0, 62.0)):
        now[0] += step
        assert clock.look() == skipped


def test_it_is_wrong_by_what_the_file_says(tmp_path: Path) -> None:
    now, file = [100.0], tmp_path / "clock"
    file.write_text("3600")
    shift = Shift(file, lambda: now[0])
    assert shift.look() == 3600
    file.write_text("-60")
    now[0] += LOOK_EVERY
    assert shift.look() == -60


@pytest.mark.parametrize("launcher", ["blind_clock.py", "wrong_clock.py"])
def test_the_daemon_starts_with_it(launcher: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    (tmp_path / "clock").write_text("3600")
    done = subprocess.run(
        [sys.executable, f"tests/system/faults/{launcher}", "--version"],
        cwd=root,
        env={**os.environ, "ARIMONITOR_TEST_CLOCK": str(tmp_path / "clock")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("arimonitor ")
