"""The tables of recordings by mail and its neighbours: mail, queue, recordings, peer, server. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from daemon.settings.base import (
    Extensions,
    Folder,
    Host,
    MailAddress,
    MailPattern,
    Name,
    Number,
    OptionalPath,
    OptionalUrl,
    Port,
    Secret,
    Section,
    Switch,
    Text,
    Upper,
    Whole,
    live,
    restart,
)
from daemon.settings.core import DATA_DIR

AudiosFrom = Literal["audio", "s3"]


def _file_pattern(text: str) -> str:
    rest = MAC_IN_NAME.sub("x", text)
    if rest == text or not re.fullmatch(r"[A-Za-z0-9_.+-]+", rest) or rest.startswith("."):
        raise ValueError('the name of a file with {mac} or {MAC} in it, such as "{mac}.cfg", "SEP{MAC}.xml"')
    return text


def _place(name: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        right = f'a regular expression with {{{name}}} in it once, or ""'
        if text and text.count(f"{{{name}}}") != 1:
            raise ValueError(right)
        try:
            re.compile(text.replace(f"{{{name}}}", "x"))
        except re.error as error:
            raise ValueError(right) from error
        return text

    return checked


# {mac} or {MAC}, with the separator of its pairs behind a colon: {mac:-}, {MAC::}
MAC_IN_NAME = re.compile(r"\{(mac|MAC)(?::([:.-]))?\}")
FilePattern = Annotated[Text, AfterValidator(_file_pattern)]
ExtensionPlace = Annotated[Text, AfterValidator(_place("extension"))]
MacPlace = Annotated[Text, AfterValidator(_place("mac"))]


class Oauth2Settings(Section):
    """[mail.imap.oauth2]: a login by token where the mail host allows no password."""

    token_url: OptionalUrl = restart("", "where access tokens are fetched; unset: login by password")
    client_id: Text = restart("", "of the registered application")
    client_secret: Secret = restart(None, "of the registered application")
    refresh_token: Secret = restart(
        None, "of the mailbox; unset: the application's own right (client credentials)"
    )
    scope: Text = restart("", "what is asked for, as the mail host wants it")


class ImapSettings(Section):
    """[mail.imap]: the mailbox that is read."""

    host: Host = restart("", "of the IMAP server")
    port: Port = restart(993, "of the IMAP server")
    tls: Switch = restart(True, "from the start; false: STARTTLS, and without it on loopback only")
    ca_file: OptionalPath = restart(None, "certificates that are trusted; unset: the system's")
    username: Text = restart("", "of the mailbox")
    password: Secret = restart(None, "of the mailbox")
    folder: Text = restart("INBOX", "that is read", min_length=1)
    done: Text = restart("Done", "folder to which handled mails are moved", min_length=1)
    aside: Text = restart("Aside", "folder for what can't be handled, each with its reason", min_length=1)
    sent: Text = restart("Sent", "folder for a copy of every answer; unset: no copies")
    max_age: Whole = restart(14, "days; mails that came earlier are left alone", ge=1, le=3660)
    poll: Number = restart(20.0, "seconds between two looks where the server has no IDLE", ge=1, le=3600)
    timeout: Number = restart(30.0, "seconds for one step of the conversation", ge=1, le=600)
    oauth2: Oauth2Settings = restart(Oauth2Settings(), "login by token")


class SmtpSettings(Section):
    """[mail.smtp]: how answers are sent."""

    host: Host = restart("", "of the SMTP server")
    port: Port = restart(587, "of the SMTP server")
    starttls: Switch = restart(True, "false: no encryption; on port 465 it is encrypted from the start")
    ca_file: OptionalPath = restart(None, "certificates that are trusted; unset: the system's")
    timeout: Number = restart(60.0, "seconds for one step of the conversation", ge=1, le=600)
    username: Text = restart("", "unset: no login")
    password: Secret = restart(None, "of that user; unset: by token, as mail.imap.oauth2 says")
    from_: MailAddress = restart("", "the sender of every answer", alias="from")


class SenderSettings(Section):
    """[[mail.sender]]: what one sender may ask for."""

    address: MailAddress = live(..., "who", min_length=3)
    commands: tuple[Annotated[Literal["RAMAIS", "CHECKIP", "MACCHANGE"], Upper], ...] = live(
        ("RAMAIS",), "what may be asked for"
    )
    extensions: tuple[Extensions, ...] = live((), "of these only, numbers or ranges; []: all")
    servers: tuple[Name, ...] = live((), "on these [[server]]s only; []: all")


class MailSettings(Section):
    """[mail]: requests and answers."""

    inbox: Literal["imap", "maildir"] = restart("maildir", "where requests come from")
    outbox: Literal["smtp", "maildir"] = restart("maildir", "where answers go")
    maildir: Folder = restart(
        DATA_DIR / "mail", "the maildirs inbox and outbox are in it; unset: mail in data_dir"
    )
    admin: MailAddress = live("", "gets every answer, with the requester in copy if another (one mail)")
    whitelist: tuple[MailPattern, ...] = live((), "who may ask: addresses, or @domain for everybody of it")
    tokens_file: Folder = restart(DATA_DIR / "tokens", "sender tokens, hashed; unset: tokens in data_dir")
    require_token: Literal["dangerous", "always", "never"] = live(
        "dangerous", "dangerous: for CHECKIP and MACCHANGE; always; never"
    )
    authserv_id: Text = live("", "whose Authentication-Results is believed; unset: not checked")
    confirmation: Whole = live(
        20,
        "seconds after which a requester is told the place in the queue; 0: always at once",
        ge=0,
        le=86_400,
    )
    alerts: Switch = live(
        True, "mails to the admin about failover, gaps, full disks, at most one per kind an hour"
    )
    imap: ImapSettings = restart(ImapSettings(), "the mailbox that is read")
    smtp: SmtpSettings = restart(SmtpSettings(), "how answers are sent")
    sender: tuple[SenderSettings, ...] = live(
        (), "who may ask for what; nothing listed: RAMAIS on everything"
    )


class QueueSettings(Section):
    """[queue]: the request queue."""

    dir: Folder = restart(
        DATA_DIR / "queue", "pending/ processing/ completed/ failed/; unset: queue in data_dir"
    )
    processing_timeout: Whole = live(
        30, "minutes after which a request in processing counts as stuck", ge=1, le=1440
    )
    max_tries: Whole = live(3, "tries before a request has failed", ge=1, le=100)
    max_extensions: Whole = live(10, "extensions in one request", ge=1, le=1000)
    max_days: Whole = live(30, "calendar days in one request", ge=1, le=3660)


class S3Settings(Section):
    """[recordings.s3]: the bucket with the recordings."""

    bucket: Text = restart("", "its name; unset: no S3")
    prefix: Text = restart("", "of the keys")
    region: Text = restart("", "unset: as the AWS chain says")
    endpoint_url: OptionalUrl = restart("", "unset: Amazon's")
    access_key_id: Text = restart("", "unset: the usual AWS chain")
    secret_access_key: Secret = restart(None, "unset: the usual AWS chain")


class RecordingsSettings(Section):
    """[recordings]: finding, packing and publishing."""

    audios_from: AudiosFrom = restart("audio", "default of the whole cluster: audio (on disk) or s3")
    roots: tuple[Folder, ...] = restart((), "folders that are searched")
    publish_dir: Folder = restart(DATA_DIR / "audios", "what is published; unset: audios in data_dir")
    public_url: OptionalUrl = live("", "of publish_dir or of the links, as people reach it")
    link_hours: Whole = live(24, "hours a link is good for", ge=1, le=8760)
    mp3: Literal["local", "ssh"] = restart(
        "local", "local, or ssh: on `primary`, then `backup`, then locally"
    )
    primary: Name = restart("primary", 'the [[peer]] or [[server]] that makes MP3s with mp3 = "ssh"')
    backup: Name = restart("backup", "the one that does where primary can't")
    remote_dir: Folder = restart(
        Path("/var/tmp/arimonitor"),  # noqa: S108
        "folder on these for WAVs and MP3s on their way",
    )
    bitrate: Whole = live(64, "kbit/s; the rate really reached is what is reported", ge=8, le=320)
    keep_days: Whole = live(
        0, "what the product itself made is deleted after so many days; 0: never", ge=0, le=36_500
    )
    max_recordings: Whole = live(
        5000, "recordings in one request; more are refused before the work begins", ge=1, le=100_000
    )
    max_mb: Whole = live(4000, "megabytes in one request; more are refused before", ge=1, le=1_000_000)
    publish: Literal["auto", "folder", "s3"] = restart(
        "auto", "where to: folder (publish_dir), s3 (the bucket); auto: s3 for what comes from there"
    )
    link_key: Secret = restart(None, "signs the links, the same on all nodes; unset: link.key in data_dir")
    s3: S3Settings = restart(S3Settings(), "the bucket")


class PeerSettings(Section):
    """[[peer]]: the other node."""

    name: Name = restart(..., "the other node's name")
    host: Host = restart(..., "where SSH reaches it", min_length=1)
    port: Port = restart(22, "of SSH")
    user: Text = restart("arimonitor", "of SSH", min_length=1)
    key_file: OptionalPath = restart(None, "private key of SSH")
    known_hosts: OptionalPath = restart(None, "unset: the user's own known_hosts")
    audios_from: AudiosFrom = restart("audio", "what it can serve")
    queue_dir: OptionalPath = restart(None, "its queue.dir; unset: as here")
    publish_dir: OptionalPath = restart(None, "its recordings.publish_dir; unset: as here")
    data_dir: OptionalPath = restart(None, "its node.data_dir; unset: as here")
    bandwidth: Whole = restart(0, "kbit/s for files to and from it; 0: unbounded", ge=0, le=100_000_000)


class ServerSettings(Section):
    """[[server]]: what SERVER= may name."""

    name: Name = restart(..., "as requests name it")
    audios_from: AudiosFrom = restart("audio", "where its recordings are")
    host: Host = restart("", "where SSH reaches it; unset: no CHECKIP, MACCHANGE or files over SSH")
    port: Port = restart(22, "of SSH")
    user: Text = restart("arimonitor", "of SSH", min_length=1)
    key_file: OptionalPath = restart(None, "private key of SSH")
    known_hosts: OptionalPath = restart(None, "unset: the user's own known_hosts")
    jails: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], ...] = restart(
        (), "fail2ban jails that CHECKIP looks into; []: all"
    )
    fail2ban_command: tuple[Text, ...] = restart(
        ("fail2ban-client",),
        'its client there, with what must stand in front: ["sudo", "-n", "fail2ban-client"]',
        min_length=1,
        max_length=16,
    )
    provisioning_dir: OptionalPath = restart(None, "folder of the phones' files; unset: no MACCHANGE")
    provisioning_pattern: FilePattern = restart(
        "{mac}.cfg", "name of a phone's file in it: {mac} aabbcc001122, {MAC} upper case, {mac:-} aa-bb-..."
    )
    provisioning_extension: ExtensionPlace = restart(
        "", "regular expression with {extension}: where a phone's file names it; unset: as a word anywhere"
    )
    provisioning_mac: MacPlace = restart(
        "", "regular expression with {mac}: where the MAC is changed in the file; unset: everywhere"
    )
    notify_command: tuple[Text, ...] = restart(
        (), "tells the phone of {extension} to fetch its file; []: nobody does", max_length=16
    )
    bandwidth: Whole = restart(0, "kbit/s for files to and from it; 0: unbounded", ge=0, le=100_000_000)
