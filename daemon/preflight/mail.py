"""Whether the mailbox and the way out can be used: log in, look, leave. Service.

Nothing is changed and nothing sent. The deadline of a step is the
configuration's, but 10 s at the most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from daemon.errors import ArimonitorError
from daemon.mail.imap_link import ImapLink
from daemon.mail.opening import imap_access, smtp_access
from daemon.mail.smtp import SmtpWayOut
from daemon.preflight.local import writable_folder
from daemon.preflight.report import Check
from daemon.runtime.deadline import deadline
from daemon.settings import Settings

STEP = 10.0
WHOLE = 30.0


def mail_checks(settings: Settings) -> Iterator[Check]:
    """Where requests come from and where answers go."""
    mail = settings.mail
    if mail.inbox == "imap":
        yield imap_check(settings)
    if mail.outbox == "smtp":
        yield smtp_check(settings)
    if "maildir" in (mail.inbox, mail.outbox):
        yield writable_folder("maildir", mail.maildir, "mail.maildir")


def imap_check(settings: Settings) -> Check:
    """Log in, open the folder, say what the server can do."""
    access = imap_access(settings)
    access = replace(access, timeout=min(access.timeout, STEP))
    where = f"{access.host}:{access.port} {settings.mail.imap.folder}"
    try:
        with deadline(WHOLE, str(access)):
            link = ImapLink(access)
            try:
                here = link.select(settings.mail.imap.folder, readonly=True)
                idle = link.has("IDLE")
            finally:
                link.close()
    except ArimonitorError as error:
        return Check("IMAP", where, False, str(error), "correct [mail.imap], or the mail server")
    can = [
        "mails are seen at once (IDLE)" if idle else "no IDLE",
        "marks are conditional (CONDSTORE)" if here.condstore else "no CONDSTORE",
    ]
    mend = "" if idle else f"mails are seen by a look every {settings.mail.imap.poll:g} s: mail.imap.poll"
    return Check("IMAP", where, True, f"login is well; {', '.join(can)}", mend)


def smtp_check(settings: Settings) -> Check:
    """Log in and leave."""
    access = smtp_access(settings)
    access = replace(access, timeout=min(access.timeout, STEP))
    where = f"{access.host}:{access.port}"
    try:
        SmtpWayOut(access).probe()
    except ArimonitorError as error:
        return Check("SMTP", where, False, str(error), "correct [mail.smtp], or the mail server")
    mend = "" if settings.mail.smtp.starttls or access.port == 465 else "set mail.smtp.starttls"
    return Check("SMTP", where, True, "login is well" if access.username else "it answers; no login", mend)
