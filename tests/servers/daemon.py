"""A real arimonitor for tests: `python -m daemon run` as a process of its own.

    daemon = ArimonitorDaemon(folder, {"node": {"name": "N1"}, "asterisk": [{...}], "mq": {...}})
    daemon.start()
    daemon.ctl("status")                                   # one console command, as JSON over TCP
    daemon.wait_for(lambda status: status["asterisk"][0]["connected"])
    daemon.stop()                                          # SIGTERM; it must end with 0

Several may run at once: each has a folder, and so a data directory, of its own.
What is needed for that (folders, a free console port) is filled in; the rest is
the configuration's own default.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.here import HERE, Place
from tests.servers.waiting import DEADLINE, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]

Table = Mapping[str, Any]


class CommandFailed(Exception):
    """The console refused; `code` is its word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


def toml(config: Mapping[str, Any]) -> str:
    """Tables and table arrays of plain values as TOML. JSON's texts, numbers, lists are TOML's."""
    lines: list[str] = []
    for name, value in config.items():
        head = f"[[{name}]]" if isinstance(value, Sequence) else f"[{name}]"
        for table in value if isinstance(value, Sequence) else [value]:
            lines += [head, *(f"{key} = {json.dumps(each)}" for key, each in table.items()), ""]
    return "\n".join(lines)


class ArimonitorDaemon:
    """One daemon and its folder: configuration, data, logs.

    `at`: where it runs; `tree`: the product's packages that it runs from; `launcher`: what stands for
    `-m daemon` of Python's arguments.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        at: Place = HERE,
        tree: Path = REPOSITORY,
        launcher: Sequence[str] = ("-m", "daemon"),
    ) -> None:
        self.at, self.tree, self.launcher = at, tree, tuple(launcher)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "arimonitor.toml"
        self.data = folder / "data"
        self.logs = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ("", 0)
        self._read: dict[Path, int] = {}  # bytes of the file sink's files
        self._messages: list[dict[str, Any]] = []
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("ARIMONITOR_")
        }
        self.configure(config)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the configuration; what runs already does not read it by itself."""
        node = {"data_dir": str(self.data), **config.get("node", {})}
        log = {"dir": str(self.logs), **config.get("log", {})}
        whole = {
            "manager": {"listen": "127.0.0.1:0"},
            "http": {"listen": []},
            **config,
            "node": node,
            "log": log,
        }
        self.data = Path(node["data_dir"])
        self.file.write_text(toml(whole), encoding="utf-8")

    # -- the process -----------------------------------------------------------
    def command(self, *words: str, seconds: float = 2 * DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run `arimonitor WORDS` until it ends by itself."""
        return subprocess.run(
            [*self.at.prefix, sys.executable, "-m", "daemon", *words],
            cwd=self.tree,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def start(self) -> ArimonitorDaemon:
        """Start it and wait until its console answers."""
        if self.process is not None:
            raise RuntimeError("it runs already")
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [*self.at.prefix, sys.executable, *self.launcher, "run", "-c", str(self.file)],
                cwd=self.tree,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self.address = wait_until(self._listens, "the console's address is in the log", 3 * DEADLINE)
        except BaseException:
            self.kill()
            raise
        return self

    def _listens(self) -> tuple[str, int] | None:
        process = self._running()
        if process.poll() is not None:
            raise RuntimeError(f"arimonitor ended with {process.returncode}: {self.output()[-3000:]}")
        for path in self.logs.glob(f"ARI-{process.pid}-*.LOG"):
            _, found, rest = path.read_text(errors="replace").partition("the console listens on ")
            if found and "\n" in rest:
                host, _, port = rest.split()[0].strip('"').rpartition(":")
                return host, int(port)
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError("it does not run")
        return self.process

    @property
    def pid(self) -> int:
        return self._running().pid

    def stop(self, seconds: float = DEADLINE) -> None:
        """SIGTERM; it must end with 0."""
        if self.process is None:
            return
        self.send(signal.SIGTERM)
        code = self.wait_end(seconds)
        assert code == 0, f"exit status {code} after SIGTERM: {self.output()[-3000:]}"

    def wait_end(self, seconds: float = DEADLINE) -> int:
        """The exit status, once it has ended by itself."""
        process = self._running()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            log = self.log_text()[-3000:]
            self.kill()
            raise AssertionError(f"arimonitor did not end within {seconds:g} s: {log}") from None
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9, as a crash or the power would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._running().send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def __enter__(self) -> ArimonitorDaemon:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    # -- what it says ------------------------------------------------------------
    def connect(self, seconds: float = DEADLINE) -> socket.socket:
        """A connection to its console."""
        return self.at.connect(self.address, seconds)

    def ask(self, *words: str) -> dict[str, Any]:
        """The console's whole answer to a command in JSON."""
        with self.connect() as link, link.makefile("rwb") as stream:
            stream.write(json.dumps({"command": words[0], "args": list(words[1:])}).encode() + b"\n")
            stream.flush()
            while line := stream.readline():
                if line.startswith(b"{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        raise ConnectionError(f"the console closed without an answer to {words}")

    def ctl(self, *words: str) -> Any:
        """The result of a command; CommandFailed where the console says that it is none."""
        answer = self.ask(*words)
        if not answer["ok"]:
            raise CommandFailed(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def status(self) -> dict[str, Any]:
        """`status`."""
        result: dict[str, Any] = self.ctl("status")
        return result

    def problems(self) -> list[dict[str, str]]:
        """What `health` finds wrong; but a late event loop on a busy machine is the machine's fault."""
        found: list[dict[str, str]] = self.ctl("health")["problems"]
        return [each for each in found if each["part"] != "hub"]

    def notices(self) -> dict[str, str]:
        """The notices of `status` by their part; but a late event loop, as above."""
        found = {each["part"]: each["message"] for each in self.status()["notices"]}
        found.pop("hub", None)
        return found

    def asterisk(self, name: str) -> dict[str, Any]:
        """What `status` says of one Asterisk."""
        found: dict[str, Any] = next(each for each in self.status()["asterisk"] if each["name"] == name)
        return found

    def broker(self, number: int = 0) -> dict[str, Any]:
        """What `status` says of a broker; 0 is the one of [mq]."""
        found: dict[str, Any] = self.status()["brokers"][number]
        return found

    def wait_for(
        self, predicate: Callable[[dict[str, Any]], Any], what: str, seconds: float = DEADLINE
    ) -> dict[str, Any]:
        """The first `status` for which the predicate is true."""
        last: dict[str, Any] = {}

        def good() -> bool:
            last.clear()
            last.update(self.status())
            return bool(predicate(last))

        try:
            wait_until(good, what, seconds)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; status {json.dumps(last)}; log: {self.log_text()[-2000:]}"
            ) from None
        return last

    def connected(self, seconds: float = DEADLINE) -> None:
        """Wait until every Asterisk and every broker is connected."""
        self.wait_for(
            lambda status: all(each["connected"] for each in (*status["asterisk"], *status["brokers"])),
            "everything is connected",
            seconds,
        )

    def settled(self, seconds: float = DEADLINE) -> None:
        """Wait until no call is open and nothing waits for a broker."""
        self.wait_for(
            lambda status: (
                not any(each["active_calls"] or each["backlog"] for each in status["asterisk"])
                and not any(each["outbox"] for each in status["brokers"])
            ),
            "no calls, empty outboxes",
            seconds,
        )

    def log_text(self) -> str:
        """Everything in its log files, of all its runs."""
        paths = sorted(self.logs.glob("ARI-*.LOG*"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def lines(self, text: str) -> int:
        """How many lines of the log hold this text."""
        return sum(text in line for line in self.log_text().splitlines())

    def says(self, text: str, seconds: float = DEADLINE) -> None:
        """Wait until the log holds this text."""
        try:
            wait_until(lambda: text in self.log_text(), f"the log says {text!r}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log_text()[-3000:]}") from None

    def output(self) -> str:
        """What it printed (standard output and error)."""
        return (self.folder / "output").read_text(errors="replace")

    def messages(self) -> list[dict[str, Any]]:
        """The lines of the file sink, in order."""
        for path in sorted((self.data / "messages").glob("messages-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                # The last line may be under way.
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._read[path] = self._read.get(path, 0) + len(whole) + 1
                self._messages += [json.loads(line) for line in whole.splitlines()]
        return self._messages

    def memory(self) -> int:
        """Its resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")
