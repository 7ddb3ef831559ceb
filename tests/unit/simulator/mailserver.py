"""A mail server: folders over IMAP, and SMTP with a folder of what was sent. Ports.

IMAP as Dovecot has it: UIDs are never used again; every change gives a mail a
new MODSEQ; STORE UNCHANGEDSINCE changes nothing where it is newer; MOVE of a
mail that is gone is OK, and so it is no claim. The product's own ImapMailbox
stands before it; only its connection is replaced.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from daemon.errors import TransientError
from daemon.mail.imap_link import Access, Folder, ImapRefused
from daemon.mail.imap_rules import Start, start_note
from daemon.mail.model import Answer
from tests.unit.simulator.node import Node
from tests.unit.simulator.world import START, World, trouble_of

ACCESS = Access("mail.example.com", 993, True, "arimonitor", "")
_STARTS = {uid: start_note("INBOX", Start(1, uid, int(START))) for uid in (1, 1000)}
_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(<[^>]*>)")
_PARTIAL = re.compile(r"BODY\.PEEK\[(HEADER|TEXT)\](?:<(\d+)\.(\d+)>)?")


@dataclass
class Mail:
    """One mail in a folder."""

    raw: bytes
    received: float
    flags: set[str] = field(default_factory=set)
    modseq: int = 0

    @property
    def message_id(self) -> str:
        found = _MESSAGE_ID.search(self.raw)
        return found[1].decode() if found else ""


class MailServer:
    """What is kept there; everything outlives the nodes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folders: dict[str, dict[int, Mail]] = {"INBOX": {}}
        self._uids = itertools.count(1)
        self._modseq = itertools.count(1)
        self.taken: list[Answer] = []
        """Every mail that SMTP took."""
        self.copies: dict[str, bytes] = {}
        self.first_uid(1)

    def first_uid(self, uid: int) -> None:
        """What came before this one was there when we first looked."""
        self.folders["Done"] = {}
        self.put("Done", _STARTS[uid], {r"\Seen"})

    def opened(self) -> None:
        """A person reads all that is new."""
        for mail in self.folders["INBOX"].values():
            self.flag(mail, [r"\Seen"])

    def deliver(self, raw: bytes) -> None:
        """A mail comes."""
        self.put("INBOX", raw, set())

    def put(self, folder: str, raw: bytes, flags: set[str]) -> None:
        kept = self.folders.setdefault(folder, {})
        kept[next(self._uids)] = Mail(raw, self.world.now, set(flags), next(self._modseq))
        self.world.changed()

    def flag(self, mail: Mail, flags: Sequence[str]) -> None:
        if not set(flags) <= mail.flags:
            mail.flags |= set(flags)
            mail.modseq = next(self._modseq)
            self.world.changed(f"mail {mail.message_id} is marked {' '.join(flags)}")

    def ids(self, folder: str) -> list[str]:
        """The Message-IDs of people's mails in a folder, oldest first."""
        found = [mail.message_id for mail in self.folders.get(folder, {}).values()]
        return [each for each in found if not each.endswith("@arimonitor.invalid>")]


class Link:
    """ImapLink, as far as ImapMailbox uses it to look, to mark and to move."""

    def __init__(self, server: MailServer, node: Node) -> None:
        self._server, self._node = server, node
        self._here = ""
        self._call("connect", lambda: None)

    def _call(self, what: str, effect: Callable[[], Any]) -> Any:
        return self._node.world.call(self._node, f"imap {what}", effect, trouble_of(TransientError))

    def has(self, capability: str) -> bool:
        return capability in ("MOVE", "UIDPLUS", "CONDSTORE", "IDLE")

    def make(self, name: str) -> None:
        self._server.folders.setdefault(name, {})

    def select(self, name: str, *, readonly: bool = False) -> Folder:
        def effect() -> Folder:
            self._here = name
            return Folder(name, 1, max(self._server.folders[name], default=0) + 1, True, True)

        return self._call("select", effect)

    def search(self, criteria: Sequence[str]) -> list[int]:
        def effect() -> list[int]:
            mails = self._server.folders[self._here]
            return sorted(uid for uid, mail in mails.items() if _fits(mail, iter(criteria)))

        return self._call("search", effect)

    def fetch(self, uid: int, items: Sequence[str]) -> dict[bytes, Any] | None:
        def effect() -> dict[bytes, Any] | None:
            mail = self._server.folders[self._here].get(uid)
            return None if mail is None else dict(_item(mail, each) for each in items)

        return self._call(f"fetch {items[0].partition('[')[0]}", effect)

    def store(self, uid: int, flags: Sequence[str], unchanged_since: int | None = None) -> bool:
        def effect() -> bool:
            mail = self._server.folders[self._here].get(uid)
            if mail is None:
                return True
            if unchanged_since is not None and mail.modseq > unchanged_since:
                return False
            self._server.flag(mail, flags)
            return True

        return self._call("store", effect)

    def move(self, uid: int, folder: str) -> None:
        def effect() -> None:
            mail = self._server.folders[self._here].pop(uid, None)
            if mail is not None:  # else it is OK all the same
                self._server.world.note(f"mail {mail.message_id} goes to {folder}")
                self._server.put(folder, mail.raw, mail.flags)

        self._call("move", effect)

    def delete(self, uid: int) -> None:
        def effect() -> None:
            if self._server.folders[self._here].pop(uid, None) is not None:
                self._server.world.changed(f"mail {uid} is deleted")

        self._call("delete", effect)

    def append(self, folder: str, data: bytes) -> None:
        self._call("append", lambda: self._server.put(folder, data, {r"\Seen"}))

    def noop(self) -> bool:
        return False

    def close(self) -> None:
        """The server learns of it some time."""


class WayOut:
    """SMTP, with a copy of each mail in a folder: daemon.mail.model.WayOut."""

    def __init__(self, server: MailServer, node: Node) -> None:
        self._server, self._node = server, node

    def send(self, answer: Answer) -> None:
        self._call("smtp send", lambda: self._take(answer))
        try:
            self._call("sent keep", lambda: self._keep(answer))
        except TransientError:
            self._node.world.note("no copy is kept")

    def sent(self, message_id: str) -> bool | None:
        try:
            return bool(self._call("sent search", lambda: message_id in self._server.copies))
        except TransientError:
            return None

    def _take(self, answer: Answer) -> None:
        self._server.taken.append(answer)
        self._server.world.changed(f"SMTP takes {answer.message_id}")

    def _keep(self, answer: Answer) -> None:
        self._server.copies[answer.message_id] = answer.data
        self._server.world.changed()

    def _call(self, what: str, effect: Callable[[], Any]) -> Any:
        return self._node.world.call(self._node, what, effect, trouble_of(TransientError))


def _item(mail: Mail, item: str) -> tuple[bytes, Any]:
    header, _, text = mail.raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    match item:
        case "FLAGS":
            return b"FLAGS", tuple(flag.encode() for flag in sorted(mail.flags))
        case "MODSEQ":
            return b"MODSEQ", (mail.modseq,)
        case "RFC822.SIZE":
            return b"RFC822.SIZE", len(mail.raw)
        case "INTERNALDATE":
            return b"INTERNALDATE", datetime.fromtimestamp(mail.received, UTC)
    found = _PARTIAL.fullmatch(item)
    if found is None:  # HEADER.FIELDS (NAME)
        name = item.partition("(")[2].rstrip(")]").encode() + b":"
        return item.replace(".PEEK", "").encode(), b"".join(
            x for x in header.split(b"\n") if x.startswith(name)
        )
    part, at = header + b"\n\n" if found[1] == "HEADER" else text, int(found[2] or 0)
    name = f"BODY[{found[1]}]" + (f"<{at}>" if found[2] else "")
    return name.encode(), part[at : at + int(found[3] or len(part))]


def _fits(mail: Mail, words: Iterator[str]) -> bool:
    """All of the criteria; a few of RFC 3501."""
    return all(_one(mail, word, words) for word in words)


def _one(mail: Mail, word: str, words: Iterator[str]) -> bool:
    match word:
        case "UNDELETED":
            return r"\Deleted" not in mail.flags
        case "UNSEEN":
            return r"\Seen" not in mail.flags
        case "KEYWORD":
            return next(words) in mail.flags
        case "UNKEYWORD":
            return next(words) not in mail.flags
        case "SINCE":
            next(words)
            return True
        case "HEADER":
            return next(words) == "Message-ID" and next(words) == mail.message_id
        case "OR":
            found = [_one(mail, next(words), words), _one(mail, next(words), words)]
            return any(found)
    raise ImapRefused(f"the simulator does not know {word}")
