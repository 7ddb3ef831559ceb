"""Heads of WAV and MP3 files, made by hand."""

from __future__ import annotations

import struct

import pytest

from daemon.recordings import audio
from daemon.recordings.audio import Sound


def wav(told: int, codec: int = 1) -> bytes:
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + told)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, codec, 1, 8000, 16000, 2, 16)
    )
    return head + b"data" + struct.pack("<I", told)


@pytest.mark.parametrize(
    ("head", "size", "sound"),
    [
        (wav(32000), 44 + 32000, Sound(2.0, 8000)),
        (wav(32000), 44 + 32010, Sound(2.0, 8000)),
        (b"", 0, Sound(trouble="empty")),
        (wav(0), 44, Sound(rate=8000, trouble="empty")),
        (wav(0), 44 + 16000, Sound(rate=8000, trouble="unfinished")),
        (wav(32000), 44 + 100, Sound(rate=8000, trouble="unfinished")),
        (b"RIFF", 4, Sound(trouble="unfinished")),
        (b"<html>not a wav</html>", 22, Sound(trouble="broken")),
        (wav(100)[:30], 30, Sound(trouble="broken")),
        (wav(32000, codec=0x31), 44 + 32000, Sound(rate=8000, trouble="codec")),
    ],
)
def test_wav(head: bytes, size: int, sound: Sound) -> None:
    assert audio.wav(head, size) == sound


def test_mp3() -> None:
    frame = bytes.fromhex("ffe388c4") + bytes(284)  # MPEG 2.5, layer III, 64 kbit/s, 8000 Hz, mono
    assert audio.mp3(frame, 16000) == Sound(2.0, 8000, 64)
    tagged = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + frame
    assert audio.mp3(tagged, 20 + 16000) == Sound(2.0, 8000, 64)
    assert audio.mp3(b"no music", 8) == Sound(trouble="broken")
    assert audio.mp3(b"", 0) == Sound(trouble="empty")
