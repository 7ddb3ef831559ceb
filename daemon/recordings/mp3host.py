"""WAV to MP3 on another host: put there, made by its lame, fetched, both removed. Adapter of SSH.

    <remote_dir>/<request id>.<attempt>/N.wav  -->  lame there  -->  N.mp3  -->  here, verified

The folder is this request's and this try's alone, so nobody's recordings mix.
What a crash left is removed at the next use: other tries of the same request at
once, anybody's after a day without a change.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import reached
from daemon.recordings.mp3 import Job, Probed, argv, changes, patience, probe
from ssh.connection import Connection, Output, Place
from ssh.errors import AlreadyThere, NoSuchFile, SshError, SshRefused
from ssh.remote import command_line
from ssh.traffic import Traffic
from ssh.transfer import Files

log = logging.getLogger("arimonitor.recordings")

AT_ONCE: Final = 4
"""Conversions that run there at a time, while others are sent and fetched."""
STALE: Final = 86_400
"""Seconds without a change after which a folder there is a crash's."""
_SLOWEST: Final = 20_000  # bytes a second that a link without a bound moves at least
_OURS: Final = re.compile(r"(?P<request>[A-Za-z0-9][A-Za-z0-9_-]{0,79})\.[0-9]{1,9}")
_REFUSED: Final = re.compile(rb"not allowed|not found|sftp connections only")  # gate, shell, internal-sftp
_SHORTER: Final = 1.0  # seconds that an MP3 may miss of its WAV: lame's disk may have been full


class Unable(Exception):
    """This host can't do it, and the sentence says why; `done` is what it did before, by the job's number."""

    def __init__(self, why: str, done: dict[int, Probed]) -> None:
        super().__init__(why)
        self.done = done


class _Running(msgspec.Struct):
    number: int
    wav: str
    mp3: str
    end: Callable[[float, int], Output]
    close: Callable[[], None]


class _Work(msgspec.Struct):
    jobs: Sequence[Job]
    done: dict[int, Probed] = {}
    refused: list[str] = []


class Mp3Host:
    """One host. `offload(function, *data)` runs it in a native thread."""

    def __init__(
        self, place: Place, folder: Path, bitrate: int, offload: Callable[..., Any], traffic: Traffic
    ) -> None:
        self.name = place.name
        self._place = place
        self._folder = folder
        self._bitrate = bitrate
        self._offload = offload
        self._traffic = traffic

    def convert(self, jobs: Sequence[Job], name: str) -> dict[int, Probed]:
        """MP3s by the job's number, made in a folder `name` there; missing are WAVs that changed meanwhile.

        Raises Unable, also where lame failed. OSError: the local disk's.
        """
        work = _Work(jobs)
        try:
            with reached(self._place) as connection:
                files = Files(connection, self._traffic)
                with self._own_folder(files, name) as folder:
                    self._convert(connection, files, folder, work)
        except (TransientError, PermanentError) as error:
            raise Unable(str(error), work.done) from error
        if work.refused:
            count = len(work.refused)
            raise Unable(f"{self._place}: lame failed at {count} recordings: {work.refused[-1]}", work.done)
        return work.done

    def _convert(self, connection: Connection, files: Files, folder: str, work: _Work) -> None:
        running: deque[_Running] = deque()
        try:
            for number, (source, _, before) in enumerate(work.jobs):
                if len(running) >= AT_ONCE:
                    self._finish(files, running.popleft(), work)
                if self._changed(source, before):
                    continue
                wav, mp3 = f"{folder}/{number}.wav", f"{folder}/{number}.mp3"
                try:
                    files.put(source, wav, deadline=self._patience(before.bytes), replace=False, sync=False)
                except SshError:
                    if self._changed(source, before):
                        continue
                    raise
                command = command_line(argv("lame", self._bitrate, before.sound.rate, wav, mp3))
                running.append(_begun(connection, number, wav, mp3, command))
            while running:
                self._finish(files, running.popleft(), work)
        finally:
            for each in running:
                each.close()

    def _finish(self, files: Files, running: _Running, work: _Work) -> None:
        source, target, before = work.jobs[running.number]
        try:
            output = running.end(patience(before.bytes), 4096)
        finally:
            running.close()
        if output.status in (126, 127) or _REFUSED.search(output.stderr + output.stdout):
            raise PermanentError(f"{self._place}: lame can't be run there: {_said(output)}")
        if output.status != 0:
            work.refused.append(_said(output))
            return
        try:
            files.get(
                running.mp3, target, deadline=self._patience(before.bytes), most=before.bytes + 65536,
                sync=False, verify=True,
            )  # fmt: skip
        except NoSuchFile as error:
            raise PermanentError(
                f"{self._place}: lame made nothing there: may the key run commands (etc/ssh/arimonitor-gate)?"
            ) from error
        files.remove(running.wav)
        files.remove(running.mp3)
        (made,) = self._offload(probe, [(str(target), "mp3")])
        seconds = made.sound.seconds or 0.0
        if made.sound.trouble or seconds + _SHORTER < (before.sound.seconds or 0.0):
            work.refused.append("an MP3 is not whole: is its disk full?")
        elif not self._changed(source, before):
            work.done[running.number] = made

    def _changed(self, source: Path, before: Probed) -> bool:
        """Not the same any more: whoever converts it here says what it is."""
        return bool(self._offload(changes, [(str(source), before.bytes)])[0])

    def _patience(self, size: int) -> float:
        bound = self._place.bandwidth * 125 / (2 * AT_ONCE)  # shared with whatever else goes there
        return patience(0) + size / (min(bound, _SLOWEST) if bound else _SLOWEST)

    # -- the folder there -------------------------------------------------------
    @contextlib.contextmanager
    def _own_folder(self, files: Files, name: str) -> Iterator[str]:
        found = _OURS.fullmatch(name)
        if found is None:
            raise PermanentError(f"{name!r} is no name of a request's try")
        base = str(self._folder)
        if files.stat(base) is None:
            with contextlib.suppress(AlreadyThere):  # somebody else was first
                files.make_folder(base)
        folder = f"{base}/{name}"
        files.remove_folder(folder)
        files.make_folder(folder)
        try:
            own, above = files.stat(folder), files.stat(base)
            if own is None or above is None or above.owner not in (own.owner, 0):
                raise PermanentError(
                    f"{self._place}: {base} is another user's, who could take recordings away"
                )
            self._clean(files, base, name, found["request"], own.mtime)
            yield folder
        finally:
            with contextlib.suppress(SshError):  # the next use removes it
                files.remove_folder(folder)

    def _clean(self, files: Files, base: str, name: str, request: str, now: int) -> None:
        """`now` by the clock of that host."""
        for other in files.names(base):
            found = _OURS.fullmatch(other)
            if found is None or other == name:
                continue
            about = files.stat(f"{base}/{other}")
            if about is None or not about.folder:
                continue
            if found["request"] == request or now - about.mtime > STALE:
                log.info("%s: what was left of %s is removed", self._place, other)
                with contextlib.suppress(SshRefused):  # somebody else's, or with something else in it
                    files.remove_folder(f"{base}/{other}")


def _begun(connection: Connection, number: int, wav: str, mp3: str, command: str) -> _Running:
    stack = contextlib.ExitStack()
    end = stack.enter_context(connection.executing(command))
    return _Running(number, wav, mp3, end, stack.close)


def _said(output: Output) -> str:
    lines = (output.stderr.strip() or output.stdout.strip()).decode("utf-8", "replace").splitlines()
    return f"{lines[-1][:300] if lines else 'it said nothing'} (status {output.status})"
