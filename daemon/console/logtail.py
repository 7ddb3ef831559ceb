"""The end of a log file, without reading all of it."""

from __future__ import annotations

import os

from daemon.errors import PermanentError

MAX_BYTES = 512 * 1024


def tail(path: str, lines: int) -> list[str]:
    """The last `lines` lines, from at most the last MAX_BYTES. Raises PermanentError: it can't be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - MAX_BYTES)
            file.seek(start)
            found = file.read(MAX_BYTES).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise PermanentError(f"the log {path} can't be read: {error.strerror}") from error
    if start:
        del found[0]
    if found and not found[-1]:
        del found[-1]
    return found[-lines:]
