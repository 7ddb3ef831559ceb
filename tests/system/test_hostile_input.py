"""Hostile words wherever a person can put them: none becomes a name, a header, a line, a command."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.mails import ADMIN, MailSite, recordings, settings
from tests.servers.waiting import wait_until

MARK = "zz-hostile"  # of everything that may not come to be
HOSTILE = {
    "shell": f"$(touch {MARK})",
    "backticks": f"`touch {MARK}`",
    "semicolon": f"; touch {MARK} #",
    "option": f"--output={MARK}",
    "path": f"../../../../{MARK}",
    "absolute": f"/tmp/{MARK}",
    "line": f"\r\nBcc: {MARK}@example.net\r\n\r\n<b>body</b>",
    "line-feed": f"\nX-Injected: {MARK}",
    "other-line-ends": f"\u2028X-Injected: {MARK}\u0085X: y\x0bX: z",
    "nul": f"\0{MARK}",
    "html": f"<script>alert('{MARK}')</script><img src=x onerror={MARK}>",
    "attribute": f'" onmouseover="{MARK}',
    "formats": "%s%n%(x)s{0.__class__}{names}",
    "template": "{{ 99991*31337 }}{% raw %}",
    "formula": f'=HYPERLINK("https://example.net/{MARK}")',
    "sql": "'; DROP TABLE records; --",
    "right-to-left": f"\u202e\u2066{MARK}\u2069",
    "long": "A" * 6000,
    "escape": f"\x1b]0;{MARK}\x07\x1b[2J",
    "undecodable": "\udcff\udc80",
}
PERIOD = "INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
MACS = "MACATUAL=00:15:65:aa:bb:0c MACFUTURO=80:5e:c0:dd:ee:1f"
SUBJECTS = {
    "extension": "RAMAIS={} " + PERIOD,
    "extension-behind": "RAMAIS=1121,{} " + PERIOD,
    "date": "RAMAIS=1121 INICIO={} FIM=28/10/2025 18:00",
    "key": "RAMAIS=1121 " + PERIOD + " {}=1",
    "words": "RAMAIS=1121 " + PERIOD + " {}",
    "ip": "CHECKIP={} SERVER=gv1p",
    "server": "CHECKIP=203.0.113.7 SERVER={}",
    "mac": "MACCHANGE=1121 MACATUAL={} MACFUTURO=80:5e:c0:dd:ee:1f SERVER=gv1p",
    "moved": "MACCHANGE={} " + MACS + " SERVER=gv1p",
    "help": "AJUDA {}",
}
HEADERS = {
    "name": 'From: "{}" <name@example.com>\r\nMessage-ID: <{}@example.com>\r\n',
    "id": "From: id@example.com\r\nMessage-ID: <{}@example.com>\r\n",
    "thread": "From: thread@example.com\r\nMessage-ID: <{}@example.com>\r\nReferences: <{}> {} <{}@x.y>\r\n",
    "answer-to": "From: answer-to@example.com\r\nReply-To: {}\r\nMessage-ID: <{}@example.com>\r\n",
}
OURS = {
    "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted",
    "x-auto-response-suppress", "mime-version", "content-type", "precedence",
}  # fmt: skip
TAGS = set("html head meta title body div table tr td th a p ul li h1 h2 span strong b pre br".split())
CONTROLS = r"\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069"


def mails() -> Iterator[bytes]:
    """Each hostile word in each place of a mail; a sender for each place: nobody is over the limit."""
    for place, subject in SUBJECTS.items():
        for kind, words in HOSTILE.items():
            text = base64.b64encode(subject.format(words).encode("utf-8", "surrogateescape")).decode()
            yield (
                f"From: {place}@example.com\r\nTo: arimonitor@example.com\r\nSubject: =?utf-8?B?{text}?=\r\n"
                f"Date: Mon, 27 Oct 2025 08:00:00 -0300\r\nMessage-ID: <{place}.{kind}@mail.example.com>\r\n"
                "\r\nBom dia.\r\n"
            ).encode()
    for header in HEADERS.values():
        for words in HOSTILE.values():
            raw = header.replace("{}", words).encode("utf-8", "surrogateescape")
            yield raw + b"Subject: AJUDA\r\nDate: Mon, 27 Oct 2025 08:00:00 -0300\r\n\r\nBom dia.\r\n"


def files() -> Iterator[tuple[str, bytes]]:
    """Each of them in each place of a dropped file; and as its name, where a file may have it."""
    good = {"ramais": "1121", "inicio": "27/10/2025 08:00", "fim": "28/10/2025 18:00"}
    for kind, words in HOSTILE.items():
        for number, wish in enumerate(
            (
                {"request_id": words, "from_email": "file@example.com", "parameters": good},
                {"from_email": words, "parameters": good},
                {"from_email": f"{words}@example.com", "parameters": good},
                {"from_email": "file@example.com", "parameters": {**good, "ramais": words}},
                {"from_email": "file@example.com", "parameters": {**good, "email": words}},
                {"from_email": "file@example.com", "parameters": good, "message_id": words, "server": words},
                {"from_email": "file@example.com", "command": words, "parameters": {"ip": words}},
            )
        ):
            yield f"{kind}-{number}.json", json.dumps(wish).encode()
        if not {"/", "\0"} & set(words) and len(words) < 200:
            yield f"{words}.json", json.dumps({"from_email": "file@example.com", "parameters": good}).encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    """The daemon after all of it."""
    folder = tmp_path_factory.mktemp("hostile")
    roots = recordings(folder / "recordings", 1)
    (wav,) = roots.rglob("*.wav")
    for number, words in enumerate(HOSTILE.values()):
        if not {"/", "\0"} & set(words) and len(words) < 150:
            clock = f"0901{number:02}-17615664{number:02}.1"
            shutil.copy2(wav, wav.parent / f"internal-1121-{words}-20251027-{clock}.wav")
    (folder / "known_hosts").touch()
    (folder / "key").touch(0o600)
    ssh = {"known_hosts": str(folder / "known_hosts"), "key_file": str(folder / "key")}
    senders = [
        {"address": f"{place}@example.com", "commands": ["RAMAIS", "CHECKIP", "MACCHANGE"]}
        for place in SUBJECTS
    ]
    made = MailSite(
        folder,
        settings(
            mail={"whitelist": ["@example.com"]},
            recordings={"roots": [str(roots)], "public_url": "https://audio.example.com/audios"},
            server=[{"name": "gv1p", "host": "127.0.0.1", "port": 1, **ssh}],
            **{"mail.sender": senders},
        ),
    )
    for data in mails():
        made.deliver(data)
    with made.daemon:
        made.settled()
        pending = made.queue / "pending"
        for name, content in files():
            (pending / ".part").write_bytes(content)
            (pending / ".part").rename(pending / name)
        wait_until(lambda: not list(pending.iterdir()), "pending/ is empty")
        made.settled()
        assert made.daemon.problems() == []
        yield made


def test_every_mail_was_handled(site: MailSite) -> None:
    assert len(site.done()) == len(list(mails()))
    assert not list((site.inbox / ".Aside").glob("*/*"))
    assert len(site.answers()) == len(site.records())
    assert site.daemon.lines("mistake of ours") == 0
    assert site.daemon.lines("Traceback") == 0


def test_answers(site: MailSite) -> None:
    """Headers of ours only, to those who asked; HTML of ours only."""
    for answer in site.answers():
        names = [name.lower() for name, _ in answer.items()]
        assert set(names) <= OURS, names
        assert len(names) == len(set(names)), names
        for address in f"{answer['To']}, {answer['Cc'] or ADMIN}".split(", "):
            assert re.fullmatch(r"[a-z=/-]+@example\.com", address), address
        assert re.fullmatch(
            r"<[A-Za-z0-9_-]+\.(result|refused|failed|help)@example\.com>", answer["Message-ID"]
        )
        assert not re.search(rf"[{CONTROLS}\t\n]", answer["Subject"]), ascii(answer["Subject"])
        assert len(answer["Subject"]) < 1000
        html = answer.get_body(("html",)).get_content()
        assert {tag.lower() for tag in re.findall(r"</?([A-Za-z][A-Za-z0-9]*)", html)} <= TAGS
        assert not re.search(r"<[^>]*\son[a-z]+=", html)
        assert set(re.findall(r'href="([a-z]+://[^/"]*)', html)) <= {"https://audio.example.com"}
        assert str(99991 * 31337) not in html
        assert "\0" not in html
        assert "\x1b" not in html


def test_the_log_has_one_event_in_each_line(site: MailSite) -> None:
    text = site.daemon.log_text()
    for line in text.split("\n")[:-1]:
        assert re.match(r"ts=\d{4}-\d\d-\d\dT\S+ level=[A-Z]+ logger=\S+ ", line), line[:200]
        assert not re.search(f"[{CONTROLS}]", line), line[:300]


def test_names(site: MailSite) -> None:
    """Of requests, of files, in ZIPs and tables."""
    for record in site.records():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,90}", record.request.request_id)
    for folder, names in site.files().items():
        assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == [], folder
    zips = list((site.daemon.data / "audios").rglob("*.zip"))
    assert zips
    for path in zips:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name
            table = archive.read("index.csv").decode("utf-8-sig")
        for row in csv.reader(io.StringIO(table), delimiter=";"):
            assert [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))] == [], row


def test_nothing_was_made_elsewhere_and_nothing_was_carried_out(site: MailSite) -> None:
    """Neither beside the daemon's folders nor where it runs."""
    beside = {path.name for path in site.folder.iterdir()}
    assert beside == {"arimonitor.toml", "data", "key", "known_hosts", "log", "output", "recordings"}
    around = [site.folder.parent, site.folder.parent.parent, Path.cwd(), Path("/tmp"), Path("/")]
    assert [path for folder in around for path in folder.glob(f"*{MARK}*")] == []
    made = [path.name for path in site.daemon.data.rglob("*") if MARK in path.name]
    assert [name for name in made if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []
