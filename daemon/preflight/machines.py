"""Checks of other machines over SSH: login, and an Asterisk's files there. Service."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.directory.loader import FILES
from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import mend, place_of, reached
from daemon.preflight.report import Check
from daemon.settings import AsteriskSettings, PeerSettings, ServerSettings
from ssh.transfer import Files

_TIMEOUT = 5.0
_MOST_BYTES = 64 * 1024 * 1024


def login(kind: str, machine: PeerSettings | ServerSettings) -> Check:
    """Connect, verify the host key, log in. `kind` is "peer" or "server"."""
    what = f"SSH {kind} {machine.name}"
    where = f"{machine.user}@{machine.host}:{machine.port}"
    try:
        with reached(place_of(machine, _TIMEOUT)):
            return Check(what, where, True, "host key and login are well")
    except (TransientError, PermanentError) as error:
        return Check(what, where, False, str(error), mend(error, f"{kind}.{machine.name}"))


def files(
    asterisk: AsteriskSettings, server: ServerSettings, definitions: Callable[[Path], Check]
) -> Iterator[Check]:
    """An Asterisk's files on a server; `definitions` reads them from a folder of copies."""
    key = f"asterisk.{asterisk.name}"
    try:
        with tempfile.TemporaryDirectory() as folder, reached(place_of(server, _TIMEOUT)) as connection:
            there = Files(connection)
            for name in FILES.values():
                path = str(asterisk.definitions / name)
                if there.stat(path) is not None:
                    there.get(path, Path(folder) / name, deadline=30.0, most=_MOST_BYTES)
            yield definitions(Path(folder))
            if asterisk.recordings is not None:
                found = there.stat(str(asterisk.recordings))
                yield _there("recordings", asterisk.recordings, found is not None and found.folder, key)
            if asterisk.cdr is not None:
                known = there.stat(str(asterisk.cdr)) or there.stat(str(asterisk.cdr.parent))
                yield _there("CDR", asterisk.cdr, known is not None, key)
    except (TransientError, PermanentError) as error:
        where = f"{asterisk.name} on {server.name}"
        yield Check("files over SSH", where, False, str(error), mend(error, f"server.{server.name}"))


def _there(what: str, path: Path, ok: bool, key: str) -> Check:
    if ok:
        return Check(what, str(path), True, "there, over SSH")
    return Check(what, str(path), False, "not there", f'correct {key}.{what.lower()}, or set it to ""')
