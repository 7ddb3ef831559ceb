"""Recordings: search among 1,000,000 files, their index, conversion and packing, against the usual tools.

    python -m tests.bench recordings
    python -m tests.bench.bench_recordings {search|convert|zip} FOLDER     one contestant

Everything lies below a folder of its own ($ARIMONITOR_BENCH_FILES files, usually a million).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.bench.report import Row, Ticker, Unavailable, aim, contestant, percentile

FILES = int(os.environ.get("ARIMONITOR_BENCH_FILES", "1000000"))
CALLS = 100
ROUNDS = 3
ZONE = ZoneInfo("America/Sao_Paulo")
BEGIN, END = datetime(2025, 10, 1, tzinfo=ZONE), datetime(2025, 10, 30, 23, 59, 59, tzinfo=ZONE)
EXTENSIONS = ("1121", "1122")


def part() -> list[Row]:
    """The rows of this part."""
    if shutil.which("lame") is None or shutil.which("zip") is None:
        raise Unavailable("lame and zip are needed (Debian packages of these names)")
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name:
        folder = Path(name)
        _tree(folder / "calls", FILES)
        rows = _search_rows(folder, contestant("bench_recordings", "search", folder, seconds=600))
        shutil.rmtree(folder / "calls")
        wavs(folder / "calls/wav")
        rows += _convert_rows(folder)
        return rows + _zip_rows(folder)


def _tree(root: Path, count: int) -> None:
    """Files of a year in folders by day."""
    dice = random.Random(1)
    first = datetime(2025, 1, 1, tzinfo=ZONE)
    for number in range(365):
        day = first + timedelta(days=number)
        folder = root / day.strftime("%Y/%m/%d")
        folder.mkdir(parents=True)
        for n in range(count // 365):
            second = dice.randrange(86400)
            name = (
                f"internal-{1000 + dice.randrange(1378)}-{1000 + dice.randrange(1378)}-{day:%Y%m%d}-"
                f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}-{1735700000 + number}.{n}.mp3"
            )
            os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))


def wavs(folder: Path) -> None:
    """Calls of one minute at 8 kHz: speech-like noise in bursts, so that the encoder has work."""
    folder.mkdir(parents=True)
    dice = random.Random(2)
    second = [
        struct.pack("<8000h", *(int(dice.gauss(0, 2000 * (n // 1000 % 3))) for n in range(8000)))
        for _ in range(10)
    ]
    for number in range(CALLS):
        data = b"".join(dice.choice(second) for _ in range(60))
        head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
        head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", len(data))
        path = folder / f"internal-1121-1130-20251027-09{number // 60:02}{number % 60:02}-{number}.wav"
        path.write_bytes(head + data)


def _timed(command: str) -> float:
    """Median seconds of a shell command, after one to warm up."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def _search_rows(folder: Path, ours: dict[str, Any]) -> list[Row]:
    tests = " -o ".join(f"-name '*-{each}-*'" for each in EXTENSIONS)
    whole = (
        _timed(f"find {folder}/calls \\( {tests} \\) -name '*-202510[0-2]*' -o -name '*-20251030-*'") * 1000
    )
    days = " ".join(f"{folder}/calls/2025/10/{day:02}" for day in range(1, 31))
    dated = _timed(f"find {days} \\( {tests} \\)") * 1000
    usual = ours["search"]
    return [
        Row("yardstick: find on the whole tree", f"{whole:,.0f} ms", "", f"{FILES:,} files"),
        Row("yardstick: find on the 30 date folders", f"{dated:,.0f} ms"),
        aim(
            f"search of 2 extensions over 30 days ({ours['found']} found, each verified)",
            f"{usual:.1f} ms",
            reached=usual < 5,
            ratio=f"{usual / dated:.3f}x",
            against=f"find on the date folders; p99 {ours['search_p99']:.1f} ms; aim 5 ms",
        ),
        Row(
            "the same without an index",
            f"{ours['without']:,.0f} ms",
            f"{ours['without'] / dated:.1f}x",
            f"find on the date folders; hub lag p99 {ours['without_lag']:.1f} ms",
        ),
        Row(
            "index built",
            f"{ours['build']:.1f} s",
            "",
            f"{ours['files'] / ours['build']:,.0f} files/s; hub lag p99 {ours['build_lag']:.1f} ms",
        ),
        Row(
            "index refreshed, nothing changed",
            f"{ours['refresh'] * 1000:,.0f} ms",
            "",
            "the child's start included",
        ),
        Row("index size", f"{ours['size'] / 1e6:.0f} MB", f"{ours['size'] / ours['files']:.0f} B/file"),
    ]


def _convert_rows(folder: Path) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    target = folder / "by-xargs"
    target.mkdir()
    usual = _timed(
        f"cd {folder}/calls/wav && ls |"
        f" xargs -P {cores} -I F lame --quiet --cbr -b 64 --resample 8 F {target}/F.mp3"
    )
    runs = [contestant("bench_recordings", "convert", folder) for _ in range(ROUNDS)]
    ours = statistics.median(run["seconds"] for run in runs)
    lag = max(run["lag_p99"] for run in runs)
    return [
        Row(f"yardstick: lame by xargs -P {cores}, {CALLS} calls of 1 min", f"{usual:.2f} s"),
        aim(
            "conversion of the same calls",
            f"{ours:.2f} s",
            reached=ours <= usual * 1.1,
            ratio=f"{ours / usual:.2f}x",
            against="lame by xargs; aim 1.10x",
        ),
        aim("hub lag p99 meanwhile", f"{lag:.1f} ms", reached=lag < 20, ratio="", against="aim 20 ms"),
    ]


def _zip_rows(folder: Path) -> list[Row]:
    big = folder / "big"
    big.mkdir()
    data = os.urandom(1 << 20)
    for number in range(300):
        (big / f"{number:03}.mp3").write_bytes(data)
    usual = _timed(f"cd {big} && rm -f ../usual.zip && zip -q -0 ../usual.zip *.mp3 && sync ../usual.zip")
    runs = [contestant("bench_recordings", "zip", folder) for _ in range(ROUNDS)]
    ours = statistics.median(run["seconds"] for run in runs)
    lag = max(run["lag_p99"] for run in runs)
    return [
        Row("yardstick: zip -0 and sync, 300 MB", f"{300 * 1.048576 / usual:,.0f} MB/s"),
        aim(
            "our ZIP, synced",
            f"{300 * 1.048576 / ours:,.0f} MB/s",
            reached=ours <= usual * 1.1,
            ratio=f"{usual / ours:.2f}x",
            against="zip -0; aim 0.91x",
        ),
        aim("hub lag p99 meanwhile", f"{lag:.1f} ms", reached=lag < 20, ratio="", against="aim 20 ms"),
    ]


# -- the contestants, each in a process of its own -----------------------------
def search(folder: Path) -> dict[str, float]:
    """Search with and without an index, and its build."""
    from daemon.recordings.local import LocalStore
    from daemon.recordings.services import IndexService
    from daemon.runtime.offload import Offload

    call = Offload().call
    index = folder / "recordings.sqlite"
    store = LocalStore([folder / "calls"], index, ZONE, call)
    ticker = Ticker()
    without = statistics.median(_clocked(lambda: store.find(EXTENSIONS, BEGIN, END)) for _ in range(3)) * 1000
    without_lag = ticker.end()["lag_p99"]
    service = IndexService(index, [folder / "calls"])
    ticker = Ticker()
    began = time.perf_counter()
    swept = service.sweep()
    build = time.perf_counter() - began
    build_lag = ticker.end()["lag_p99"]
    service.sweep()
    refresh = _clocked(service.sweep)
    found = len(store.find(EXTENSIONS, BEGIN, END).recordings)
    times = [_clocked(lambda: store.find(EXTENSIONS, BEGIN, END)) * 1000 for _ in range(100)]
    return {
        "search": statistics.median(times),
        "search_p99": percentile(times, 0.99),
        "found": found,
        "without": without,
        "without_lag": without_lag,
        "build": build,
        "build_lag": build_lag,
        "refresh": refresh,
        "files": float(str(swept["files"])),
        "size": index.stat().st_size,
    }


def convert(folder: Path) -> dict[str, float]:
    """All WAVs to MP3."""
    from daemon.recordings.mp3 import Lame, probe
    from daemon.runtime.offload import Offload

    call = Offload().call
    sources = sorted((folder / "calls/wav").iterdir())
    target = folder / "ours"
    target.mkdir(exist_ok=True)
    ticker = Ticker()

    def work() -> None:
        probed = call(probe, [(str(source), "wav") for source in sources])
        jobs = [
            (source, target / f"{n}.mp3", each)
            for n, (source, each) in enumerate(zip(sources, probed, strict=True))
        ]
        done = Lame(64, call).convert(jobs)
        assert all(getattr(each, "sound", None) for each in done)

    work_seconds = _clocked(work)
    return {"seconds": work_seconds, **ticker.end()}


def pack(folder: Path) -> dict[str, float]:
    """One ZIP of everything in `big`."""
    from daemon.recordings.bundle import Item, Packer
    from daemon.runtime.offload import Offload

    call = Offload().call
    items = [
        Item(str(path), path.stat().st_size, "1121", "1130", BEGIN + timedelta(minutes=n), 60.0, path.name)
        for n, path in enumerate(sorted((folder / "big").iterdir()))
    ]
    (folder / "ours.zip").unlink(missing_ok=True)
    packer = Packer(str(folder / "ours.zip"), items, (), "pt_BR")
    ticker = Ticker()

    def work() -> None:
        while call(packer.step):
            pass

    return {"seconds": _clocked(work), **ticker.end()}


def _clocked(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    print(json.dumps({"search": search, "convert": convert, "zip": pack}[sys.argv[1]](Path(sys.argv[2]))))
