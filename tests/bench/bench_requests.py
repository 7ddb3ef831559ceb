"""Requests by mail: from the mail's delivery to the answer in the requester's mailbox.

Real Dovecot and Postfix, recordings that need no conversion. The yardstick is
the sum of what nobody can avoid, done one after another by the plainest means:
delivery of the mail (LMTP), reading all bytes and writing them into one synced
file, SMTP and delivery of a mail of the answer's size.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.bench_recordings import CALLS, wavs
from tests.bench.report import Row, Unavailable, aim
from tests.servers import dovecot, postfix
from tests.servers.dovecot import Dovecot
from tests.servers.mails import MailSite, mail, recordings, settings
from tests.servers.postfix import Postfix

COUNTS = (1, 100, 1000)
ROUNDS = 3
SECONDS = 10.0  # of each recording
AIM = 2.0  # seconds for 100 recordings


def part() -> list[Row]:
    """The rows of this part."""
    for reason in (dovecot.unavailable_reason(), postfix.unavailable_reason()):
        if reason is not None:
            raise Unavailable(reason)
    if shutil.which("lame") is None:
        raise Unavailable("lame is needed (Debian package of that name)")
    folder = Path(tempfile.mkdtemp(prefix="arimonitor-bench-requests-"))
    try:
        with Dovecot() as imap, Postfix(imap) as smtp:
            with (imap.base / "users").open("a") as users:
                users.write("person:{PLAIN}x\nadmin:{PLAIN}x\n")
            return _rows(folder, imap, smtp)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rows(folder: Path, imap: Dovecot, smtp: Postfix) -> list[Row]:
    tree = folder / "recordings"
    for at, count in enumerate(COUNTS):
        _tree(tree, f"11{at:02}", count)
    site = _site(folder, tree, imap, smtp)
    rows = []
    with site.daemon:
        site.daemon.says("reading IMAP")
        for at, count in enumerate(COUNTS):
            took, floor = [], []
            for number in range(ROUNDS):
                ident = f"r{count}-{number}"
                subject = f"RAMAIS=11{at:02} INICIO=27/10/2025 00:00 FIM=27/10/2025 23:59"
                data = mail(subject, ident=ident)
                took.append(_timed(lambda i=ident, d=data: _asked(imap, i, d)))  # type: ignore[misc]
                size = max(len(each) for each in imap.folder(user="person").values())
                floor.append(_floor(folder, tree, f"11{at:02}", imap, smtp, data, size))
            best, least = sorted(took)[ROUNDS // 2], sorted(floor)[ROUNDS // 2]
            what = f"{count} recording{'s' * (count > 1)}: mail delivered to answer in the mailbox"
            ratio, figure = f"{best / least:.1f}x", f"{best:.2f} s"
            against = f"unavoidable parts {least:.2f} s"
            if count == 100:
                rows.append(
                    aim(what, figure, reached=best < AIM, ratio=ratio, against=f"{against}; aim {AIM:g} s")
                )
            else:
                rows.append(Row(what, figure, ratio, against))
        rows.append(_lag(site, "hub lag meanwhile"))
        wavs(tree / "wav")
        data = mail("RAMAIS=1121 INICIO=27/10/2025 00:00 FIM=27/10/2025 23:59", ident="wavs")
        converted = _timed(lambda: _asked(imap, "wavs", data))
        rows.append(Row(f"{CALLS} WAVs of 1 minute, made MP3 on the way", f"{converted:.2f} s"))
        rows.append(_lag(site, "hub lag of the minute"))
    return rows


def _lag(site: MailSite, what: str) -> Row:
    lag = site.daemon.status()["hub"]
    p99, most = lag["p99_ms"], lag["max_ms"]
    return aim(
        f"{what}, p99 (max)", f"{p99:.1f} ({most:.0f}) ms", reached=p99 < 20, ratio="", against="aim 20 ms"
    )


def _site(folder: Path, tree: Path, imap: Dovecot, smtp: Postfix) -> MailSite:
    access = {"host": "127.0.0.1", "username": imap.username, "password": imap.password}
    sender = {"from": "monitor@example.com"}
    return MailSite(
        folder / "site",
        settings(
            mail={"inbox": "imap", "outbox": "smtp"},
            **{
                "mail.imap": {**access, "port": imap.port, "ca_file": str(imap.ca)},
                "mail.smtp": {**access, "port": smtp.port, "ca_file": str(smtp.ca), **sender},
            },
            recordings={"roots": [str(tree)]},
        ),
    )


def _tree(root: Path, extension: str, count: int) -> None:
    """MP3s of one extension: one is made, the others are copies of it."""
    made = root.parent / "one"
    (wav,) = recordings(made, 1, extension, SECONDS).rglob("*.wav")
    subprocess.run(["lame", "--quiet", "-b", "64", str(wav), str(made / "one.mp3")], check=True)
    day = root / "2025" / "10" / "27"
    day.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        clock = f"{at // 3600:02}{at // 60 % 60:02}{at % 60:02}"
        target = day / f"internal-{extension}-1013015-20251027-{clock}-{1761534000 + at}.{at}.mp3"
        shutil.copy(made / "one.mp3", target)
        os.utime(target, (1761534000 + at, 1761534000 + at))
    shutil.rmtree(made)


def _asked(imap: Dovecot, ident: str, data: bytes) -> None:
    imap.deliver(data)
    mark = f"<{ident}@mail.example.com>".encode()
    until = time.monotonic() + 120
    while not any(mark in each for each in imap.folder(user="person").values()):
        if time.monotonic() > until:
            raise Unavailable(f"no answer to {ident} within 120 s")
        time.sleep(0.005)


def _floor(
    folder: Path, tree: Path, extension: str, imap: Dovecot, smtp: Postfix, data: bytes, size: int
) -> float:
    """Seconds for the unavoidable parts."""

    def parts() -> None:
        with smtplib.LMTP(imap.host, imap.lmtp_port) as link:
            link.sendmail("person@example.com", ["admin@example.com"], data)
        with (folder / "all").open("wb") as out:
            for path in sorted((tree / "2025/10/27").glob(f"internal-{extension}-*")):
                out.write(path.read_bytes())
            out.flush()
            os.fsync(out.fileno())
        context = ssl.create_default_context(cafile=str(smtp.ca))
        mark = f"floor-{time.monotonic_ns()}"
        with smtplib.SMTP(smtp.host, smtp.port) as link:
            link.starttls(context=context)
            link.login(smtp.username, smtp.password)
            body = (f"Subject: {mark}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72)).encode()
            link.sendmail("", ["person@example.com"], body)
        while not any(mark.encode() in each[:2000] for each in imap.folder(user="person").values()):
            time.sleep(0.005)

    return _timed(parts)


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
