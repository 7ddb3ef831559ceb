"""Which mailbox and which way out a configuration names; nothing connects."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from pathlib import Path
from daemon.mail.imap import ImapMailbox
from daemon.mail.maildir import MaildirBox, MaildirWayOut
from daemon.mail.opening import imap_access, open_mailbox, open_way_out, people_of, smtp_access
from daemon.mail.smtp import SmtpWayOut
from daemon.runtime.offload import Offload
from daemon.settings import Settings

pool = Offload(1)
plain = Settings()
assert isinstance(open_mailbox(plain, pool), MaildirBox)
assert isinstance(open_way_out(plain), MaildirWayOut)
assert people_of(plain).sender == "arimonitor@localhost"

imap = {"host": "imap.example.com", "username": "u", "password": "pw-imap",
        "oauth2": {"token_url": "https://example.com/token", "client_id": "i", "client_secret": "c"}}
smtp = {"host": "smtp.example.com", "from": "arimonitor@example.com", "username": "u"}
mail = {"inbox": "imap", "outbox": "smtp", "admin": "admin@example.com", "imap": imap, "smtp": smtp}
real = Settings.model_validate({"mail": mail})
assert isinstance(open_mailbox(real, pool), ImapMailbox)
assert isinstance(open_way_out(real), SmtpWayOut)
assert people_of(real).domain == "example.com"
assert imap_access(real).tokens is not None and smtp_access(real).tokens is not None
with_password = Settings.model_validate({"mail": {**mail, "smtp": {**smtp, "password": "pw-smtp"}}})
assert smtp_access(with_password).tokens is None
assert "pw-imap" not in repr(imap_access(real)) and "pw-smtp" not in repr(smtp_access(with_password))
print("well")
"""


def test_opening() -> None:
    # A process of its own: these modules bring gevent, which unit tests run without.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "well\n", done.stderr
