"""`python -m ssh.pumping IN OUT SAID`: moves files over SFTP in a process of its own. Entry; see `pump`.

    daemon  --jobs, a line of JSON each-->  this  --packets-->  ssh -s HOST sftp  --encrypted-->  sshd
            <--how far, done, failed------

IN, OUT and SAID are the descriptors of ssh's output, input and errors.
Encryption is OpenSSH's, in its process; hashing has a thread; so the daemon's
hub has nothing to do but to read a line four times a second. It ends when its
standard input does: with the daemon, however that ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from ssh import sftp
from ssh.pace import Pace
from ssh.sftplink import Failed, Link

TELL_EVERY: Final = 0.25
_IN_FLIGHT: Final = 16 * 1024 * 1024  # bytes on their way: a line of 1 Gbit/s and 100 ms is kept full
_LOCAL_PIECE: Final = 1024 * 1024


class Teller:
    """What the daemon is told, at most every TELL_EVERY seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def moved(self, count: int) -> None:
        """How far a transfer is; also a sign of life."""
        now = time.monotonic()
        if now - self._last >= TELL_EVERY:
            self._last = now
            self.say({"moved": count})

    @staticmethod
    def say(what: Mapping[str, object]) -> None:
        """One line."""
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


class Hashing:
    """SHA-256 in a thread of its own: of a whole local file, or of what it is fed."""

    def __init__(self, path: str = "", upto: int = -1) -> None:
        """First the local file's first `upto` bytes (-1: all), then what `feed` gives."""
        self._digest = hashlib.sha256()
        self._pieces: queue.Queue[memoryview | None] = queue.Queue(64)
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, args=(path, upto), daemon=True)
        self._thread.start()

    def feed(self, data: memoryview) -> None:
        """More bytes; they must stay as they are."""
        self._pieces.put(data)

    def end(self, tell: Callable[[], None]) -> str:
        """The digest, in hex; `tell` is called while it is waited for. OSError: the local file's."""
        self._pieces.put(None)
        while self._thread.is_alive():
            self._thread.join(TELL_EVERY)
            tell()
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()

    def _run(self, path: str, upto: int) -> None:
        try:
            if path:
                self._read(path, upto)
        except OSError as error:
            self._error = error
        while (data := self._pieces.get()) is not None:
            self._digest.update(data)

    def _read(self, path: str, upto: int) -> None:
        buffer = memoryview(bytearray(_LOCAL_PIECE))
        with open(path, "rb", buffering=0) as file:
            while upto and (count := file.readinto(buffer if upto < 0 else buffer[:upto])):
                self._digest.update(buffer[:count])
                upto -= count if upto > 0 else 0


class Pumping:
    """Carries out jobs over one SFTP session."""

    def __init__(self, link: Link, pace: Pace) -> None:
        self._link = link
        self._pace = pace
        self._tell = Teller()

    def put(self, local: str, remote: str, begin: int, sync: bool) -> dict[str, object]:
        """Send a file from byte `begin` on; SHA-256 of all of it."""
        link, done = self._link, begin
        with open(local, "rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            hashing = Hashing(local, size)
            handle = link.open(remote, sftp.WRITE | (0 if begin else sftp.TRUNCATE))
            waiting: deque[tuple[int, int]] = deque()
            at = begin
            try:
                while at < size or waiting:
                    if at < size and at - done < _IN_FLIGHT:
                        count = self._take(size - at)
                        number = link.write(handle, source.fileno(), at, count)
                        waiting.append((number, count))
                        at += count
                    if at >= size or at - done >= _IN_FLIGHT or link.has_answer():
                        done = self._acknowledged(waiting, done)
            except Failed:
                self._settle(handle, waiting)
                raise
            if sync:
                link.sync(handle, lambda: self._tell.moved(done))
            link.close(handle)
        digest = hashing.end(lambda: self._tell.moved(done))
        return {"sha256": digest, "size": size}

    def _settle(self, handle: bytes, waiting: deque[tuple[int, int]]) -> None:
        """After a failed write: nothing more is written to that file once it is told."""
        for number, _ in waiting:
            with contextlib.suppress(Failed):
                self._link.ok(number)
        with contextlib.suppress(Failed):
            self._link.close(handle)

    def _acknowledged(self, waiting: deque[tuple[int, int]], done: int) -> int:
        number, count = waiting.popleft()
        self._link.ok(number)
        self._tell.moved(done + count)
        return done + count

    def get(self, remote: str, local: str, begin: int, size: int, sync: bool) -> dict[str, object]:
        """Fetch to the end, `size` bytes in all, after the `begin` that are there; SHA-256 of all of it."""
        hashing = Hashing(local if begin else "", begin)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        target = os.open(local, flags, 0o640)
        try:
            os.ftruncate(target, begin)
            os.lseek(target, begin, os.SEEK_SET)

            def keep(data: memoryview, moved: int) -> None:
                hashing.feed(data)
                _write(target, data)
                self._tell.moved(begin + moved)

            self._fetch(remote, begin, size, keep)
            if sync:
                os.fsync(target)
        finally:
            os.close(target)
        return {"sha256": hashing.end(lambda: self._tell.moved(size)), "size": size}

    def digest(self, remote: str, size: int) -> dict[str, object]:
        """SHA-256 of what is there, read back."""
        hashing = Hashing()

        def keep(data: memoryview, moved: int) -> None:
            hashing.feed(data)
            self._tell.moved(moved)

        self._fetch(remote, 0, size, keep)
        return {"sha256": hashing.end(lambda: self._tell.moved(size)), "size": size}

    def describe(self, local: str) -> dict[str, object]:
        """SHA-256 of a local file."""
        size = os.stat(local).st_size
        return {"sha256": Hashing(local).end(lambda: self._tell.moved(0)), "size": size}

    def _fetch(self, remote: str, begin: int, size: int, keep: Callable[[memoryview, int], None]) -> None:
        """Ask ahead, and take what comes in order."""
        link = self._link
        handle = link.open(remote, sftp.READ)
        asked = done = begin
        waiting: deque[tuple[int, int, int]] = deque()  # number, offset, count
        while done < size:
            while asked < size and asked - done < _IN_FLIGHT and (not waiting or not self._early()):
                count = self._take(size - asked)
                waiting.append((link.ask(handle, asked, count), asked, count))
                asked += count
            number, offset, count = waiting.popleft()
            data = link.data(number)
            if len(data) > count or not data:
                raise Failed("changed", "the file is shorter than it was")
            if len(data) < count:  # a server may give less than it was asked for
                rest = (link.ask(handle, offset + len(data), count - len(data)),)
                waiting.appendleft((*rest, offset + len(data), count - len(data)))
            done += len(data)
            keep(data, done - begin)
        link.close(handle)

    def _early(self) -> bool:
        """With a bound, an answer that is there is taken before more is asked for."""
        return bool(self._pace.rate) and self._link.has_answer()

    def _take(self, left: int) -> int:
        count = min(left, self._pace.piece(self._link.piece))
        self._pace.take(count)
        return count


def _write(target: int, data: memoryview) -> None:
    while data:
        data = data[os.write(target, data) :]


def _jobs(pace: Pace) -> queue.Queue[dict[str, Any]]:
    """Jobs as they come on standard input; a new rate is in force at once. With its end all ends."""
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            job = json.loads(line)
            pace.rate = job.pop("rate", pace.rate)
            if job:
                jobs.put(job)
        os._exit(0)  # whoever wanted it is gone: nothing is to be finished

    threading.Thread(target=read, daemon=True).start()
    return jobs


def _carried_out(pumping: Pumping, job: dict[str, Any], last_words: Callable[[], str]) -> dict[str, object]:
    works: dict[str, Callable[..., dict[str, object]]] = {
        "put": pumping.put, "get": pumping.get, "digest": pumping.digest, "describe": pumping.describe,
    }  # fmt: skip
    try:
        return {"done": works[job.pop("kind")](**job)}
    except Failed as error:
        return {"failed": error.kind, "words": error.words or last_words()}
    except (sftp.Malformed, EOFError, BrokenPipeError):
        return {"failed": "lost", "words": last_words()}
    except OSError as error:
        return {"failed": "local", "words": error.strerror, "errno": error.errno, "file": error.filename}


def _listened(descriptor: int) -> Callable[[], str]:
    """Reads what ssh says about itself; gives its last line, when it has ended."""
    said = bytearray()

    def listen() -> None:
        while data := os.read(descriptor, 4096):
            said[:] = (said + data)[-4096:]

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()

    def last_words() -> str:
        listener.join(2.0)
        lines = bytes(said).decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    return last_words


def main() -> int:
    """One job after another, until something is lost."""
    source, sink, said = map(int, sys.argv[1:])
    last_words = _listened(said)
    pace = Pace(0)
    jobs = _jobs(pace)
    try:
        pumping = Pumping(Link(source, sink), pace)
    except (sftp.Malformed, EOFError, OSError):
        Teller.say({"failed": "lost", "words": last_words()})
        return 1
    result: dict[str, object] = {}
    while result.get("failed") != "lost":
        result = _carried_out(pumping, jobs.get(), last_words)
        Teller.say(result)
    return 1


if __name__ == "__main__":
    sys.exit(main())
