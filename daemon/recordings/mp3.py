"""WAV to MP3 by lame, as many at once as there are cores. Adapter of lame.

The source's sample rate is kept. At 8 kHz mono no encoder goes beyond
64 kbit/s whatever it is asked for: the rate that is reported is the file's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from daemon.errors import PermanentError
from daemon.recordings import audio
from daemon.recordings.model import LeftOut
from daemon.recordings.names import shown
from daemon.runtime import process

_SLOWEST: Final = 50_000  # bytes of WAV a second that lame encodes at least; it does twenty times that
_START: Final = 30.0


class Probed(msgspec.Struct, frozen=True):
    """A file's sound and size as they were when it was looked at."""

    sound: audio.Sound
    bytes: int


def probe(paths: Sequence[tuple[str, str]]) -> list[Probed]:
    """(path, format) of files -> what they are. For a native thread."""
    return [_probe(path, kind) for path, kind in paths]


def _probe(path: str, kind: str) -> Probed:
    try:
        with open(path, "rb") as file:
            head, size = file.read(audio.HEAD), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return Probed(audio.Sound(trouble="empty"), -1)
    except OSError:
        return Probed(audio.Sound(trouble="broken"), -2)
    return Probed(audio.mp3(head, size) if kind == "mp3" else audio.wav(head, size), size)


def argv(program: str, bitrate: int, rate: int, source: str, target: str) -> tuple[str, ...]:
    """How lame is called. Absolute paths begin with "/": no name can be taken for an option."""
    return (
        program, "--quiet", "--cbr", "-b", str(bitrate), "--resample", f"{rate / 1000:g}", source, target,
    )  # fmt: skip


def patience(size: int) -> float:
    """Seconds for a WAV of so many bytes."""
    return _START + size / _SLOWEST


Job = tuple[Path, Path, Probed]
"""A WAV, the MP3 that it is to become, and what the WAV was when it was looked at."""


class Lame:
    """`convert` many WAVs. `cores`: how many at once, unset: all of the machine."""

    def __init__(self, bitrate: int, offload: Callable[..., Any], cores: int = 0) -> None:
        self.bitrate = bitrate
        self.cores = cores or len(os.sched_getaffinity(0))
        self._offload = offload

    def convert(self, jobs: Sequence[Job]) -> list[Probed | LeftOut]:
        """Each source to its target; what can't be converted is LeftOut. PermanentError: there is no lame."""
        if not jobs:
            return []
        program = shutil.which("lame")
        if program is None:
            raise PermanentError(
                "lame is not installed, so WAV recordings can't be made MP3: apt-get install lame"
            )
        with ThreadPoolExecutor(max_workers=self.cores, thread_name_prefix="lame") as pool:
            done = list(pool.map(lambda job: self._one(program, *job), jobs))
        found = self._offload(probe, [(str(target), "mp3") for _, target, _ in jobs])
        changed = self._offload(changes, [(str(source), before.bytes) for source, _, before in jobs])
        result: list[Probed | LeftOut] = []
        for (source, _, _), well, made, change in zip(jobs, done, found, changed, strict=True):
            name = shown(source.name)
            if change:
                result.append(LeftOut(name, change))
            elif not well or made.sound.trouble:
                result.append(LeftOut(name, "converting"))
            else:
                result.append(made)
        return result

    def _one(self, program: str, source: Path, target: Path, before: Probed) -> bool:
        command = argv(program, self.bitrate, before.sound.rate, str(source), str(target))
        return process.run(command, timeout=patience(before.bytes), max_output=4096).ok


def changes(files: Sequence[tuple[str, int]]) -> list[str]:
    """(path, bytes it had) -> gone, growing, or "". For a native thread."""
    found = []
    for path, before in files:
        size = os.stat(path).st_size if os.path.exists(path) else -1
        found.append("" if size == before else "gone" if size < 0 else "growing")
    return found
