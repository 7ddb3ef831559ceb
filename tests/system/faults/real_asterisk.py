"""A real Asterisk 22 with calls by SIPp as the source of a run's calls, in a process on the asterisk host.

    python -m tests.system.faults.real_asterisk FOLDER      the process; lines in: begin RATE, finish, end

An observer of its own, an application beside the nodes', writes down what was told when: from that file the
run knows which facts there were. Each call rings 0.2 s and talks 1 s.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.servers.asterisk.ari import PASSWORD, USER, Recorder
from tests.servers.asterisk.bed import CHANNELVARS, SOURCES
from tests.servers.asterisk.load import Calling
from tests.servers.asterisk.server import Asterisk, root_for
from tests.servers.daemon import REPOSITORY
from tests.servers.hosts import Host
from tests.servers.waiting import wait_until
from tests.system.faults.history import Emitted, Listening

_PATIENCE = 60.0


class RealAsterisk:
    """A Source, within a `with`."""

    def __init__(self, at: Host) -> None:
        self._at = at
        self._process: subprocess.Popen[str] | None = None
        self._folder: Path | None = None
        self._said: list[str] = []
        self._port = 0
        self._read = 0
        self._facts: list[Emitted] = []
        self._open: set[str] = set()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="arimonitor-asterisk-"))
        argv = [
            *self._at.prefix,
            sys.executable,
            "-m",
            "tests.system.faults.real_asterisk",
            str(self._folder),
        ]
        self._process = subprocess.Popen(
            argv, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self._port = int(self._answer("listens").split()[1])
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._say("end")
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def settings(self) -> dict[str, Any]:
        """As Source says."""
        return {"url": f"http://{self._at.address}:{self._port}", "username": USER, "password": PASSWORD}

    def begin(self, rate: float) -> None:
        """As Source says."""
        if rate:
            self._said.clear()
            self._say(f"begin {rate}")
            self._answer("begun")

    def finish(self) -> None:
        """As Source says."""
        self._said.clear()
        self._say("finish")
        self._answer("finished")

    @property
    def emitted(self) -> list[Emitted]:
        """As Source says."""
        assert self._folder is not None
        with (self._folder / "events.jsonl").open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            for line in whole.splitlines():
                self._facts += facts(json.loads(line), self._open)
        return self._facts

    @property
    def started(self) -> int:
        """As Source says."""
        return sum(fact.type == "received-call" for fact in self.emitted)

    @property
    def playing(self) -> int:
        """As Source says."""
        return len(self._open) if self.emitted is not None else 0

    def listeners(self) -> list[Listening] | None:
        """It can't tell: Asterisk knows an application for a while after its websocket has gone."""
        return None

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.append(line.strip())

    def _answer(self, word: str) -> str:
        def come() -> str | None:
            return next((line for line in self._said if line.startswith(word)), None)

        found: str = wait_until(come, f"Asterisk's process says {word!r}: {self._said[-3:]}", _PATIENCE)
        return found


def facts(line: dict[str, Any], going: set[str]) -> Iterator[Emitted]:
    """What an event tells of a call; `going` are the calls that have begun and not ended. Pure."""
    event, at = line.get("event", {}), line["t"]
    match event.get("type"), event.get("dialstatus"):
        case "Dial", ("" | "ANSWER") as status:
            call = event.get("caller", {}).get("id", "")
            if call and not status:
                going.add(call)
            if call in going:
                yield Emitted(at, call, "answered-call" if status else "received-call")
        case "ChannelDestroyed", _:
            call = event["channel"]["id"]
            if call in going:
                going.discard(call)
                yield Emitted(at, call, "ended-call")


def main(folder: Path) -> int:
    """The process on the host."""
    server = Asterisk(root_for("22"), folder, "22")
    server.http_address = "0.0.0.0"
    server.start(channelvars=CHANNELVARS)
    recorder = Recorder(server.url, "observer", folder / "events.jsonl", sources=SOURCES)
    threading.Thread(target=_flush, args=(recorder,), daemon=True).start()
    calling: Calling | None = None
    print(f"listens {server.http}", flush=True)
    try:
        for line in sys.stdin:
            match line.split():
                case ["begin", rate]:
                    calling = Calling(server, float(rate), ring=0.2, talk=1.0)
                    calling.__enter__()
                    print("begun", flush=True)
                case ["finish"]:
                    if calling is not None:
                        calling.finish()
                        calling.__exit__()
                        calling = None
                    print("finished", flush=True)
                case _:
                    break
    finally:
        if calling is not None:
            calling.__exit__()
        recorder.stop()
        server.close()
    return 0


def _flush(recorder: Recorder) -> None:
    """What was written down is to be read while it goes on."""
    while not recorder.file.closed:
        recorder.file.flush()
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
