"""What is seen to before a Daemon is built: its folder. Root."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import FatalError
from daemon.settings import Settings


def data_folder(settings: Settings) -> Path:
    """Make the data directory. Raises FatalError where that can't be."""
    folder = settings.node.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"the data directory {folder} can't be made: {error.strerror}") from error
    return folder
