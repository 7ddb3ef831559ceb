"""The product's log is for people; of a run only what it did not expect is looked at (Mistakes)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    log = logging.getLogger("arimonitor")
    level, propagate = log.level, log.propagate
    log.setLevel(logging.ERROR)
    log.propagate = False
    yield
    log.setLevel(level)
    log.propagate = propagate
