"""The mails of a run: delivered by LMTP as any mail is, and found again with their answers."""

from __future__ import annotations

import email.policy
import email.utils
import re
import threading
import time
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from tests.servers.dovecot import Dovecot
from tests.system.faults.history import Answered, Mailed

SENDERS = tuple(f"person{number:02}@example.com" for number in range(20))
RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
_KIND = re.compile(r"\.([a-z]+)@")


def user_of(address: str) -> str:
    """The mailbox of an address."""
    return address.partition("@")[0]


def request(ident: str, sender: str, subject: str = RAMAIS) -> bytes:
    """A mail as a person's program makes it."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"] = sender
    made["To"] = "monitor@example.com"
    made["Subject"] = subject
    made["Date"] = email.utils.formatdate(localtime=True)
    made["Message-ID"] = f"<{ident}>"
    made.set_content("Bom dia.\n")
    return bytes(made)


class Postman:
    """Delivers `rate` mails a second within a run; a delivery that fails is tried again until it is taken."""

    def __init__(self, imap: Dovecot, run: str, first: int) -> None:
        self._imap, self._run, self._number = imap, run, first
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.mailed: list[Mailed] = []

    def start(self, rate: float) -> None:
        """Begin."""
        if rate:
            self._threads.append(threading.Thread(target=self._deliver_all, args=(rate,), daemon=True))
            self._threads[0].start()

    def finish(self) -> None:
        """No more of them; those that could not be delivered yet still will be."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _deliver_all(self, rate: float) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._deliver()
            due += 1 / rate

    def _deliver(self) -> None:
        sender = SENDERS[self._number % len(SENDERS)]
        ident = f"{self._run}.{self._number}@mail.example.com"
        self._number += 1
        until = time.monotonic() + 60
        while True:
            try:
                self._imap.deliver(request(ident, sender))
                break
            except OSError:  # smtplib's errors are; its server may be frozen or away in this run
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        self.mailed.append(Mailed(time.time(), ident, sender, "RAMAIS"))


class Boxes:
    """What is in the mailboxes, read from the disk; a file is read once."""

    def __init__(self, imap: Dovecot) -> None:
        self._imap = imap
        self._heads: dict[Path, Any] = {}

    def answers(self) -> list[Answered]:
        """What all senders have got."""
        found = []
        for sender in SENDERS:
            for path, head in self._read(user_of(sender), ""):
                ident = bare(head["Message-ID"])
                kind = _KIND.search(ident)
                found.append(
                    Answered(
                        path.stat().st_mtime, ident, bare(head["In-Reply-To"]), kind[1] if kind else "other"
                    )
                )
        return found

    def folder(self, name: str) -> list[str]:
        """The Message-IDs in a folder of the monitor's mailbox; INBOX is ""."""
        return [bare(head["Message-ID"]) for _, head in self._read(self._imap.username, name)]

    def _read(self, user: str, folder: str) -> list[tuple[Path, Any]]:
        place = self._imap.base / "mail" / user / (f".{folder}" if folder else "")
        found = []
        for sub in ("new", "cur"):
            if not (place / sub).is_dir():
                continue
            for path in sorted((place / sub).iterdir()):
                # The flags behind the colon change, the content does not.
                key = place / path.name.partition(":")[0]
                if key not in self._heads:
                    try:
                        self._heads[key] = BytesHeaderParser().parsebytes(path.read_bytes())
                    except FileNotFoundError:
                        continue  # moved meanwhile: the next look finds it
                found.append((path, self._heads[key]))
        return found


def bare(message_id: str | None) -> str:
    """Without its brackets."""
    return str(message_id or "").strip().removeprefix("<").removesuffix(">")
