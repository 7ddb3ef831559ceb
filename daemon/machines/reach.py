"""A [[server]] or [[peer]] reached over SSH, with the errors of package ssh made the daemon's. Adapter.

    with reached(place_of(server)) as connection:
        remote.run(connection, [...]); Files(connection).get(...)

SshUnreachable is a TransientError, SshRefused a PermanentError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from daemon.errors import PermanentError, TransientError
from daemon.settings import PeerSettings, ServerSettings
from ssh.connection import Connection, Place
from ssh.errors import HostKeyRefused, LoginRefused, SshError, SshRefused

Reach = Callable[[Place], contextlib.AbstractContextManager[Connection]]
"""`reached`, or what a test puts in its place."""

TIMEOUT = 10.0
"""Seconds for each step of a connection."""


def place_of(machine: ServerSettings | PeerSettings, timeout: float = TIMEOUT) -> Place:
    """Where the configuration says that it is."""
    return Place(
        machine.name,
        machine.host,
        machine.port,
        machine.user,
        machine.key_file,
        machine.known_hosts,
        timeout,
        machine.bandwidth,
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of package ssh become TransientError or PermanentError, with the same sentence."""
    try:
        yield
    except SshRefused as error:
        raise PermanentError(str(error)) from error
    except SshError as error:
        raise TransientError(str(error)) from error


@contextlib.contextmanager
def reached(place: Place) -> Iterator[Connection]:
    """A connection for the block. Raises TransientError and PermanentError."""
    with translated(), Connection.open(place) as connection:
        yield connection


def mend(error: BaseException, key: str) -> str:
    """What to do about an error of `reached`; `key` is the machine's, as "server.gv1p"."""
    cause = error.__cause__
    if isinstance(cause, HostKeyRefused):
        return (
            f"compare the fingerprint on that machine, then put its key into {key}.known_hosts (ssh-keyscan)"
        )
    if isinstance(cause, LoginRefused):
        return f"set {key}.key_file, and put its public half into authorized_keys of {key}.user there"
    if isinstance(cause, SshRefused):
        return f"see docs/ssh.md: what {key}.user needs there"
    return f"correct {key}.host and port, or start sshd there; is a firewall between?"
