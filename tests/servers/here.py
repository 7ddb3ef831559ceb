"""Where a server of the tests runs: on this machine, or on one of the hosts of `hosts`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol


class Place(Protocol):
    """`address`: what it listens on. `prefix` goes before the argv of what runs there."""

    @property
    def address(self) -> str: ...

    @property
    def prefix(self) -> Sequence[str]: ...

    def connect(self, address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        """As socket.create_connection, from there."""

    def listen(self, port: int = 0) -> socket.socket:
        """A listening socket on its address; 0: any free port."""


class Here:
    """This machine, on its loopback."""

    address = "127.0.0.1"
    prefix: Sequence[str] = ()

    def connect(self, address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        """As Place says."""
        return socket.create_connection(address, timeout)

    def listen(self, port: int = 0) -> socket.socket:
        """As Place says."""
        return socket.create_server((self.address, port), backlog=64)


HERE: Place = Here()


def as_user(place: Place, user: str, *argv: str) -> tuple[list[str], dict[str, str]]:
    """The argv of a program that runs as this user, and what Popen is to be told besides; "": as we do."""
    if not user:
        return [*place.prefix, *argv], {}
    if not place.prefix:
        return list(argv), {"user": user, "group": user}
    # Entering a namespace is root's: the user is changed behind it.
    change = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")
    return [*place.prefix, *change, *argv], {}
