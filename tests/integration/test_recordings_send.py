"""A RAMAIS request from its folder to links: what is in the ZIP, what is left out, crashes, full disks."""

from __future__ import annotations

import csv
import filecmp
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest

from daemon.errors import RequestError, TransientError
from daemon.jobs.model import NothingFound, RecordingsSent
from daemon.recordings import tree
from daemon.recordings.model import LeftOut, Near
from tests.integration.outbox_parts import Clock
from tests.integration.recording_parts import desk, request, write_mp3, write_wav
from tests.servers.waiting import wait_until

needs_lame = pytest.mark.skipif(
    shutil.which("lame") is None, reason="lame is not installed (apt-get install lame)"
)


ROOT = Path(__file__).parents[2]


def published(folder: Path) -> Path:
    (found,) = (folder / "data/audios").glob("*.zip")
    return found


def sent(outcome: object) -> RecordingsSent:
    assert isinstance(outcome, RecordingsSent)
    return outcome


@needs_lame
def test_the_whole_way(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    mp3 = write_mp3(calls / "internal-1121-1130-20251027-090000-1.mp3", 3)
    write_wav(calls / "2025/10/27/internal-1140-1122-20251027-180030-2.wav", 2)
    outcome = sent(desk(tmp_path).send(request(), tmp_path / "work"))
    assert [(r.origin, r.destiny, r.started.isoformat(), r.seconds) for r in outcome.rows] == [
        ("1121", "1130", "2025-10-27T09:00:00-03:00", 3.0),
        ("1140", "1122", "2025-10-27T18:00:30-03:00", 2.0),
    ]
    assert outcome.rate == 64
    assert outcome.expires.timestamp() == 1_800_000_000 + 24 * 3600
    links = [outcome.bundle, *(row.link for row in outcome.rows)]
    assert len(set(links)) == 3
    assert all(link.startswith("https://audio.example.com/r/") for link in links)
    archive = zipfile.ZipFile(published(tmp_path))
    assert archive.testzip() is None
    assert archive.namelist() == [
        "2025-10-27_09h00m00_1121_1130.mp3", "2025-10-27_18h00m30_1140_1122.mp3", "index.csv",
    ]  # fmt: skip
    assert archive.read("2025-10-27_09h00m00_1121_1130.mp3") == mp3.read_bytes()
    text = archive.read("index.csv").decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text), delimiter=";"))[1] == [
        "27/10/2025", "09:00:00", "1121", "1130", "3", "2025-10-27_09h00m00_1121_1130.mp3", "24000",
        "internal-1121-1130-20251027-090000-1.mp3",
    ]  # fmt: skip
    assert not (tmp_path / "work").exists()


@needs_lame
def test_one_bad_file_never_spoils_a_request(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    write_mp3(calls / "internal-1121-1130-20251027-090000-good.mp3")
    growing = write_wav(calls / "internal-1121-1130-20251027-090100-growing.wav")
    growing.write_bytes(growing.read_bytes()[:5000])
    (calls / "internal-1121-1130-20251027-090200-empty.wav").write_bytes(b"")
    (calls / "internal-1121-1130-20251027-090300-broken.wav").write_bytes(b"x" * 1000)
    (calls / "internal-1121-1130-20251027-090400-broken.mp3").write_bytes(b"x" * 1000)
    (calls / "internal-1121-1130-20251027-090500-out.mp3").symlink_to("/etc/passwd")
    odd = calls / os.fsdecode(b"internal-1121-1130-20251027-090600-=\n\xff.mp3")
    write_mp3(odd)
    outcome = sent(desk(tmp_path).send(request(), tmp_path / "work"))
    assert [row.started.minute for row in outcome.rows] == [0, 6]
    assert sorted(outcome.left_out, key=lambda each: each.name) == [
        LeftOut("internal-1121-1130-20251027-090100-growing.wav", "unfinished"),
        LeftOut("internal-1121-1130-20251027-090200-empty.wav", "empty"),
        LeftOut("internal-1121-1130-20251027-090300-broken.wav", "broken"),
        LeftOut("internal-1121-1130-20251027-090400-broken.mp3", "broken"),
        LeftOut("internal-1121-1130-20251027-090500-out.mp3", "outside"),
    ]
    said = zipfile.ZipFile(published(tmp_path)).read("nao-incluidas.txt").decode("utf-8-sig")
    assert "internal-1121-1130-20251027-090200-empty.wav: está vazia" in said


def test_nothing_found_says_what_is_near(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251020-090000-1.mp3")
    write_mp3(tmp_path / "calls/internal-1123-1130-20251027-090000-2.mp3")
    write_mp3(tmp_path / "calls/internal-1124-1130-20251027-100000-3.mp3")
    made = desk(tmp_path, colleagues=lambda asked: ["1123"])
    # From the index alone; without one nothing is said.
    assert made.send(request(), tmp_path / "work") == NothingFound()
    tree.sweep(made.index, [str(tmp_path / "calls")], lambda *_: None)
    near = Near(((date(2025, 10, 20), 1),), (("1123", 1),))
    assert made.send(request(), tmp_path / "work") == NothingFound(near)


def test_too_many_are_refused_before_the_work(tmp_path: Path) -> None:
    for n in range(3):
        write_mp3(tmp_path / f"calls/internal-1121-1130-20251027-09000{n}-1.mp3", 100)
    with pytest.raises(RequestError) as caught:
        desk(tmp_path, max_recordings=2).send(request(), tmp_path / "work")
    assert (caught.value.code, caught.value.names) == ("too-many-recordings", {"found": "3", "limit": "2"})
    with pytest.raises(RequestError) as caught:
        desk(tmp_path, max_mb=2).send(request(), tmp_path / "work")
    assert caught.value.names == {"found": "3", "size": "2 MB", "limit": "2 MB"}
    assert list((tmp_path / "data/audios").iterdir()) == []


def test_twice_is_once(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    clock = Clock(1_800_000_000.0)
    first = desk(tmp_path, clock).send(request(), tmp_path / "work")
    before = hashlib.sha256(published(tmp_path).read_bytes()).digest()
    clock.now += 60
    assert desk(tmp_path, clock).send(request(), tmp_path / "work") == first
    # The note was lost, as if the process had died before it: the same artefacts are made again.
    for note in (tmp_path / "data/published").iterdir():
        note.unlink()
    again = sent(desk(tmp_path, clock).send(request(), tmp_path / "work"))
    assert hashlib.sha256(published(tmp_path).read_bytes()).digest() == before
    assert len(again.rows) == 1


def test_nobodys_recordings_mix(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    write_mp3(tmp_path / "calls/internal-1555-1556-20251027-090000-1.mp3")
    left = tmp_path / "work/mp3"
    left.mkdir(parents=True)
    (left / "00000.mp3").write_bytes(b"somebody else's")
    one = sent(desk(tmp_path).send(request("1121"), tmp_path / "work"))
    two = sent(desk(tmp_path).send(request("1555", number="20251027_110000_ffffffff"), tmp_path / "work"))
    assert [(row.origin) for row in one.rows] == ["1121"]
    assert [(row.origin) for row in two.rows] == ["1555"]
    assert one.bundle != two.bundle


def test_expired_publications_are_deleted_and_others_are_left(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    clock = Clock(1_800_000_000.0)
    made = desk(tmp_path, clock, keep_days=2)
    made.send(request(), tmp_path / "work")
    foreign = tmp_path / "data/audios/somebody.zip"
    foreign.write_bytes(b"not ours")
    clock.now += 47 * 3600
    assert made.prune() == 0
    clock.now += 2 * 3600
    assert made.prune() == 1
    assert [path.name for path in (tmp_path / "data/audios").iterdir()] == ["somebody.zip"]
    assert list((tmp_path / "data/published").iterdir()) == []


def test_links_outlive_keep_days(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    clock = Clock(1_800_000_000.0)
    made = desk(tmp_path, clock, keep_days=1, link_hours=72)
    made.send(request(), tmp_path / "work")
    clock.now += 71 * 3600
    assert made.prune() == 0
    clock.now += 2 * 3600
    assert made.prune() == 1


def test_without_keep_days_nothing_is_ever_deleted(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    clock = Clock(1_800_000_000.0)
    made = desk(tmp_path, clock)
    made.send(request(), tmp_path / "work")
    clock.now += 40_000 * 86_400
    assert made.prune() == 0
    assert published(tmp_path).is_file()


def test_the_disk_is_full(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small tmpfs that is filled here")
    small = tmp_path / "data/audios"
    small.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    try:
        for n in range(4):
            write_mp3(tmp_path / f"calls/internal-1121-1130-20251027-09000{n}-1.mp3", 120)
        with pytest.raises(TransientError, match="make room"):
            desk(tmp_path).send(request(), tmp_path / "work")
        # Told too late: the file system takes less than it said.
        too_late = desk(tmp_path)
        too_late.shelf.room = lambda *_: None  # type: ignore[method-assign]
        (small / "ballast").write_bytes(b"x" * 2_000_000)
        with pytest.raises(TransientError, match="No space left"):
            too_late.send(request(), tmp_path / "work")
        assert [path.name for path in small.iterdir()] == ["ballast"]
        (small / "ballast").unlink()
        write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090003-1.mp3", 1)
        write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090002-1.mp3", 1)
        assert len(sent(desk(tmp_path).send(request(), tmp_path / "work")).rows) == 4
    finally:
        subprocess.run(["umount", str(small)], check=True)


PROGRAM = """
import sys
import time
from datetime import date
from pathlib import Path
from tests.integration.recording_parts import desk, request
folder = Path(sys.argv[1])
print("begun", flush=True)
desk(folder).send(request(), folder / "work")
"""


# Of the one conversion that is named it makes half, and hangs.
HALF_A_LAME = """#!/bin/sh
for target; do :; done
case "$target" in */$HALT) printf half > "$target"; exec sleep 60;; esac
exec {lame} "$@"
"""


@needs_lame
def test_killed_in_the_middle_and_run_again(tmp_path: Path) -> None:
    for n in range(6):
        write_wav(tmp_path / f"calls/internal-1121-1130-20251027-09000{n}-1.wav", 60, 300 + n)
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "calls", whole / "calls")
    (whole / "data").mkdir()
    (whole / "data/link.key").write_bytes(b"k" * 32)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link.key").write_bytes(b"k" * 32)
    desk(whole).send(request(), whole / "work")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/lame").write_text(HALF_A_LAME.format(lame=shutil.which("lame")))
    (tmp_path / "bin/lame").chmod(0o755)
    for halt in ("00000.mp3", "00004.mp3"):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HALT": halt},
        )
        half = tmp_path / "work/mp3" / halt
        wait_until(lambda half=half: half.exists() and half.read_text() == "half", "half a conversion")
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not list((tmp_path / "data/audios").glob("*.zip"))
    assert len(sent(desk(tmp_path).send(request(), tmp_path / "work")).rows) == 6
    assert published(tmp_path).name == published(whole).name
    assert published(tmp_path).read_bytes() == published(whole).read_bytes()


# The kernel kills it, as kill -9 would, when a file of its grows beyond so many bytes.
DIES_AT = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
"""


def test_killed_while_the_zip_is_written(tmp_path: Path) -> None:
    """At its beginning, in its middle; then again: one ZIP, one note, the bytes of an undisturbed run."""
    for n in range(20):
        path = write_mp3(tmp_path / f"calls/internal-1121-1130-20251027-0900{n:02}-1.mp3", 2, bytes([n]))
        os.truncate(path, 5_000_000)
    whole = tmp_path / "whole"
    for folder in (tmp_path, whole):
        (folder / "data").mkdir(parents=True)
        (folder / "data/link.key").write_bytes(b"k" * 32)
    (whole / "calls").symlink_to(tmp_path / "calls")
    desk(whole).send(request(), whole / "work")
    for size in (5_000_100, 30_000_000, 60_000_000):
        done = subprocess.run(
            [sys.executable, "-c", DIES_AT + PROGRAM, str(tmp_path), str(size)], cwd=ROOT, check=False
        )
        assert done.returncode == -signal.SIGXFSZ
        (part,) = (tmp_path / "data/audios").glob(".*.part")
        assert part.stat().st_size == size
        assert len(list((tmp_path / "data/audios").iterdir())) == 1  # the part alone
        assert not (tmp_path / "data/published").exists()
    assert len(sent(desk(tmp_path).send(request(), tmp_path / "work")).rows) == 20
    assert [path.name for path in (tmp_path / "data/audios").iterdir()] == [published(whole).name]
    assert len(list((tmp_path / "data/published").iterdir())) == 1
    assert filecmp.cmp(published(tmp_path), published(whole), shallow=False)
    assert not (tmp_path / "work").exists()


UNREADABLE = """
import sys
import time
from pathlib import Path
from tests.integration.recording_parts import desk, request
folder = Path(sys.argv[1])
outcome = desk(folder).send(request(), folder / "work")
for each in (*(row.origin for row in outcome.rows), *outcome.left_out):
    print(each)
"""


def test_what_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-090000-1.mp3")
    write_mp3(tmp_path / "calls/internal-1122-1130-20251027-090100-2.mp3").chmod(0)
    # A folder that may hold some of that day, one of another day, and what ext4 makes.
    for folder in ("2025/10/27", "2025/10/20", "lost+found"):
        (tmp_path / "calls" / folder).mkdir(parents=True)
        (tmp_path / "calls" / folder).chmod(0)
    command = [sys.executable, "-c", UNREADABLE, str(tmp_path)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything, and setpriv (util-linux) is missing")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == [
        "1121",
        "LeftOut(name='2025/10/27/', reason='unreadable')",
        "LeftOut(name='internal-1122-1130-20251027-090100-2.mp3', reason='unreadable')",
    ], done.stderr
