"""MACCHANGE: an extension moves to another phone, by the phones' provisioning files on a server. Adapter.

    1 begun     the journal says what is meant: hashes of the old and the new content
    2 written   the new phone's file is there (temporary name, read back, renamed)
    3 kept      the old phone's file has its name no more: it is NAME.bak-REQUESTID
    4 moved     the journal says that all of it is done
    5 told      the phone was told to fetch its file, where there is a command for it

Killed anywhere and run again it ends in one of two states: moved, or all as it
was. A step that the server refuses undoes those before it. No file of somebody
else is ever replaced or removed: what is ours is known by its hash.

The journal is on the disk of the node that began. Where that node is lost,
another one finds out from the server (`_found`): the backup's name has the
request's id, and the new file must be what the old one makes. It then goes on
as if the journal were its own. What fits neither is left for a person.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.errors import ArimonitorError, RequestError, TransientError
from daemon.jobs.journal import Journal
from daemon.jobs.model import ExtensionMoved, Request
from daemon.jobs.provisioning import belongs, file_name, is_extension, is_mac, with_mac
from daemon.jobs.servers import REFUSED, choose, last_words, session
from daemon.machines.reach import Reach, reached
from daemon.settings import ServerSettings, Settings
from ssh.connection import Connection
from ssh.errors import AlreadyThere, NoSuchFile, SshError, SshRefused
from ssh.remote import run
from ssh.transfer import Files

log = logging.getLogger("arimonitor.jobs")

STEPS: Final = ("begun", "written", "kept", "moved", "told")
"""What `passed` is called with, in this order."""
_MOST_BYTES: Final = 1024 * 1024
_NOTIFY_SECONDS: Final = 15.0
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class _Move:
    """What is asked for, validated, and the paths on the server."""

    request_id: str
    extension: str
    mac_old: str
    mac_new: str
    server: ServerSettings
    old: str
    new: str

    @property
    def backup(self) -> str:
        return f"{self.old}.bak-{self.request_id}"

    @property
    def temporary(self) -> str:
        return f".{self.new.rpartition('/')[2]}.{self.request_id}.part"


@dataclass(slots=True)
class _Done:
    """Which steps are this run's own, or were found done by an earlier one: only they are undone."""

    written: bool = False
    kept: bool = False


class MacChange:
    """The work of MACCHANGE. `passed` is called after each step: a test ends the process there.

    `begun_by` gives the node from which a request was taken over, "" where it was not. `reach` opens a
    connection.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        passed: Callable[[str], object] = str,
        begun_by: Callable[[str], str] = lambda _: "",
        reach: Reach = reached,
    ) -> None:
        self._settings = settings
        self._passed = passed
        self._begun_by = begun_by
        self._reach = reach

    def __call__(self, request: Request, folder: Path) -> ExtensionMoved:
        """Move it. Raises RequestError (all is as it was) and TransientError; run again it ends the same."""
        move = _understood(request, self._settings())
        journal = Journal(folder, "macchange.json")
        known = journal.read()
        if known.get("state") != "moved":
            try:
                with session(move.server, self._reach) as connection:
                    known = self._move(Files(connection), move, journal, known)
            except RequestError as error:
                lost = self._begun_by(move.request_id)
                if error.code != REFUSED or (known.get("state") != "begun" and not lost):
                    raise
                # An earlier run has begun something there: it is not told that all is as it was.
                raise TransientError(f"the move has begun, and can't be ended now: {error}") from error
        if "told" not in known:
            known = {**known, "told": _notified(move, self._reach)}
            journal.write(known)
        self._passed("told")
        return ExtensionMoved(
            move.extension, move.server.name, move.mac_old, move.mac_new, bool(known["told"])
        )

    def abandon(self, request: Request, folder: Path) -> bool:
        """Undo what is left of a move that is given up. False: it can't be undone now; `folder` must stay."""
        journal = Journal(folder, "macchange.json")
        try:
            known = journal.read()
            lost = "" if known else self._begun_by(request.request_id)
            if known.get("state") != "begun" and not lost:
                return True
            move = _understood(request, self._settings())
            with session(move.server, self._reach) as connection:
                files = Files(connection)
                known = known or _found(files, move, lost)
                return not known or self._undo(files, move, journal, known, _Done(True, True))
        except (RequestError, TransientError) as error:
            log.error("request %s may have left a half move behind: %s", request.request_id, error)
            return False

    def _move(
        self, files: Files, move: _Move, journal: Journal, known: dict[str, object]
    ) -> dict[str, object]:
        content, done = b"", _Done()
        if not known and (lost := self._begun_by(move.request_id)):
            known = _found(files, move, lost)
            if known:
                journal.write(known)
        if known.get("state") == "begun" and _goes_on(files, move, known):
            done.written, done.kept = True, _sha256(files, move.old) is None
        else:
            known, content = _planned(files, move)
            journal.write(known)
        self._passed("begun")
        try:
            if content:
                _write(files, move, known, content)
                done.written = True
            self._passed("written")
            done.kept = _keep_old(files, move, known) or done.kept
            self._passed("kept")
        except (SshError, RequestError):
            self._undo(files, move, journal, known, done)
            raise
        known = {**known, "state": "moved"}
        journal.write(known)
        log.info(
            "the extension %s moved from %s to %s on %s, the old file is %s request=%s",
            move.extension, move.mac_old, move.mac_new, move.server.name, move.backup, move.request_id,
        )  # fmt: skip
        self._passed("moved")
        return known

    def _undo(
        self, files: Files, move: _Move, journal: Journal, known: dict[str, object], done: _Done
    ) -> bool:
        """Back to how it was, as far as it is ours; False: the server is away, the next run sees to it.

        A node that was frozen may find what it did not do itself: the one that took its request over has
        ended the move, and told it.
        """
        try:
            if done.kept:
                _end_rename(files, move, known)
                if _sha256(files, move.old) is None and _sha256(files, move.backup) == known["old"]:
                    files.rename(move.backup, move.old)
            left = done.written and _sha256(files, move.old) is not None
            if left and _sha256(files, move.new) == known["new"]:
                files.remove(move.new)
            with contextlib.suppress(SshRefused):  # where we may not write, there is none
                files.remove(f"{move.new.rpartition('/')[0]}/{move.temporary}")
        except SshError as error:
            log.warning("what was begun stays until %s is tried again: %s", move.request_id, error)
            return False
        journal.write({"state": "undone"})
        log.warning("the move of extension %s was undone request=%s", move.extension, move.request_id)
        return True


def _write(files: Files, move: _Move, known: dict[str, object], content: bytes) -> None:
    mode = known["mode"] if isinstance(known["mode"], int) else 0o640
    try:
        files.write_new(move.new, content, mode=mode, temporary=move.temporary)
    except AlreadyThere as error:
        if _sha256(files, move.new) == known["new"]:
            return  # the node that was thought lost goes on with the same request: to the same end
        raise RequestError(
            f"{move.new} was made by somebody else meanwhile", "mac-taken",
            mac=move.mac_new, server=move.server.name,
        ) from error  # fmt: skip


def _keep_old(files: Files, move: _Move, known: dict[str, object]) -> bool:
    """The old file gets its other name, if it is still the one that was looked at; False: it has it."""
    old = _sha256(files, move.old)
    try:
        if old == known["old"]:
            files.rename(move.old, move.backup)
            return True
    except AlreadyThere as error:
        raise _changed_meanwhile(move) from error
    if old is not None or _sha256(files, move.backup) != known["old"]:
        raise _changed_meanwhile(move)
    return False


def _changed_meanwhile(move: _Move) -> RequestError:
    return RequestError(
        f"the files of {move.mac_old} or {move.mac_new} were changed meanwhile", "changed-meanwhile",
        extension=move.extension,
    )  # fmt: skip


def _understood(request: Request, settings: Settings) -> _Move:
    """The request, validated again: nothing else of it goes to the server."""
    said = request.parameters
    extension, old, new = said.get("ramal", ""), said.get("mac_atual", ""), said.get("mac_futuro", "")
    if not is_extension(extension):
        raise RequestError("no extension", "extension-invalid", extension=extension[:64])
    for mac in (old, new):
        if not is_mac(mac):
            raise RequestError("no MAC", "mac-invalid", mac=mac[:64])
    if old == new:
        raise RequestError("the two MACs are the same", "mac-same", mac=old)
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise RequestError(f"{request.request_id[:80]!r} is no request id", "request-id-invalid")
    server = choose(request, settings)
    if server.provisioning_dir is None:
        raise RequestError(
            f"server.{server.name}.provisioning_dir is not set", "server-without-ssh", server=server.name
        )
    folder, pattern = str(server.provisioning_dir), server.provisioning_pattern
    return _Move(
        request.request_id,
        extension,
        old,
        new,
        server,
        f"{folder}/{file_name(pattern, old)}",
        f"{folder}/{file_name(pattern, new)}",
    )


def _found(files: Files, move: _Move, lost: str) -> dict[str, object]:
    """The journal of a lost node, as the server tells it; empty: nothing of the move is there.

    Raises RequestError where it can't be told what was begun.
    """
    source = move.old if _sha256(files, move.old) is not None else move.backup
    there, new = files.stat(source), _sha256(files, move.new)
    if there is None or (new is None and source == move.old and _sha256(files, move.backup) is None):
        return {}
    unclear = RequestError(
        f"what {lost} began can't be told: see to {move.old}, {move.backup} and {move.new}", "move-unclear",
        mac_old=move.mac_old, mac_new=move.mac_new, server=move.server.name,
    )  # fmt: skip
    if not there.regular:
        raise unclear
    content = files.read(source, most=_MOST_BYTES)
    found: dict[str, object] = {
        "state": "begun", "old": _hash(content), "new": _hash(_changed(content, move)), "mode": there.mode
    }  # fmt: skip
    if new != found["new"] or _sha256(files, move.backup) not in (None, found["old"]):
        raise unclear
    log.warning("what %s began is found on %s: request=%s", lost, move.server.name, move.request_id)
    return found


def _planned(files: Files, move: _Move) -> tuple[dict[str, object], bytes]:
    """What is to be done, if it may be; and the new content. Raises RequestError."""
    there = files.stat(move.old)
    if there is None or not there.regular:
        raise RequestError(
            f"{move.old} is not there", "mac-without-file", mac=move.mac_old, server=move.server.name
        )
    if files.stat(move.new) is not None:
        raise RequestError(
            f"{move.new} is there already", "mac-taken", mac=move.mac_new, server=move.server.name
        )
    content = files.read(move.old, most=_MOST_BYTES)
    if not belongs(content, move.extension, move.server.provisioning_extension):
        raise RequestError(
            f"{move.old} does not name the extension", "mac-of-another",
            mac=move.mac_old, extension=move.extension,
        )  # fmt: skip
    changed = _changed(content, move)
    plan = {"state": "begun", "old": _hash(content), "new": _hash(changed), "mode": there.mode}
    return plan, changed


def _goes_on(files: Files, move: _Move, known: dict[str, object]) -> bool:
    """Whether an earlier run can be gone on with; False: nothing of it is there, begin anew.

    Raises RequestError where somebody changed the files meanwhile; what was ours is undone then.
    """
    _end_rename(files, move, known)
    old, backup = _sha256(files, move.old), _sha256(files, move.backup)
    ours = _sha256(files, move.new) == known["new"]
    if ours and (old, backup) in ((known["old"], None), (None, known["old"])):
        files.remove(f"{move.new.rpartition('/')[0]}/{move.temporary}")
        return True
    if backup is None and not ours:
        return False
    if old is None and backup == known["old"]:
        files.rename(move.backup, move.old)
        old = backup
    if ours and old is not None:
        files.remove(move.new)
    raise _changed_meanwhile(move)


def _end_rename(files: Files, move: _Move, known: dict[str, object]) -> None:
    """OpenSSH renames by a link and an unlink: where it died between the two, the file has both names."""
    if _sha256(files, move.old) == _sha256(files, move.backup) == known["old"]:
        files.remove(move.backup)


def _notified(move: _Move, reach: Reach) -> bool:
    """Whether the phone could be told; that it could not is no failure: it fetches at its next start."""
    if not move.server.notify_command:
        return False
    argv = [word.replace("{extension}", move.extension) for word in move.server.notify_command]
    try:
        with session(move.server, reach) as connection:
            return _told(connection, argv, move)
    except (ArimonitorError, SshError) as error:
        log.warning("the phone of %s could not be told: %s", move.extension, error)
        return False


def _told(connection: Connection, argv: list[str], move: _Move) -> bool:
    output = run(connection, argv, seconds=_NOTIFY_SECONDS)
    if output.status:
        log.warning("the phone of %s could not be told: %s", move.extension, last_words(output))
    return not output.status


def _changed(content: bytes, move: _Move) -> bytes:
    upper = "{MAC" in move.server.provisioning_pattern
    return with_mac(content, move.mac_old, move.mac_new, move.server.provisioning_mac, upper=upper)


def _sha256(files: Files, path: str) -> str | None:
    """None: nothing is there; "": something that is none of ours."""
    there = files.stat(path)
    if there is None:
        return None
    if not there.regular or there.size > _MOST_BYTES:
        return ""
    try:
        return _hash(files.read(path, most=_MOST_BYTES))
    except NoSuchFile:
        return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
