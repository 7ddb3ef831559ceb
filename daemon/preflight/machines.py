"""Checks of other machines over SSH: login, and an Asterisk's files there. Service."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import SecretStr

from daemon.directory.loader import FILES
from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import mend, place_of, reached
from daemon.preflight.report import Check
from daemon.recordings import links
from daemon.recordings.published import KEY_CHECK
from daemon.settings import AsteriskSettings, PeerSettings, ServerSettings, Settings
from ssh.errors import SshError
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


def peer_folders(settings: Settings, peer: PeerSettings) -> Iterator[Check]:
    """Whether requests and publications can be put there, and whether links are signed alike."""
    data_dir = peer.data_dir or settings.node.data_dir
    places = {
        "queue_dir": (peer.queue_dir or settings.queue.dir) / "pending",
        "publish_dir": peer.publish_dir or settings.recordings.publish_dir,
        "data_dir": data_dir / "published",
    }
    if settings.recordings.link_key is None:
        mend = 'set it to the same on both nodes, such as the output of "openssl rand -hex 32"'
        yield Check("links", "recordings.link_key", True, "not set: links work on one node only", mend)
        places = {"queue_dir": places["queue_dir"]}
    try:
        with reached(place_of(peer, _TIMEOUT)) as connection:
            there = Files(connection)
            for key, folder in places.items():
                yield _writable(there, folder, f"peer.{peer.name}.{key}")
            if settings.recordings.link_key is not None:
                yield _same_key(there, data_dir / "published", settings.recordings.link_key)
    except (TransientError, PermanentError):  # `login` has said it
        return


def _writable(there: Files, folder: Path, key: str) -> Check:
    probe = str(folder / f".check-{secrets.token_hex(4)}")
    try:
        there.make_folder(probe)
        there.remove_folder(probe)
    except SshError as error:
        mend = f"correct {key}, or start that arimonitor, which makes it"
        return Check("folder of peer", f"{there.place.name}:{folder}", False, str(error), mend)
    return Check("folder of peer", f"{there.place.name}:{folder}", True, "writable")


def _same_key(there: Files, notes: Path, key: SecretStr) -> Check:
    path = str(notes / KEY_CHECK)
    where = f"{there.place.name}:recordings.link_key"
    try:
        told = there.read(path, most=1024) if there.stat(path) is not None else b""
    except SshError as error:
        return Check("links", where, False, str(error), "let its user read that file")
    if not told:
        return Check("links", where, True, "unknown", "start that arimonitor, then check again")
    if told != links.check(key.get_secret_value().encode()).encode():
        return Check("links", where, False, "not ours: no link works on both", "give both nodes the same")
    return Check("links", where, True, "the same as here")


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
