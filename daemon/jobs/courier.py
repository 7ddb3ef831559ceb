"""Puts a request's file into the other node's queue over SSH: whole, once, replacing nothing. Adapter.

    pending/.RID.json.NODE.TRY.part  -->  written, synced, read back, renamed  -->  pending/RID.json

It may be repeated as often as one likes: what is in any folder of the queue
there already is not sent again. What a killed process left half written is no
request; the peer takes it away at its next start (Spool.prepare).
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from daemon.errors import PermanentError, TransientError
from daemon.jobs import requestfile
from daemon.jobs.model import Record
from daemon.jobs.spool import FOLDERS
from daemon.machines.reach import Reach, place_of, reached
from daemon.settings import PeerSettings, Settings
from ssh.errors import AlreadyThere
from ssh.transfer import Files

log = logging.getLogger("arimonitor.courier")

TIMEOUT: Final = 5.0
"""Seconds for each step of a connection: a peer that is away is not waited for long."""
_SAME: Final = (
    "request_id", "command", "from_email", "parameters", "audios_from", "server", "message_id", "language",
)  # fmt: skip
"""What makes two files the same request; where it stands (status, tries, times) is the owner's to say."""


class Courier:
    """One for the node; many greenlets may `send` at once, each over a connection of its own."""

    def __init__(self, settings: Settings, *, timeout: float = TIMEOUT, reach: Reach = reached) -> None:
        self._peers = {peer.name: peer for peer in settings.peer}
        self._node = settings.node.name
        self._queue = settings.queue.dir
        self._zone = ZoneInfo(settings.node.timezone)
        self._timeout = timeout
        self._reach = reach
        self.sent = 0

    def send(self, record: Record, peer: str) -> None:
        """The request's file is in the queue of the node `peer` when this returns, whole and synced.

        TransientError: it can't be reached, or its operator has something to
        mend first (login, rights, disk). PermanentError: no such [[peer]], or
        another request has that id there.
        """
        there = self._peers.get(peer)
        if there is None:
            raise PermanentError(f"there is no [[peer]] {peer!r}: nothing can be sent to it")
        data = requestfile.encode(record, self._zone, brought_by=self._node)
        try:
            self._put(there, record.request.request_id, data)
        except _OtherRequest as error:
            raise PermanentError(str(error)) from error
        except PermanentError as error:
            raise TransientError(str(error)) from error

    def _put(self, peer: PeerSettings, request_id: str, data: bytes) -> None:
        queue = Path(peer.queue_dir or self._queue)
        with self._reach(place_of(peer, self._timeout)) as connection:
            files = Files(connection)
            if _is_there(files, queue, request_id, data):
                return
            path = str(queue / "pending" / f"{request_id}.json")
            # A name per try: two that wrote under one could cut what the other is about to rename.
            temporary = f".{request_id}.json.{self._node}.{secrets.token_hex(4)}.part"
            try:
                files.write_new(path, data, mode=0o640, temporary=temporary)
            except AlreadyThere:
                if not _is_there(files, queue, request_id, data):  # it came meanwhile, and went
                    raise TransientError(f"{connection.place}: {path} comes and goes") from None
        self.sent += 1
        log.info("request %s is in the queue of %s", request_id, peer.name)

    def status(self) -> Mapping[str, object]:
        """Numbers."""
        return {"sent": self.sent}


class _OtherRequest(Exception):
    pass


def _is_there(files: Files, queue: Path, request_id: str, data: bytes) -> bool:
    """Whether that request's file is in one of the folders. Raises _OtherRequest."""
    for folder in FOLDERS:
        path = str(queue / folder / f"{request_id}.json")
        if files.stat(path) is None:
            continue
        if _request(files.read(path, most=requestfile.MAX_BYTES)) != _request(data):
            raise _OtherRequest(
                f"{files.place}: {path} is there already, with another content: it is not replaced;"
                " look at both, and take one away"
            )
        return True
    return False


def _request(data: bytes) -> object:
    """What the file asks for; a file that can't be read is equal to nothing but itself."""
    try:
        value: Any = json.loads(data)
        return {key: value.get(key) for key in _SAME}
    except (ValueError, AttributeError, RecursionError):
        return data
