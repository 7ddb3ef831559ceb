"""From what a search found to MP3s of known size, each where it can be packed from. Part of the service.

fetch -> probe -> WAVs to MP3 (`encoders`) -> items, and what is left out with reasons
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.recordings.bundle import Item
from daemon.recordings.encoders import Converted, Encoders
from daemon.recordings.model import Found, LeftOut, Recording
from daemon.recordings.mp3 import Probed, probe
from daemon.recordings.names import file_of
from daemon.recordings.store import Store
from daemon.settings import Settings
from ssh.traffic import Traffic


class Prepared(msgspec.Struct, frozen=True):
    """`keys`: the bucket's own MP3s by their path here; `rate`: kbit/s of what was made; `made`: by whom."""

    items: list[Item]
    missing: list[LeftOut]
    rate: int
    keys: dict[str, str]
    made: str


class _Sorted(msgspec.Struct, frozen=True):
    ready: list[tuple[Recording, Path, Probed]]
    missing: list[LeftOut]


class Preparing:
    """For one node; many at once. `roomy(folder)` raises TransientError where a disk is full."""

    def __init__(
        self,
        settings: Settings,
        offload: Callable[..., Any],
        traffic: Traffic,
        roomy: Callable[[Path], None],
    ) -> None:
        self._encoders = Encoders(settings, offload, traffic)
        self._offload = offload
        self._roomy = roomy

    def prepare(self, store: Store, found: Found, folder: Path) -> Prepared:
        """Work in `folder`, which is the request's own. Raises TransientError, PermanentError; OSError."""
        sound = self._fetched(store, found, folder)
        wavs = [each for each in sound.ready if each[0].format == "wav"]
        (folder / "mp3").mkdir()
        jobs = [(path, folder / "mp3" / f"{n:05d}.mp3", each) for n, (_, path, each) in enumerate(wavs)]
        converted = self._encoders.convert(jobs, folder.name)
        if any(isinstance(each, LeftOut) and each.reason == "converting" for each in converted.results):
            self._roomy(folder)
        return _prepared(sound, wavs, [target for _, target, _ in jobs], converted)

    def _fetched(self, store: Store, found: Found, folder: Path) -> _Sorted:
        missing = list(found.left_out)
        there: list[tuple[Recording, Path]] = []
        for recording, path in zip(
            found.recordings, store.fetch(found.recordings, folder / "in"), strict=True
        ):
            if isinstance(path, LeftOut):
                missing.append(path)
            else:
                there.append((recording, path))
        probed = self._offload(probe, [(str(path), recording.format) for recording, path in there])
        ready: list[tuple[Recording, Path, Probed]] = []
        for (recording, path), each in zip(there, probed, strict=True):
            if each.sound.trouble:
                reason = {-1: "gone", -2: "unreadable"}.get(each.bytes, each.sound.trouble)
                missing.append(LeftOut(file_of(recording.key), reason))
            else:
                ready.append((recording, path, each))
        return _Sorted(ready, missing)


def _prepared(
    sound: _Sorted,
    wavs: Sequence[tuple[Recording, Path, Probed]],
    targets: Sequence[Path],
    converted: Converted,
) -> Prepared:
    missing = list(sound.missing)
    done: dict[str, tuple[Path, Probed]] = {}
    rate = 0
    for (recording, _, before), target, result in zip(wavs, targets, converted.results, strict=True):
        if isinstance(result, LeftOut):
            missing.append(LeftOut(file_of(recording.key), result.reason))
        else:
            # The WAV's header tells the length more exactly than the MP3's frames.
            done[recording.key] = target, Probed(before.sound, result.bytes)
            rate = max(rate, result.sound.kbits)
    items, keys = [], {}
    for recording, path, each in sound.ready:
        if recording.format == "mp3":
            keys[str(path)] = recording.key
        elif recording.key in done:
            path, each = done[recording.key]
        else:
            continue
        items.append(
            Item(
                str(path), each.bytes, recording.origin, recording.destiny,
                recording.started, each.sound.seconds, file_of(recording.key),
            )
        )  # fmt: skip
    return Prepared(items, missing, rate, keys, str(converted))
