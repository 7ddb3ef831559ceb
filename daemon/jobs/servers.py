"""On which [[server]] a command works, and a connection to it. Adapter.

What SSH refuses becomes a RequestError (nothing was done there; somebody must
mend it first), what may work later a TransientError.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

from daemon.errors import PermanentError, RequestError
from daemon.jobs.model import Request
from daemon.machines.reach import Reach, place_of, reached
from daemon.settings import ServerSettings, Settings
from ssh.connection import Connection, Output
from ssh.errors import SshError
from ssh.remote import run

REFUSED = "server-refused"
"""The code of what the server did not let us do; nothing was done there."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def choose(request: Request, settings: Settings) -> ServerSettings:
    """The server that was named, else the sender's only one, else the only one with a host.

    Raises RequestError: which-server, server-not-known, server-without-ssh.
    """
    by_name = {server.name: server for server in settings.server}
    usable = [server.name for server in settings.server if server.host]
    name = request.server or request.parameters.get("server", "")
    if not name:
        own = _of_sender(request, settings)
        candidates = [each for each in usable if each in own] if own else usable
        if len(candidates) != 1:
            listed = ", ".join(candidates or usable)
            raise RequestError("the request names no server", "which-server", servers=listed)
        name = candidates[0]
    server = by_name.get(name)
    if server is None:
        listed = ", ".join(usable)
        raise RequestError(
            f"there is no [[server]] {name!r}", "server-not-known", server=name[:64], servers=listed
        )
    if not server.host:
        raise RequestError(f"server.{name}.host is not set", "server-without-ssh", server=name)
    return server


def _of_sender(request: Request, settings: Settings) -> tuple[str, ...]:
    address = request.from_email.casefold()
    for sender in settings.mail.sender:
        if sender.address.casefold() == address:
            return sender.servers
    return ()


@contextlib.contextmanager
def session(server: ServerSettings, reach: Reach = reached) -> Iterator[Connection]:
    """A connection for the block. Raises TransientError, and RequestError for what was refused."""
    try:
        with reach(place_of(server)) as connection:
            yield connection
    except RequestError:
        raise
    except PermanentError as error:
        if not isinstance(error.__cause__, SshError):
            raise
        raise RequestError(str(error), REFUSED, server=server.name) from error


def execute(connection: Connection, argv: Sequence[str], *, seconds: float = 20.0) -> Output:
    """Run a program there; its status may be anything but "not found" and "no permission"."""
    output = run(connection, argv, seconds=seconds)
    if output.status in (126, 127) or _asks_password(output):
        raise RequestError(
            f"{connection.place}: {argv[0]} can't be run: {last_words(output)}",
            "server-command",
            server=connection.place.name,
            program=argv[0],
        )
    return output


def _asks_password(output: Output) -> bool:
    return output.status == 1 and output.stderr.lstrip().startswith(b"sudo:")


def last_words(output: Output) -> str:
    """What a program said last, fit for a log line."""
    lines = (output.stderr.strip() or output.stdout.strip()).decode("utf-8", "replace").splitlines()
    words = _CONTROL.sub(" ", lines[-1])[:300] if lines else "it said nothing"
    return f"{words} (status {output.status})"
