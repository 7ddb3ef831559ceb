"""Letters for tests: a header as text, a body."""

from __future__ import annotations

from daemon.mail.message import Incoming, letter_of, read
from daemon.mail.model import Letter

RECEIVED = 1762009200.0  # 2025-11-01 15:00 UTC
PLAIN = """\
From: Person <person@example.com>
Subject: RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00
Date: Mon, 27 Oct 2025 08:00:00 -0300
Message-ID: <a1@example.com>
"""


def letter(header: str | bytes = PLAIN, body: bytes = b"", uid: str = "1.1") -> Letter:
    raw = header if isinstance(header, bytes) else header.encode("utf-8")
    return letter_of(uid, raw + b"\n" + body, RECEIVED)


def incoming(header: str | bytes = PLAIN, body: bytes = b"") -> Incoming:
    return read(letter(header, body))
