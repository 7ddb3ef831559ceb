"""The log of real processes: what they print, what they hide, and a disk that is full."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.disk import small_disk
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE = 60


def command(what: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.integration.logs_program", what, str(folder)]


def environment(**options: object) -> dict[str, str]:
    return {**os.environ, "LOG_OPTIONS": json.dumps(options)}


def run(what: str, folder: Path, *, code: int = 0, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(what, folder),
        cwd=ROOT,
        env=environment(**options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def logged(folder: Path, kind: str = "") -> str:
    names = [
        path for path in folder.iterdir() if re.fullmatch(rf"ARI-{kind}\d+-\d{{4}}-\d\d-\d\d\.LOG", path.name)
    ]
    assert len(names) == 1, os.listdir(folder)
    return names[0].read_text(encoding="utf-8")


def lines_of(text: str, logger: str) -> list[str]:
    return re.findall(rf'logger={re.escape(logger)} message="(.*)"$', text, re.MULTILINE)


def test_whatever_the_process_and_its_children_write_is_logged(tmp_path: Path) -> None:
    done = run("prints", tmp_path / "new")
    text = logged(tmp_path / "new")
    assert "deleted" not in text
    assert Counter(lines_of(text, "arimonitor.stdout")) == Counter(
        [
            "printed to stdout",
            "written to descriptor one",
            r"undecodable \\xff byte",
            "a child says",
            "no end of line",
        ]
    )
    assert set(lines_of(text, "arimonitor.stderr")) == {
        "printed to stderr",
        "written by the C library",
        "a child complains",
    }
    assert lines_of(text, "arimonitor.child") == ["sh: a supervised child says"]
    assert "a warning of a library" in text
    assert (done.stdout, done.stderr) == ("", "")


def test_calls_and_performance_have_files_of_their_own_as_well(tmp_path: Path) -> None:
    run("prints", tmp_path)
    text = logged(tmp_path)
    assert lines_of(text, "arimonitor.calls") == ["a call"]
    assert lines_of(text, "arimonitor.performance") == ["a number"]
    assert lines_of(logged(tmp_path, "CALLS-"), "arimonitor.calls") == ["a call"]
    assert logged(tmp_path, "CALLS-").count("\n") == 1
    assert lines_of(logged(tmp_path, "PERFORMANCE-"), "arimonitor.performance") == ["a number"]


def test_every_line_has_time_level_and_logger(tmp_path: Path) -> None:
    run("prints", tmp_path)
    form = re.compile(
        r"ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 "
        r'level=(INFO|WARNING) logger=[\w.]+ message="(\\.|[^"\\])*"'
    )
    for line in logged(tmp_path).splitlines():
        assert form.fullmatch(line), line


def test_json_lines(tmp_path: Path) -> None:
    run("secrets", tmp_path, json=True)
    lines = [json.loads(line) for line in logged(tmp_path).splitlines()]
    (event,) = [line for line in lines if line["message"] == "event"]
    assert event["data"] == {"password": "***", "x": "***"}
    assert event["logger"] == "arimonitor.test"


def test_a_flood_neither_hangs_nor_loses(tmp_path: Path) -> None:
    run("floods", tmp_path)
    lines = lines_of(logged(tmp_path), "arimonitor.stdout")
    assert lines.count("x" * 99) == 40_000
    assert [line for line in lines if line.startswith("child")] == [f"child line {n}" for n in range(20_000)]
    assert lines[-1] == "the last line"


def test_rotation_of_a_real_process(tmp_path: Path) -> None:
    run("floods", tmp_path, max_bytes=1_000_000, files=4)
    sizes = {path.name[-2:]: path.stat().st_size for path in tmp_path.iterdir()}
    assert sorted(sizes) == [".1", ".2", ".3", "OG"]
    assert max(sizes.values()) <= 1_000_000


@pytest.mark.parametrize("as_json", [False, True])
def test_secrets_are_nowhere(tmp_path: Path, as_json: bool) -> None:
    done = run("secrets", tmp_path, json=as_json, echo="always")
    text = logged(tmp_path)
    for place in (text, done.stderr, done.stdout):
        assert "hunter2" not in place
        assert "learnt-later" not in place
        assert "1A2B3C4D" not in place
    assert "RuntimeError: login with *** and password=*** failed" in text
    assert "could not log in as ***" in text
    assert done.stderr.splitlines() == text.splitlines()


def test_uncaught_errors_are_logged(tmp_path: Path) -> None:
    done = run("raises", tmp_path, code=1)
    text = logged(tmp_path)
    for what in ("greenlet", "thread", "main program"):
        assert f"ValueError: died in a {what} with ***" in text
    assert "uncaught exception in thread the thread" in text
    assert "uncaught exception, the process ends" in text
    assert text.count("ValueError: died in a main program") == 1
    assert "ValueError: died in a main program with ***" in done.stderr


def test_real_threads_may_log_by_mistake(tmp_path: Path) -> None:
    run("from_threads", tmp_path)
    lines = lines_of(logged(tmp_path), "arimonitor.test")
    for number in range(4):
        assert [line for line in lines if line.startswith(f"thread {number} ")] == [
            f"thread {number} line {count}" for count in range(200)
        ]


def test_levels_and_tail(tmp_path: Path) -> None:
    done = run("levels", tmp_path)
    text = logged(tmp_path)
    assert lines_of(text, "arimonitor.test") == ["ours at debug on", "ours at debug verbose", "tail 3"]
    assert lines_of(text, "somelibrary") == [
        "library warns at off",
        "library warns at on",
        "library at debug verbose",
        "library warns at verbose",
        "library warns at off",
    ]
    assert done.stdout == "TAIL\n" + "\n".join(text.splitlines()[-2:]) + "\n"


def test_the_console_has_the_real_terminal(tmp_path: Path) -> None:
    done = run("terminal", tmp_path)
    assert done.stdout == "prompt> "
    assert lines_of(logged(tmp_path), "arimonitor.stdout") == ["not for the terminal"]


def test_a_child_that_lives_on_does_not_keep_us(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        began = time.monotonic()
        folder = tmp_path / "logs"
        subprocess.run(
            command("child_outlives", folder),
            cwd=ROOT,
            env=environment(),
            stdout=out,
            stderr=out,
            timeout=DEADLINE,
            check=True,
        )
    assert time.monotonic() - began < 50
    assert lines_of(logged(folder), "arimonitor.stdout") == ["the child was started"]


def test_started_without_standard_streams(tmp_path: Path) -> None:
    words = command("closed_streams", tmp_path)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words],
        cwd=ROOT,
        env=environment(),
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0
    assert lines_of(logged(tmp_path), "arimonitor.stdout") == ["written where nothing was"]


def test_the_journal_gets_priorities(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        env = {**environment(), "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run(
            command("secrets", tmp_path), cwd=ROOT, env=env, stderr=theirs, timeout=DEADLINE, check=True
        )
        theirs.close()
        got = b"".join(iter(lambda: ours.recv(65536), b"")).decode()
    assert re.findall(r"^<\d>", got, re.MULTILINE) == ["<3>", "<6>", "<6>"]
    assert re.sub(r"^<\d>", "", got, flags=re.MULTILINE) == logged(tmp_path)


def test_a_stopped_terminal_does_not_stop_us(tmp_path: Path) -> None:
    """A terminal nobody reads: what it does not take is left out, the file has all of it."""
    reader, terminal = pty.openpty()
    try:
        process = subprocess.run(
            command("floods", tmp_path),
            cwd=ROOT,
            env=environment(),
            stderr=terminal,
            timeout=DEADLINE,
            check=False,
        )
        assert process.returncode == 0
        assert lines_of(logged(tmp_path), "arimonitor.stdout").count("x" * 99) == 40_000
        assert select.select([reader], [], [], 0)[0]
    finally:
        os.close(reader)
        os.close(terminal)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "64k") as folder:
        yield folder


def test_a_full_disk_is_said_once_and_recovered_from(tiny_disk: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command("full_disk", tiny_disk), cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stderr=stderr
        )
    try:
        wait_until(lambda: b"can't be written" in errors.read_bytes(), "the notice")
        at_notice = errors.read_bytes().count(b"\n")
        wait_until(lambda: errors.read_bytes().count(b"\n") > at_notice + 10, "lines on standard error")
        assert process.poll() is None
        (log_file,) = tiny_disk.iterdir()
        os.truncate(log_file, 0)
        wait_until(lambda: "can be written again" in log_file.read_text(), "the recovery")
        assert process.stdin is not None
        process.stdin.write(b"enough\n")
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
    text = errors.read_text()
    assert text.count("can't be written") == 1
    assert "No space left on device" in text
    assert re.search(r"can be written again: .* missed_lines=[1-9]\d* after_s=\d+", log_file.read_text())
    numbers = [int(number) for number in re.findall(r'message="line (\d+) ', text)]
    assert numbers == sorted(set(numbers))
    for line in log_file.read_text().splitlines():
        assert line == "" or line.startswith("ts=")


def test_a_file_size_limit_is_like_a_full_disk(tmp_path: Path) -> None:
    words = command("floods", tmp_path)
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.count(b"can't be written") == 1
    assert b"the last line" in done.stderr


def test_a_folder_that_is_a_file_does_not_stop_us(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.write_text("somebody else's\n")
    done = run("prints", folder)
    assert len(re.findall(r"the log file can.t be written.*ARI-\d", done.stderr)) == 1
    assert "old log files can't be deleted" in done.stderr
    assert 'message="a call"' in done.stderr
    assert folder.read_text() == "somebody else's\n"


def test_days_that_are_kept_may_change_while_running(tmp_path: Path) -> None:
    for name in ("ARI-1-2020-01-01.LOG", "ARI-CALLS-1-2020-01-01.LOG.3", "notes-2020-01-01.LOG"):
        (tmp_path / name).write_bytes(b"x")
    run("keeps", tmp_path, keep_days=0)
    assert {path.name for path in tmp_path.iterdir() if "2020" in path.name} == {"notes-2020-01-01.LOG"}
    assert lines_of(logged(tmp_path), "arimonitor.test") == ["2 old files are there", "0 old files are there"]
