"""`arimonitor recordings`, the checks and the lab's samples, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.lab.people import Company, Phone
from daemon.lab.recordings import make_samples
from daemon.preflight.recordings import recordings as checks
from tests.integration.recording_parts import SAO_PAULO, desk, moment, settings, write_mp3

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_mp3(tmp_path / "calls/2025/10/27/internal-1121-1130-20251027-090000-1.mp3")
    (tmp_path / "site.toml").write_text(
        f'[node]\ndata_dir = "{tmp_path}/data"\n[recordings]\nroots = ["{tmp_path}/calls"]\n'
    )
    return tmp_path


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "recordings", words[0], "-c", str(site / "site.toml"), *words[1:]],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "ARIMONITOR_CONFIG": ""},
    )  # fmt: skip


def test_index_and_find(site: Path) -> None:
    done = run(site, "index")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 files in 4 folders" in done.stdout
    days = ("--inicio", "27/10/2025 08:00", "--fim", "2025-10-27 18:00")
    done = run(site, "find", "--ramais", "1121,1122", *days)
    assert done.returncode == 0
    assert "27/10/2025 09:00:00  1121 -> 1130" in done.stdout
    done = run(site, "find", "--ramais", "1121", *days, "--json")
    assert json.loads(done.stdout)[0]["started"] == "2025-10-27T09:00:00-03:00"
    typed = ("--inicio", "27.10.25 8h", "--fim", "27/10/2025")  # as in subjects: until 23:59
    assert run(site, "find", "--ramais", "1120-1122;1121", *typed).returncode == 0
    assert run(site, "find", "--ramais", "1999", *days).returncode == 1
    assert run(site, "find", "--ramais", "11,12", *days).returncode == 2
    assert run(site, "find", "--ramais", "1121", "--inicio", "31/02/2025 08:00", "--fim", "x").returncode == 2
    assert run(site, "find", "--ramais", "1121", *days, "--from", "s3").returncode == 2
    (site / "calls").rename(site / "away")
    done = run(site, "find", "--ramais", "1121", *days)
    assert (done.returncode, "roots" in done.stderr) == (3, True)


def test_checks(tmp_path: Path) -> None:
    found = {each.what: each for each in checks(settings(tmp_path))}
    assert found["recordings"].ok
    assert found["publish folder"].ok
    assert "recordings index" in found["index"].mend
    refused = {"bucket": "b-b-b", "endpoint_url": "http://127.0.0.1:1", "region": "us-east-1",
               "access_key_id": "testing-key", "secret_access_key": "not-to-be-seen"}  # fmt: skip
    found = {each.what: each for each in checks(settings(tmp_path, s3=refused))}
    assert not found["S3"].ok
    assert "not-to-be-seen" not in found["S3"].reason


def test_samples_of_the_lab_are_found(tmp_path: Path) -> None:
    now = datetime(2025, 10, 27, 12, 0, tzinfo=SAO_PAULO)
    people = [
        Company(client, tuple(Phone(f"{client}301{n}", "", "") for n in range(4)))
        for client in ("101", "102")
    ]
    # 30 of each of 10 days and of today; a day that is there is left as it is.
    assert make_samples(tmp_path / "calls", people, now) == 330
    assert make_samples(tmp_path / "calls", people, now) == 0
    assert make_samples(tmp_path / "calls", people, now + timedelta(days=1)) == 30
    numbers = [phone.number for phone in people[0].phones]
    found = desk(tmp_path).find(numbers, moment("17/10/2025 00:00"), moment("27/10/2025 12:00")).recordings
    assert len(found) == 165
    assert {each.origin[:3] + each.destiny[:3] for each in found} == {"101101"}
    assert {each.format for each in found} == ({"mp3", "wav"} if shutil.which("lame") else {"wav"})
