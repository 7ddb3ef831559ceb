"""What the first bytes of a WAV or an MP3 say: length, rate, whether it was closed properly. Pure.

Sources: RIFF/WAVE (Multimedia Programming Interface 1.0, 1991); the MPEG audio
frame header (ISO/IEC 11172-3 and 13818-3; MPEG 2.5 by its makers); the Xing
header of LAME.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import msgspec

HEAD: Final = 8192
"""Bytes of a file's beginning that are enough here."""

Trouble = Literal["", "empty", "unfinished", "broken", "codec"]

_PCM: Final = (1, 6, 7, 0xFFFE)  # PCM, a-law, u-law, extensible
_BITRATES: Final = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class Sound(msgspec.Struct, frozen=True):
    """`rate` in Hz, `kbits` in kbit/s (of an MP3); `trouble` says why it can't be used."""

    seconds: float | None = None
    rate: int = 0
    kbits: int = 0
    trouble: Trouble = ""


def wav(head: bytes, size: int) -> Sound:
    """A WAV of `size` bytes that begins with `head`. Asterisk fills in its lengths when it closes it."""
    if size == 0:
        return Sound(trouble="empty")
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return Sound(trouble="unfinished" if b"RIFF".startswith(head[:4]) and size < 12 else "broken")
    at, rate, per_second, codec = 12, 0, 0, 0
    while at + 8 <= len(head):
        name, length = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt " and at + 16 <= len(head):
            codec, _, rate, per_second = struct.unpack_from("<HHII", head, at)
        elif name == b"data":
            return _wav_data(size - at, length, rate, per_second, codec)
        at += length + length % 2
    return Sound(trouble="broken")


def _wav_data(there: int, told: int, rate: int, per_second: int, codec: int) -> Sound:
    if codec not in _PCM:
        return Sound(rate=rate, trouble="codec")
    if not rate or not per_second:
        return Sound(trouble="broken")
    if told == 0:
        return Sound(rate=rate, trouble="unfinished" if there > 0 else "empty")
    if told > there:
        return Sound(rate=rate, trouble="unfinished")
    return Sound(told / per_second, rate)


def mp3(head: bytes, size: int) -> Sound:
    """An MP3 of `size` bytes that begins with `head`, of a constant rate or with a Xing header."""
    if size == 0:
        return Sound(trouble="empty")
    begin = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        begin = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
        )
        if begin >= len(head):
            return Sound()  # a picture in front: it may be well, but how long it is stays unknown
    for at in range(begin, min(len(head) - 4, begin + 4096)):
        if head[at] == 0xFF and (frame := _frame(head, at)) is not None:
            return _length(head, at, size - at, *frame)
    return Sound(trouble="broken")


def _frame(head: bytes, at: int) -> tuple[int, int, int, int] | None:
    """version, rate, kbit/s and channels of a layer III frame."""
    word = int.from_bytes(head[at : at + 4], "big")
    version, layer = word >> 19 & 3, word >> 17 & 3
    bits, rate = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or bits in (0, 15) or rate == 3:
        return None
    kbits = _BITRATES[1 if version == 3 else 2][bits]
    return version, _RATES[version][rate], kbits, 1 if word >> 6 & 3 == 3 else 2


def _length(head: bytes, at: int, left: int, version: int, rate: int, kbits: int, channels: int) -> Sound:
    side = (17 if channels == 1 else 32) if version == 3 else (9 if channels == 1 else 17)
    mark = at + 4 + side
    if head[mark : mark + 4] in (b"Xing", b"Info") and len(head) >= mark + 12 and head[mark + 7] & 1:
        frames = int.from_bytes(head[mark + 8 : mark + 12], "big")
        seconds = frames * (1152 if version == 3 else 576) / rate
        if head[mark : mark + 4] == b"Xing" and seconds:
            kbits = round(left * 8 / seconds / 1000)
        return Sound(seconds, rate, kbits)
    return Sound(left * 8 / (kbits * 1000), rate, kbits)
