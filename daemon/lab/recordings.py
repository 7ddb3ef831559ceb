"""Sample recordings for the lab: short tones under the names that a site gives its calls. Adapter of lame.

Nobody speaks in them. With lame most are MP3s, some WAVs, as on a site that
converts at night; without it all are WAVs.
"""

from __future__ import annotations

import io
import math
import shutil
import struct
import wave
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from daemon.errors import ArimonitorError
from daemon.runtime import process

DAYS: Final = 10
_PITCHES: Final = (262, 330, 392, 523)  # C, E, G, c
_RATE: Final = 8000


def make_samples(folder: Path, numbers: Sequence[str], now: datetime, *, count: int = 300) -> int:
    """Calls among `numbers` in the DAYS before `now` (aware, the node's time), in folders YYYY/MM/DD.

    How many files were made; 0 where today's are there already. OSError: the folder.
    """
    today = folder / now.strftime("%Y/%m/%d")
    if len(numbers) < 2 or (today.is_dir() and any(today.iterdir())):
        return 0
    dice = Random(now.toordinal())  # noqa: S311 - no secrets
    sounds = [_sound(folder, pitch, seconds) for pitch, seconds in zip(_PITCHES, (3, 5, 8, 13), strict=True)]
    made = 0
    for number in range(count):
        # Every tenth is of the last hour: whoever asks for today finds some.
        back = timedelta(seconds=dice.randrange(60, 3600 if number % 10 == 0 else DAYS * 86_400))
        started = now - back
        origin, destiny = dice.sample(list(numbers), 2)
        wav, mp3 = dice.choice(sounds)
        kind, data = ("mp3", mp3) if mp3 and number % 5 else ("wav", wav)
        name = (
            f"internal-{origin}-{destiny}-{started:%Y%m%d-%H%M%S}-{int(started.timestamp())}.{number}.{kind}"
        )
        place = folder / started.strftime("%Y/%m/%d")
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
        made += 1
    return made


def _sound(folder: Path, pitch: int, seconds: int) -> tuple[bytes, bytes]:
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
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / f".{pitch}.wav", folder / f".{pitch}.mp3"
    try:
        source.write_bytes(wav)
        done = process.run((program, "--quiet", "--cbr", "-b", "64", source, target), timeout=30.0)
        return wav, target.read_bytes() if done.ok else b""
    except ArimonitorError:
        return wav, b""  # samples are as good as WAVs
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
