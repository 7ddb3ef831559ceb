"""The ZIP of a request: recordings under readable names, a list of them, a list of what is missing. Adapter.

Stored, not deflated (an MP3 does not shrink), written as a stream, the same
bytes for the same recordings: order, names and times are the recordings' own.
For a native thread: `Packer.step` does a bounded piece of it.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from daemon.recordings.model import LeftOut
from daemon.recordings.reasons import left_out

PIECE: Final = 32 * 1024 * 1024
"""Bytes of one step."""
_CHUNK: Final = 1 << 20
_FILES: Final = 200
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z+#]")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_HEADS: Final = {
    "pt": ("data", "hora", "origem", "destino", "segundos", "arquivo", "bytes", "original"),
    "en": ("date", "time", "origin", "destiny", "seconds", "file", "bytes", "original"),
}
_MISSING: Final = {"pt": "nao-incluidas.txt", "en": "not-included.txt"}


class Item(msgspec.Struct, frozen=True):
    """One recording to pack: `path` is its MP3, of `bytes`; `original` its name in the store."""

    path: str
    bytes: int
    origin: str
    destiny: str
    started: datetime
    seconds: float | None
    original: str


class BadFile(Exception):
    """Item number `at` can't be read to its end: it is left out, and the packing begins anew."""

    def __init__(self, at: int, code: str) -> None:
        super().__init__(code)
        self.at = at
        self.code = code


def member_names(items: Sequence[Item]) -> list[str]:
    """Date, time, origin and destiny, safe on every system; a number where two are the same."""
    seen: dict[str, int] = {}
    found = []
    for item in items:
        parties = [_UNSAFE.sub("_", party)[:40] for party in (item.origin, item.destiny) if party]
        name = "_".join([item.started.strftime("%Y-%m-%d_%Hh%Mm%S"), *parties])
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name}.mp3" if seen[name] == 1 else f"{name}_({seen[name]}).mp3")
    return found


def index_csv(items: Sequence[Item], members: Sequence[str], language: str) -> bytes:
    """What is in it, as Excel in Brazil opens it: BOM, semicolons, CRLF. No cell can be a formula."""
    text = io.StringIO()
    table = csv.writer(text, delimiter=";", lineterminator="\r\n")
    table.writerow(_HEADS[_tongue(language)])
    for item, member in zip(items, members, strict=True):
        day = item.started.strftime("%d/%m/%Y" if _tongue(language) == "pt" else "%Y-%m-%d")
        seconds = "" if item.seconds is None else str(round(item.seconds))
        cells = (
            day,
            f"{item.started:%H:%M:%S}",
            item.origin,
            item.destiny,
            seconds,
            member,
            str(item.bytes),
            item.original,
        )
        table.writerow([_cell(cell) for cell in cells])
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")


def missing_list(missing: Sequence[LeftOut], language: str) -> bytes:
    """What could not be included and why, a line each."""
    lines = [f"{each.name}: {left_out(each.reason, language)}\r\n" for each in missing]
    return b"\xef\xbb\xbf" + "".join(lines).encode("utf-8", "backslashreplace")


def _cell(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA) else text


def _tongue(language: str) -> str:
    return "pt" if language.startswith("pt") else "en"


class Packer:
    """Writes one ZIP to `path`, in steps. OSError: the disk. BadFile: see there."""

    def __init__(self, path: str, items: Sequence[Item], missing: Sequence[LeftOut], language: str) -> None:
        self._path = path
        self._items = tuple(items)
        self._missing = tuple(missing)
        self._language = language
        self._members = member_names(items)
        self._next = 0
        self._zip: zipfile.ZipFile | None = None

    def step(self) -> bool:
        """A piece of the work; True: there is more."""
        archive = self._zip or self._open()
        left, files = PIECE, _FILES
        while self._next < len(self._items) and left > 0 and files > 0:
            item = self._items[self._next]
            self._add(archive, self._next, item)
            self._next += 1
            left -= item.bytes
            files -= 1
        if self._next < len(self._items):
            return True
        self._finish(archive)
        return False

    def abandon(self) -> None:
        """Close without an end."""
        if self._zip is not None:
            archive, self._zip = self._zip, None
            if archive.fp is not None:
                archive.fp.close()
            archive.fp = None  # else its finalizer writes a directory after all

    def _open(self) -> zipfile.ZipFile:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self._zip = zipfile.ZipFile(os.fdopen(descriptor, "w+b"), "w", zipfile.ZIP_STORED)
        return self._zip

    def _add(self, archive: zipfile.ZipFile, at: int, item: Item) -> None:
        try:
            source = open(item.path, "rb")  # noqa: SIM115 - what goes wrong here is told apart from writing
        except FileNotFoundError as error:
            raise BadFile(at, "gone") from error
        except OSError as error:
            raise BadFile(at, "unreadable") from error
        with source, archive.open(_info(self._members[at], item.started, item.bytes), "w") as target:
            left = item.bytes
            while left > 0:
                try:
                    data = source.read(min(left, _CHUNK))
                except OSError as error:
                    raise BadFile(at, "unreadable") from error
                if not data:
                    raise BadFile(at, "growing")
                target.write(data)
                left -= len(data)

    def _finish(self, archive: zipfile.ZipFile) -> None:
        last = max((item.started for item in self._items), default=datetime(1980, 1, 1))  # noqa: DTZ001
        table = index_csv(self._items, self._members, self._language)
        with archive.open(_info("index.csv", last, len(table)), "w") as target:
            target.write(table)
        if self._missing:
            text = missing_list(self._missing, self._language)
            with archive.open(_info(_MISSING[_tongue(self._language)], last, len(text)), "w") as target:
                target.write(text)
        file = archive.fp
        archive.close()
        self._zip = None
        if file is not None:
            file.flush()
            os.fsync(file.fileno())
            file.close()


def _info(name: str, started: datetime, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, max(started.timetuple()[:6], (1980, 1, 1, 0, 0, 0)))
    info.create_system, info.external_attr, info.file_size = 3, 0o100644 << 16, size
    return info


class Member(msgspec.Struct, frozen=True):
    """Where a member's bytes are in the ZIP. For a stored member these are the file itself."""

    name: str
    offset: int
    bytes: int


def member(path: str, number: int) -> Member | None:
    """Member `number` (from 1) of a ZIP that we made; None: it has no such recording. OSError, BadZipFile."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if not 1 <= number <= len(infos) or not infos[number - 1].filename.endswith(".mp3"):
            return None
        info = infos[number - 1]
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        sizes = file.read(4)
    names = int.from_bytes(sizes[:2], "little") + int.from_bytes(sizes[2:], "little")
    return Member(info.filename, info.header_offset + 30 + names, info.file_size)
