"""What is seen to before a Daemon is built: settings that can't be honoured, the folder, the lease. Root."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import ConfigurationError, FatalError
from daemon.settings import Settings
from ha.lockfile import EpochError, LeaseHeldError, LockfileLease


def refuse_what_is_not_here(settings: Settings) -> None:
    """A setting that this version can't honour is refused, not ignored."""
    problems = []
    if settings.ha.backend != "file":
        problems.append("ha.backend = 'zookeeper': this version runs one node; use 'file'")
    if problems:
        raise ConfigurationError(tuple(problems))


def elected(lease: LockfileLease, settings: Settings) -> int:
    """Take the lease; the epoch. Raises FatalError."""
    try:
        return lease.acquire()
    except LeaseHeldError as error:
        raise FatalError(
            f"another arimonitor uses the data directory {settings.node.data_dir}: "
            "stop it, or give this one a node.data_dir of its own"
        ) from error
    except EpochError as error:
        raise FatalError(str(error)) from error


def data_folder(settings: Settings) -> Path:
    """Make the data directory. Raises FatalError where that can't be."""
    folder = settings.node.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(f"the data directory {folder} can't be made: {error.strerror}") from error
    return folder
