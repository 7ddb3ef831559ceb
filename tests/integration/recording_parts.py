"""What the tests of recordings share: WAVs, trees, a desk."""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.jobs.model import Request
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=SAO_PAULO)


@cache
def tone(seconds: int, pitch: int = 440) -> bytes:
    """Samples of a tone at 8 kHz."""
    return b"".join(
        struct.pack("<h", int(8000 * math.sin(n * pitch * math.tau / 8000))) for n in range(seconds * 8000)
    )


def write_wav(path: Path, seconds: int = 2, pitch: int = 440) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(tone(seconds, pitch))
    return path


def write_mp3(path: Path, seconds: int = 2, fill: bytes = b"\0") -> Path:
    """Frames of MPEG 2.5 layer III, 64 kbit/s, 8 kHz, mono: 576 bytes for 72 ms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = bytes.fromhex("ffe388c4") + fill * 572
    path.write_bytes((frame * (seconds * 8000 // 576 + 1))[: seconds * 8000])
    return path


def settings(folder: Path, **recordings: Any) -> Settings:
    (folder / "calls").mkdir(exist_ok=True)
    chosen = {"roots": [str(folder / "calls")], "public_url": "https://audio.example.com", **recordings}
    return Settings.model_validate({"node": {"data_dir": str(folder / "data")}, "recordings": chosen})


def desk(
    folder: Path,
    clock: Clock | None = None,
    colleagues: Callable[[Request], Sequence[str]] = lambda _: (),
    **recordings: Any,
) -> Recordings:
    return Recordings(
        settings(folder, **recordings),
        offload(),
        colleagues=colleagues,
        clock=clock or Clock(1_800_000_000.0),
        reserve=1 << 20,
    )


def request(
    ramais: str = "1121,1122",
    inicio: str = "27/10/2025 08:00",
    fim: str = "27/10/2025 18:00",
    number: str = "20251027_110000_1a2b3c4d",
    **other: Any,
) -> Request:
    parameters = {"ramais": ramais, "inicio": inicio, "fim": fim, "email": "person@example.com"}
    return Request(number, "RAMAIS", "person@example.com", parameters, **other)
