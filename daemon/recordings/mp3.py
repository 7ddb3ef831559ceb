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


class Lame:
    """`convert` many WAVs. `cores`: how many at once, unset: all of the machine."""

    def __init__(self, bitrate: int, offload: Callable[..., Any], cores: int = 0) -> None:
        self.bitrate = bitrate
        self.cores = cores or len(os.sched_getaffinity(0))
        self._offload = offload

    def convert(self, jobs: Sequence[tuple[Path, Path, Probed]]) -> list[Probed | LeftOut]:
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
        sizes = self._offload(_sizes, [str(source) for source, _, _ in jobs])
        result: list[Probed | LeftOut] = []
        for (source, _, before), well, made, size in zip(jobs, done, found, sizes, strict=True):
            name = shown(source.name)
            if size != before.bytes:
                result.append(LeftOut(name, "gone" if size < 0 else "growing"))
            elif not well or made.sound.trouble:
                result.append(LeftOut(name, "converting"))
            else:
                result.append(made)
        return result

    def _one(self, program: str, source: Path, target: Path, before: Probed) -> bool:
        rate = before.sound.rate
        done = process.run(
            # An absolute path begins with "/": no name can be taken for an option.
            (
                program,
                "--quiet",
                "--cbr",
                "-b",
                str(self.bitrate),
                "--resample",
                f"{rate / 1000:g}",
                source,
                target,
            ),
            timeout=_START + before.bytes / _SLOWEST,
            max_output=4096,
        )
        return done.ok


def _sizes(paths: Sequence[str]) -> list[int]:
    return [os.stat(path).st_size if os.path.exists(path) else -1 for path in paths]
