"""A mailbox on a real Dovecot, mails for it, and another mail program on it, for the tests of IMAP."""

from __future__ import annotations

from collections.abc import Iterator

import imapclient
import pytest

from daemon.mail.imap import ImapMailbox
from daemon.mail.imap_link import Access
from daemon.runtime.offload import Offload
from tests.servers.dovecot import Dovecot
from tests.servers.waiting import DEADLINE


@pytest.fixture(scope="module")
def offload() -> Iterator[Offload]:
    pool = Offload(1)
    yield pool
    pool.close()


@pytest.fixture
def server() -> Iterator[Dovecot]:
    with Dovecot() as running:
        yield running


@pytest.fixture
def box(server: Dovecot, offload: Offload) -> Iterator[ImapMailbox]:
    mailbox = open_box(server, offload)
    yield mailbox
    mailbox.close()


def access(server: Dovecot, timeout: float = DEADLINE) -> Access:
    return Access(
        server.host, server.port, True, server.username, server.password, ca_file=server.ca, timeout=timeout
    )


def open_box(server: Dovecot, offload: Offload, timeout: float = DEADLINE, **other: object) -> ImapMailbox:
    given = {
        "folder": "INBOX",
        "done": "Done",
        "aside": "Aside",
        "max_age": 14,
        "poll": 0.2,
        "offload": offload,
        **other,
    }
    return ImapMailbox(access(server, timeout), **given)  # type: ignore[arg-type]


def mail(number: int, body: bytes = b"hello\r\n") -> bytes:
    return (
        b"From: person@example.com\r\nSubject: n%d\r\nMessage-ID: <%d@example.com>\r\n\r\n"
        % (
            number,
            number,
        )
        + body
    )


def subjects(found: dict[str, bytes]) -> list[str]:
    return sorted(
        line.partition(": ")[2].strip()
        for content in found.values()
        for line in content.decode("utf-8", "replace").splitlines()
        if line.startswith("Subject: ") and "ARIMONITOR" not in line
    )


def told(letters: object) -> list[str]:
    return subjects({str(at): letter.header for at, letter in enumerate(letters)})  # type: ignore[call-overload]


def person(server: Dovecot) -> imapclient.IMAPClient:
    """Somebody else's mail program on the same mailbox."""
    client = imapclient.IMAPClient(server.host, server.plain_port, ssl=False)
    client.login(server.username, server.password)
    client.select_folder("INBOX")
    return client
