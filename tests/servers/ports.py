"""Free ports for the servers of the tests."""

from __future__ import annotations

import socket

_given: set[tuple[int, int]] = set()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """A port of `host` that nobody uses now, and that this process has given to nobody before."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
        if (kind, port) not in _given:
            _given.add((kind, port))
            return port
