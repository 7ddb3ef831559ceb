"""The session over pipes against servers that OpenSSH's is not: short answers, in any order, nonsense."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssh import sftp
from ssh.pace import Pace
from ssh.pumping import Pumping
from ssh.sftplink import Failed, Link

CONTENT = bytes(range(256)) * 400
Answers = Callable[[list[tuple[int, int, bytes]]], Iterator[bytes]]


def packet(kind: int, number: int, body: bytes) -> bytes:
    return struct.pack(">IBI", 5 + len(body), kind, number) + body


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def status(number: int, code: int, words: bytes = b"") -> bytes:
    return packet(sftp.STATUS, number, struct.pack(">I", code) + text(words) + text(b""))


class Server:
    """Speaks over two pipes; `batch` requests are collected before `answers` are given."""

    def __init__(self, answers: Answers, batch: int = 1, hello: bytes = b"\0\0\0\5\2\0\0\0\3") -> None:
        self._in, self.sink = os.pipe()
        self.source, self._out = os.pipe()
        self._answers, self._batch = answers, batch
        os.write(self._out, hello)
        threading.Thread(target=self._run, daemon=True).start()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := os.read(self._in, count - len(data))):
            data += more
        return data

    def _run(self) -> None:
        waiting: list[tuple[int, int, bytes]] = []
        while head := self._exactly(4):
            body = self._exactly(int.from_bytes(head, "big"))
            if body[0] == 1:
                continue
            number = int.from_bytes(body[1:5], "big")
            if body[0] == 3:
                os.write(self._out, packet(sftp.HANDLE, number, text(b"h")))
            elif body[0] == 4:
                os.write(self._out, status(number, sftp.OK))
            else:
                waiting.append((body[0], number, body[5:]))
                last = body[0] == 5 and sum(struct.unpack(">QI", body[10:22])) >= len(CONTENT)
                if len(waiting) >= self._batch or last:
                    for answer in self._answers(waiting):
                        os.write(self._out, answer)
                    waiting = []

    def pumping(self) -> Pumping:
        return Pumping(Link(self.source, self.sink), Pace(0))


def given(request: tuple[int, int, bytes], most: int = 10**9) -> bytes:
    _, number, body = request
    offset, count = struct.unpack(">QI", body[5:17])
    data = CONTENT[offset : offset + min(count, most)]
    return packet(sftp.DATA, number, text(data)) if data else status(number, sftp.EOF)


@pytest.mark.parametrize(
    ("answers", "batch"),
    [
        (lambda requests: (given(each) for each in requests), 1),
        (lambda requests: (given(each, 1000) for each in requests), 1),
        (lambda requests: (given(each) for each in reversed(requests)), 3),
    ],
)
def test_fetched_whole(
    answers: Answers, batch: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.write_bytes(CONTENT[:500])
    for begin in (0, 500):
        done = Server(answers, batch).pumping().get("/x", str(target), begin, len(CONTENT), sync=True)
        assert target.read_bytes() == CONTENT
        assert done == {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}


def test_shorter_than_it_was(tmp_path: Path) -> None:
    server = Server(lambda requests: (given(each) for each in requests))
    with pytest.raises(Failed, match="shorter than it was"):
        server.pumping().get("/x", str(tmp_path / "target"), 0, len(CONTENT) + 10, sync=False)


def test_a_write_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    server = Server(lambda requests: (status(number, 4, b"Failure") for _, number, _ in requests))
    with pytest.raises(Failed, match="Failure") as caught:
        server.pumping().put(str(tmp_path / "source"), "/x", 0, sync=True)
    assert caught.value.kind == "failure"


@pytest.mark.parametrize("hello", [b"Welcome to this server!\n", b"\0\0\0\5\x65\0\0\0\3", b"\0\0\0\0"])
def test_what_is_no_sftp(hello: bytes) -> None:
    with pytest.raises(sftp.Malformed):
        Server(lambda _: iter(()), hello=hello).pumping()


@pytest.mark.parametrize(
    "answer", [b"\0\0\0\5\x67\0\0\0\2", b"\0\0\0\1\x67", packet(103, 2, b"\0\0\0\x09abc")]
)
def test_answers_that_are_nonsense(answer: bytes, tmp_path: Path) -> None:
    server = Server(lambda _: iter((answer,)))
    with pytest.raises(sftp.Malformed):
        server.pumping().get("/x", str(tmp_path / "target"), 0, 10, sync=False)
