"""Free ports for the servers of the tests.

Not those that the kernel gives away by itself, to whoever connects and to whoever listens on port 0: until
its server listens, and while a server is down that is to come back, such a port may go to any connection of
any program. A process takes a block of other ports for itself and holds it by a socket with the block's name:
parts of the tests run beside one another.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

_FIRST, _SIZE, _BLOCKS = 20_000, 500, 25  # up to 32,499: Linux gives away ports from 32,768 on
_held: list[socket.socket] = []


def _block() -> Iterator[int]:
    """The ports of a block that no other process has, again and again."""
    for number in range(_BLOCKS):
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0arimonitor-test-ports-{number}")
        except OSError:
            name.close()
        else:
            _held.append(name)
            first = _FIRST + number * _SIZE
            return itertools.cycle(range(first, first + _SIZE))
    raise RuntimeError("every block of ports for tests is taken: so many tests run at once?")


_ports: Iterator[int] | None = None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """A port of `host` that nobody uses now; given to no other process of tests, and to this one not soon."""
    global _ports
    if _ports is None:
        _ports = _block()
    for port in itertools.islice(_ports, _SIZE):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"no port of {host} can be used")
