"""The mailbox and the way out that the configuration names. Root of the mail's adapters."""

from __future__ import annotations

from pydantic import SecretStr

from daemon.mail.envelope import People
from daemon.mail.imap import ImapMailbox
from daemon.mail.imap_link import Access
from daemon.mail.maildir import MaildirBox, MaildirWayOut
from daemon.mail.model import Mailbox, WayOut
from daemon.mail.oauth2 import TokenSource
from daemon.mail.sent import SentFolder
from daemon.mail.smtp import SmtpAccess, SmtpWayOut
from daemon.runtime.offload import Offload
from daemon.settings import Settings


def open_mailbox(settings: Settings, offload: Offload) -> Mailbox:
    """Where requests come from; it connects when it is asked for the first time."""
    mail, imap = settings.mail, settings.mail.imap
    if mail.inbox == "maildir":
        return MaildirBox(mail.maildir / "inbox", offload)
    return ImapMailbox(
        imap_access(settings),
        folder=imap.folder,
        done=imap.done,
        aside=imap.aside,
        max_age=imap.max_age,
        poll=imap.poll,
        offload=offload,
    )


def open_way_out(settings: Settings) -> WayOut:
    """Where answers go; it connects when something is sent."""
    mail = settings.mail
    if mail.outbox == "maildir":
        return MaildirWayOut(mail.maildir / "outbox")
    copies = None
    if mail.inbox == "imap" and mail.imap.sent:
        copies = SentFolder(imap_access(settings), mail.imap.sent)
    return SmtpWayOut(smtp_access(settings), copies)


def people_of(settings: Settings) -> People:
    """Who writes the answers and who has to know of them."""
    mail = settings.mail
    return People(mail.smtp.from_ or mail.admin or "arimonitor@localhost", mail.admin)


def imap_access(settings: Settings) -> Access:
    """How the mailbox is reached."""
    imap = settings.mail.imap
    return Access(
        host=imap.host,
        port=imap.port,
        tls=imap.tls,
        username=imap.username,
        password=_secret(imap.password),
        tokens=_tokens(settings),
        ca_file=imap.ca_file,
        timeout=imap.timeout,
    )


def smtp_access(settings: Settings) -> SmtpAccess:
    """How answers are sent."""
    smtp = settings.mail.smtp
    return SmtpAccess(
        host=smtp.host,
        port=smtp.port,
        starttls=smtp.starttls,
        username=smtp.username,
        password=_secret(smtp.password),
        tokens=_tokens(settings) if smtp.password is None else None,
        ca_file=smtp.ca_file,
        timeout=smtp.timeout,
    )


def _tokens(settings: Settings) -> TokenSource | None:
    oauth2 = settings.mail.imap.oauth2
    if not oauth2.token_url:
        return None
    return TokenSource(
        oauth2.token_url,
        oauth2.client_id,
        _secret(oauth2.client_secret),
        _secret(oauth2.refresh_token),
        oauth2.scope,
    )


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value is not None else ""
