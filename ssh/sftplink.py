"""An SFTP session over two pipes, blocking, in a process of its own: see `pumping`. Adapter of pipes."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from typing import Final

from ssh import sftp

_LONGEST: Final = 260 * 1024  # bytes of a packet
_PATIENCE: Final = 0.25


class Failed(Exception):
    """A request was refused. `kind`: no-such-file, denied, unsupported, failure or changed."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


class Link:
    """Numbered requests and their answers; `piece`: bytes that one read or write may have.

    EOFError: the other side is gone. sftp.Malformed: it talks nonsense.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._number = 0
        self._early: dict[int, tuple[int, memoryview]] = {}
        self._send(sftp.hello())
        kind, body = self._packet()
        if kind != sftp.VERSION:
            raise sftp.Malformed("no answer to hello")
        self._extensions = sftp.extensions(bytes(body))
        self.piece = sftp.LEAST
        if "limits@openssh.com" in self._extensions:
            self._send(sftp.limits(number := self._next()))
            self.piece = max(sftp.LEAST, sftp.piece(self._wanted(number, sftp.EXTENDED_REPLY)))

    def open(self, path: str, flags: int) -> bytes:
        """A handle. Raises Failed."""
        self._send(sftp.open_file(number := self._next(), path, flags))
        return sftp.string(self._wanted(number, sftp.HANDLE))

    def close(self, handle: bytes) -> None:
        """What was written is the server's from here on. Raises Failed."""
        self._send(sftp.close_file(number := self._next(), handle))
        self.ok(number)

    def sync(self, handle: bytes, waiting: Callable[[], None]) -> None:
        """It is on the disk there, where the server can do that; `waiting` is called meanwhile."""
        if "fsync@openssh.com" not in self._extensions:
            return
        self._send(sftp.sync_file(number := self._next(), handle))
        while not self.has_answer(_PATIENCE):
            waiting()
        self.ok(number)

    def write(self, handle: bytes, file: int, offset: int, count: int) -> int:
        """Send bytes of a local file to the same place of the remote one; `ok` takes the answer."""
        number = self._next()
        self._send(sftp.write_head(number, handle, offset, count))
        end = offset + count
        while offset < end:
            try:
                sent = os.sendfile(self._sink, file, offset, end - offset)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):  # a file system that can't do that
                    raise
                data = os.pread(file, end - offset, offset)
                self._send(data)
                sent = len(data)
            if not sent:
                self._send(bytes(end - offset))  # the packet is as long as it was told
                raise Failed("changed", "the file is shorter than it was")
            offset += sent
        return number

    def ask(self, handle: bytes, offset: int, count: int) -> int:
        """Ask for bytes; `data` takes the answer."""
        self._send(sftp.read_piece(number := self._next(), handle, offset, count))
        return number

    def data(self, number: int) -> memoryview:
        """The bytes that were asked for; none at the end of the file. Raises Failed."""
        kind, body = self._answer(number)
        if kind == sftp.STATUS and sftp.status(bytes(body))[0] == sftp.EOF:
            return memoryview(b"")
        _expected(sftp.DATA, kind, body)
        length = int.from_bytes(body[:4], "big")
        if length != len(body) - 4:
            raise sftp.Malformed("data of another length than told")
        return body[4:]

    def ok(self, number: int) -> None:
        """The request was carried out. Raises Failed."""
        kind, body = self._answer(number)
        _expected(sftp.STATUS, kind, body)
        _checked(body)

    def has_answer(self, patience: float = 0.0) -> bool:
        """Whether something can be read within `patience` seconds."""
        return bool(self._early) or bool(select.select([self._source], [], [], patience)[0])

    def _next(self) -> int:
        self._number = (self._number + 1) & 0xFFFFFFFF
        return self._number

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._sink, rest) :]

    def _wanted(self, number: int, kind: int) -> bytes:
        found, body = self._answer(number)
        _expected(kind, found, body)
        return bytes(body)

    def _answer(self, number: int) -> tuple[int, memoryview]:
        while number not in self._early:
            kind, body = self._packet()
            if len(body) < 4:
                raise sftp.Malformed("an answer without a number")
            self._early[int.from_bytes(body[:4], "big")] = kind, body[4:]
        return self._early.pop(number)

    def _packet(self) -> tuple[int, memoryview]:
        length = int.from_bytes(self._exactly(4), "big")
        if not 1 <= length <= _LONGEST:
            raise sftp.Malformed("what comes is no SFTP")
        body = self._exactly(length)
        return body[0], body[1:]

    def _exactly(self, count: int) -> memoryview:
        found = memoryview(bytearray(count))
        rest = found
        while rest:
            got = os.readv(self._source, [rest])
            if not got:
                raise EOFError
            rest = rest[got:]
        return found


def _expected(wanted: int, kind: int, body: memoryview) -> None:
    if kind == wanted:
        return
    if kind == sftp.STATUS:
        _checked(body)
    raise sftp.Malformed("an answer of another kind")


def _checked(body: memoryview) -> None:
    code, text = sftp.status(bytes(body))
    if code != sftp.OK:
        raise Failed(sftp.WORDS.get(code, "failure"), text)
