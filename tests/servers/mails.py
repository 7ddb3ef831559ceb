"""A site that answers requests by mail, on maildirs: mails are put into a folder, answers are files."""

from __future__ import annotations

import email
import email.policy
import math
import os
import sqlite3
import time
import wave
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec

from daemon.jobs.model import Record
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.waiting import DEADLINE, wait_until

PERSON = "person@example.com"
ADMIN = "admin@example.com"


def settings(**other: Any) -> dict[str, Any]:
    """Tables of a configuration whose [mail] knows PERSON; tables in `other` are merged into these."""
    tables: dict[str, Any] = {
        "node": {"name": "AUDIO"},
        "mail": {"admin": ADMIN, "whitelist": [PERSON], "confirmation": 3600, "require_token": "never"},
        "mail.smtp": {"from": "arimonitor@example.com"},
    }
    for name, table in other.items():
        tables[name] = {**tables.get(name, {}), **table} if isinstance(table, dict) else table
    return tables


def mail(subject: str, *, sender: str = PERSON, ident: str = "one", body: str = "Bom dia.\n") -> bytes:
    """A mail as a person's program makes it; `ident` is the left side of its Message-ID."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"] = sender
    made["To"] = "arimonitor@example.com"
    made["Subject"] = subject
    made["Date"] = "Mon, 27 Oct 2025 08:00:00 -0300"
    made["Message-ID"] = f"<{ident}@mail.example.com>"
    made.set_content(body)
    return bytes(made)


def invitation(subject: str, ident: str = "invitation") -> bytes:
    """A calendar's invitation as Outlook and Gmail send it: one of the alternatives of a multipart."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"] = PERSON
    made["To"] = "arimonitor@example.com"
    made["Subject"] = subject
    made["Date"] = "Mon, 27 Oct 2025 08:00:00 -0300"
    made["Message-ID"] = f"<{ident}@mail.example.com>"
    made.set_content("Reunião às 8h.\n")
    made.add_alternative("<p>Reunião às 8h.</p>", subtype="html")
    made.add_alternative(
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n", subtype="calendar", params={"method": "REQUEST"}
    )
    return bytes(made)


def recordings(folder: Path, number: int = 3, extension: str = "1121", seconds: float = 0.2) -> Path:
    """A tree of WAVs of one extension on 27/10/2025, one a minute from 09:00; `folder` is its root."""
    day = folder / "2025" / "10" / "27"
    day.mkdir(parents=True, exist_ok=True)
    for at in range(number):
        clock = f"{9 + at // 60:02}{at % 60:02}00"
        with wave.open(
            str(day / f"internal-{extension}-1013015-20251027-{clock}-{1761566400 + at}.{at}.wav"), "wb"
        ) as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            tone = (round(8000 * math.sin(i / (3 + at % 20))) for i in range(round(8000 * seconds)))
            file.writeframes(b"".join(each.to_bytes(2, "little", signed=True) for each in tone))
        stamp = 1761566400.0 + 60 * at
        os.utime(
            day / f"internal-{extension}-1013015-20251027-{clock}-{1761566400 + at}.{at}.wav", (stamp, stamp)
        )
    return folder


class MailSite:
    """A daemon and its two maildirs."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.daemon = ArimonitorDaemon(folder, config)
        self.inbox = self.daemon.data / "mail" / "inbox"
        self.outbox = self.daemon.data / "mail" / "outbox"
        self.queue = self.daemon.data / "queue"
        self._dropped = 0
        self.packed = 0

    def armed(self) -> Path:
        """The daemon will have fail points; the file names the next one."""
        file = self.folder / "failpoint"
        file.write_text("")
        self.daemon.environ.update({"ARIMONITOR_TEST_FAILPOINTS": "1", "ARIMONITOR_FAILPOINT": f"@{file}"})
        return file

    def deliver(self, data: bytes) -> str:
        """Put a mail into the inbox as a delivery agent does; its name."""
        self._dropped += 1
        name = f"{int(time.time())}.{self._dropped}.test"
        for part in ("tmp", "new", "cur"):
            (self.inbox / part).mkdir(parents=True, exist_ok=True)
        (self.inbox / "tmp" / name).write_bytes(data)
        os.rename(self.inbox / "tmp" / name, self.inbox / "new" / name)
        return name

    def answers(self) -> list[Any]:
        """Every mail that was sent, parsed, oldest first."""
        files = sorted(self.outbox.glob("new/*"), key=lambda path: path.stat().st_mtime_ns)
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in files]

    def answer(self, number: int = 1, seconds: float = DEADLINE) -> Any:
        """The answer number N, once it is there; AssertionError where there are more."""
        wait_until(
            lambda: len(self.answers()) >= number,
            f"{number} answers: {self.daemon.log_text()[-3000:]}",
            seconds,
        )
        found = self.answers()
        assert len(found) == number, [each["Subject"] for each in found]
        return found[-1]

    def left(self) -> list[str]:
        """The mails that nobody has finished with."""
        return [path.name for part in ("new", "cur") for path in (self.inbox / part).glob("*")]

    def done(self) -> list[str]:
        """The mails that are away."""
        return [path.name for path in (self.inbox / ".Done" / "cur").glob("*")]

    def files(self) -> dict[str, list[str]]:
        """The queue's folders."""
        return {
            folder.name: sorted(path.name for path in folder.iterdir())
            for folder in sorted(self.queue.iterdir())
            if any(folder.iterdir())
        }

    def records(self) -> list[Record]:
        """The records, as the file has them."""
        file = self.daemon.data / "requests.sqlite"
        base = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=DEADLINE)
        try:
            rows = base.execute("SELECT body FROM records ORDER BY accepted_at").fetchall()
        finally:
            base.close()
        return [msgspec.json.decode(body, type=Record) for (body,) in rows]

    def settled(self, number: int = 1, seconds: float = DEADLINE) -> list[Record]:
        """The records, once there are so many and all are final and no mail is left."""

        def over() -> bool:
            found = self.records()
            return (
                len(found) >= number and all(r.state in ("done", "failed") for r in found) and not self.left()
            )

        wait_until(over, f"{number} requests are done: {self.daemon.log_text()[-3000:]}", seconds)
        return self.records()
