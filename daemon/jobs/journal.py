"""What one piece of work has begun: a small file, on disk before the effect. Adapter of the file system."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from daemon.errors import TransientError
from daemon.runtime.durable import sync_folder

_MOST_BYTES = 1024 * 1024


class Journal:
    """`folder`/`name`; read and written whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name

    def read(self) -> dict[str, Any]:
        """What was written last; empty where nothing was. Raises TransientError."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise TransientError(f"{self._path} can't be read: {error}") from error
        return found if isinstance(found, dict) else {}

    def write(self, data: dict[str, Any]) -> None:
        """Replace it, and wait until that is on disk. Raises TransientError."""
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
                file.write(json.dumps(data).encode())
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise TransientError(f"{self._path} can't be written: {error.strerror or error}") from error
