"""Sample recordings for the lab: short tones under the names that a site gives its calls. Adapter of lame.

    FOLDER/YYYY/MM/DD/    some of each of the last days and of today; a day that is there is left alone

Nobody speaks in them. With lame most are MP3s, some WAVs, as on a site that
converts at night; without it all are WAVs.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import struct
import tempfile
import wave
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from daemon.errors import ArimonitorError
from daemon.lab.people import Company
from daemon.runtime import process

DAYS: Final = 10
A_DAY: Final = 30
_PITCHES: Final = (262, 330, 392, 523)  # C, E, G, c
_SECONDS: Final = (2, 3, 5, 8)
_RATE: Final = 8000


def make_samples(folder: Path, people: Sequence[Company], now: datetime) -> int:
    """Calls within each company, on the DAYS before `now` (aware, the node's time) and today until now.

    How many files were made. OSError: the folder.
    """
    days = [now - timedelta(days=back) for back in range(DAYS + 1)]
    missing = [day for day in days if not (folder / f"{day:%Y/%m/%d}").exists()]
    if not missing or not people:
        return 0
    sounds = [_sound(pitch, seconds) for pitch, seconds in zip(_PITCHES, _SECONDS, strict=True)]
    return sum(_day(folder, people, day, now, sounds) for day in missing)


def _day(
    folder: Path,
    people: Sequence[Company],
    day: datetime,
    now: datetime,
    sounds: Sequence[tuple[bytes, bytes]],
) -> int:
    """One day's calls, there all at once."""
    dice = Random(day.toordinal())  # noqa: S311 - no secrets
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    length = min(86_400, (now - midnight).total_seconds() - 60)
    place = folder / f"{day:%Y/%m/%d}"
    part = folder / f".{day:%Y%m%d}.{os.getpid()}.part"
    part.mkdir(parents=True)
    for number in range(A_DAY if length > 1 else 0):
        started = midnight + timedelta(seconds=dice.randrange(int(length)))
        # Of each company in turn, so that whoever asks for one finds some of each day.
        phones = people[number % len(people)].phones
        origin, destiny = (phones[(number + step) % len(phones)].number for step in (0, 1))
        wav, mp3 = dice.choice(sounds)
        kind, data = ("mp3", mp3) if mp3 and number % 5 else ("wav", wav)
        name = f"internal-{origin}-{destiny}-{started:%Y%m%d-%H%M%S}-{started.timestamp():.0f}.{number}"
        file = part / f"{name}.{kind}"
        file.write_bytes(data)
        os.utime(file, (started.timestamp() + 10, started.timestamp() + 10))
    place.parent.mkdir(parents=True, exist_ok=True)
    part.rename(place)
    return len(list(place.iterdir()))


def _sound(pitch: int, seconds: int) -> tuple[bytes, bytes]:
    """A tone as WAV and as MP3, b"" where there is no lame."""
    samples = (int(6000 * math.sin(n * pitch * math.tau / _RATE)) for n in range(seconds * _RATE))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, _RATE, 0, "NONE", ""))
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    wav = file.getvalue()
    program = shutil.which("lame")
    if program is None:
        return wav, b""
    with tempfile.TemporaryDirectory(prefix="arimonitor-lab-") as name:
        source, target = Path(name) / "tone.wav", Path(name) / "tone.mp3"
        source.write_bytes(wav)
        try:
            done = process.run((program, "--quiet", "--cbr", "-b", "64", source, target), timeout=30.0)
            return wav, target.read_bytes() if done.ok else b""
        except ArimonitorError:
            return wav, b""  # samples are as good as WAVs
