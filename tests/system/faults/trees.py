"""Copies of the product's packages with a small change: another version, or a bug that must be found.

A change is a piece of text that must be there exactly once, so that none is planted in vain when the
product moves on.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.servers.daemon import REPOSITORY

PACKAGES = ("daemon", "ha", "ssh")


@dataclass(frozen=True, slots=True)
class Change:
    """In `file`, `old` (once) becomes `new`."""

    file: str
    old: str
    new: str


class NotPlanted(ValueError):
    """The text is not there once."""


def copy(folder: Path, *changes: Change) -> Path:
    """The packages in `folder`, changed. Raises NotPlanted."""
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for change in changes:
        path = folder / change.file
        text = path.read_text(encoding="utf-8")
        if (times := text.count(change.old)) != 1:
            raise NotPlanted(f"{change.file} has this {times} times: {change.old!r}")
        path.write_text(text.replace(change.old, change.new), encoding="utf-8")
    return folder


def next_version(folder: Path) -> Path:
    """The same product under the next version's number."""
    from daemon import __version__

    line = f'__version__ = "{__version__}"'
    return copy(folder, Change("daemon/__init__.py", line, f'__version__ = "{__version__}.post1"'))
