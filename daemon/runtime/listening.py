"""A TCP socket that listens, or a FatalError that says what to mend. Adapter."""

from __future__ import annotations

import errno
import socket

from daemon.errors import FatalError


def listening(who: str, key: str, host: str, port: int, backlog: int) -> socket.socket:
    """A socket on `host` (a name or an address, IPv6 without brackets) and `port` (0: any free one).

    `who` listens, as `key` of the configuration says: both are for the error's sentence.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise FatalError(_sentence(who, key, place(host, port), error)) from error
    return listener


def place(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets.

    >>> place("::1", 1101)
    '[::1]:1101'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def place_of(listener: socket.socket) -> str:
    """Where it listens."""
    host, port = listener.getsockname()[:2]
    return place(host, port)


def _sentence(who: str, key: str, where: str, error: OSError) -> str:
    mends = {
        errno.EADDRINUSE: "another program (perhaps another arimonitor) listens there: "
        f"stop it, or set {key} to another port",
        errno.EADDRNOTAVAIL: f"this machine has no such address: correct {key}",
        errno.EACCES: f"a port below 1024 needs root: set {key} to a higher one",
    }
    mend = mends.get(error.errno or 0, f"correct {key}")
    return f"{who} can't listen on {where}: {error.strerror or error}; {mend}"
