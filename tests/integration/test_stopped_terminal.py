"""A terminal that nobody reads (Ctrl-S) must never hold the hub up, however its writer came by it."""

from __future__ import annotations

import os
import pty
import sys
import tty
from collections.abc import Iterator

import pytest

from daemon.runtime import native
from tests.servers.waiting import wait_until

LINES = 2_000  # far more than there is room for
# Whether a plain write blocks depends on where a line falls in the kernel's buffer: all lengths are tried.
LENGTHS = range(90, 260, 7)


def written_until_it_is_full(fd: int, line: bytes) -> None:
    """The first is taken; later ones no more, once the kernel has moved on what waits half way."""
    assert native.write_without_waiting(fd, line)
    wait_until(lambda: not all(native.write_without_waiting(fd, line) for _ in range(LINES)), "it is full")


@pytest.fixture
def terminal() -> Iterator[int]:
    reader, writer = pty.openpty()
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo-terminals differ")
@pytest.mark.parametrize("length", LENGTHS)
def test_opened_anew_it_takes_what_it_has_room_for(terminal: int, length: int) -> None:
    fd = native.open_without_waiting(terminal)
    try:
        written_until_it_is_full(fd, b"x" * length + b"\n")
    finally:
        os.close(fd)
    assert os.get_blocking(terminal), "the shell's own descriptor is left as it was"


@pytest.mark.parametrize("length", LENGTHS)
def test_another_users_is_written_to_byte_by_byte(terminal: int, length: int) -> None:
    tty.setraw(terminal)
    assert native.room(terminal) == 1
    written_until_it_is_full(terminal, b"x" * length)
