"""An Asterisk of a test's or a module's own. Where there can be none, the test is skipped and says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from .server import Asterisk, Unavailable, root_for

A = TypeVar("A", bound=Asterisk)


@contextmanager
def own_asterisk(version: str, work: Path, kind: type[A] = Asterisk) -> Iterator[A]:  # type: ignore[assignment]
    """One that is still to be started; closed in the end."""
    try:
        server = kind(root_for(version), work, version)
    except Unavailable as reason:
        pytest.skip(f"no Asterisk {version}: {reason}")
    try:
        yield server
    finally:
        server.close()
