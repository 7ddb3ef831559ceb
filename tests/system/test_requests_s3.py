"""RAMAIS from a bucket, whole: the real daemon, a real S3 server; down, slow and refusing too."""

from __future__ import annotations

import io
import re
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from daemon.jobs.model import RecordingsSent
from tests.integration.recording_parts import write_mp3
from tests.servers.mails import ADMIN, PERSON, MailSite, mail, settings
from tests.servers.ports import free_port
from tests.servers.s3 import S3, unavailable_reason

if _reason := unavailable_reason():
    pytest.skip(f"no S3 server: {_reason}", allow_module_level=True)

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=27/10/2025 18:00"
NAMES = [
    "internal-1121-1130-20251027-090000-1.mp3",
    "internal-1140-1121-20251027-093000-2.mp3",
]


class Site(MailSite):
    """A daemon whose recordings are in the bucket of `s3`."""

    def __init__(self, folder: Any, s3: S3) -> None:
        self.s3 = s3
        port = free_port()
        super().__init__(
            folder,
            settings(
                recordings={"audios_from": "s3", "public_url": f"http://127.0.0.1:{port}"},
                http={"listen": [f"127.0.0.1:{port}"]},
                **{
                    "recordings.s3": {
                        "bucket": s3.bucket,
                        "prefix": "audio",
                        "region": "us-east-1",
                        "endpoint_url": s3.url,
                        "access_key_id": s3.access_key,
                        "secret_access_key": s3.secret_key,
                    }
                },
            ),
        )
        self.asked = 0

    def ask(self, subject: str = RAMAIS) -> str:
        """Deliver a mail; what its Message-ID has on the left."""
        self.asked += 1
        self.deliver(mail(subject, ident=f"s3-{self.asked}"))
        return f"s3-{self.asked}"

    def changed(self, old: str, new: str) -> None:
        """The daemon again, with a line of its configuration changed."""
        self.daemon.stop()
        text = self.daemon.file.read_text()
        assert old in text
        self.daemon.file.write_text(text.replace(old, new))
        self.daemon.start()

    def result(self) -> tuple[Any, RecordingsSent]:
        """The newest answer and the outcome of its record."""
        found = self.answer(self.asked)
        assert (found["To"], found["Cc"]) == (ADMIN, PERSON)
        outcome = max(self.settled(self.asked), key=lambda each: each.accepted_at).outcome
        assert isinstance(outcome, RecordingsSent)
        return found, outcome


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with S3() as s3:
        for name in NAMES:
            write_mp3(s3.folder / "audio/2025/10/27" / name)
        write_mp3(s3.folder / "audio/2025/10/27/internal-2121-2130-20251027-090000-3.mp3")
        made = Site(tmp_path_factory.mktemp("s3"), s3)
        with made.daemon:
            yield made


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
    return body


def check(site: Site, found: Any, outcome: RecordingsSent) -> None:
    """Every link of the mail gives what it promises."""
    originals = [(site.s3.folder / "audio/2025/10/27" / name).read_bytes() for name in NAMES]
    assert [fetched(row.link) for row in outcome.rows] == originals
    archive = zipfile.ZipFile(io.BytesIO(fetched(outcome.bundle)))
    assert [archive.read(each) for each in archive.namelist() if each.endswith(".mp3")] == originals
    text = found.get_body(("plain",)).get_content()
    links = [row.link for row in outcome.rows] + [outcome.bundle]
    assert sorted(re.findall(r"https?://\S+", text)) == sorted(links)
    # A presigned link has its key; what people read has no names of files.
    assert "internal-" not in re.sub(r"https?://\S+", "", text)


def test_presigned_links(site: Site) -> None:
    site.ask()
    found, outcome = site.result()
    assert all(row.link.startswith(site.s3.url) for row in outcome.rows)
    check(site, found, outcome)
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(outcome.bundle.replace("Signature=", "Signature=0"))
    with refused.value as answer:
        assert answer.code in (400, 403)


def test_down(site: Site) -> None:
    """The request waits, and is answered once the bucket is back."""
    site.s3.stop()
    site.ask()
    site.daemon.says("try 1 failed: S3 bucket recordings")
    assert len(site.answers()) == site.asked - 1
    site.s3.start()
    found, outcome = site.result()
    check(site, found, outcome)
    assert max(site.records(), key=lambda each: each.accepted_at).attempt == 2


def test_slow(site: Site) -> None:
    """Somebody else's mail is answered meanwhile, and the console answers."""
    site.s3.freeze()
    ident = site.ask()
    site.daemon.wait_for(lambda status: status["queue"]["processing"] == 1, "it is begun")
    site.ask("AJUDA")
    answer = site.answer(site.asked - 1)
    assert ".help@" in answer["Message-ID"]
    assert site.daemon.status()["queue"]["processing"] == 1
    site.s3.thaw()
    answer = site.answer(site.asked)
    assert answer["In-Reply-To"] == f"<{ident}@mail.example.com>"
    assert ".result@" in answer["Message-ID"]
    site.settled(site.asked)


def test_published_in_the_folder(site: Site) -> None:
    site.changed('audios_from = "s3"', 'audios_from = "s3"\npublish = "folder"')
    site.ask()
    found, outcome = site.result()
    assert "/r/" in outcome.bundle
    check(site, found, outcome)
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(outcome.bundle[:-1] + ("A" if outcome.bundle[-1] != "A" else "B"))
    with refused.value as answer:
        assert answer.code == 404


def test_refusing(site: Site) -> None:
    """Told at once, since only the operator can mend it; no key is named to anybody."""
    wrong = "wrong-and-secret"
    site.changed(f'"{site.s3.secret_key}"', f'"{wrong}"')
    site.ask()
    answer = site.answer(site.asked)
    assert ".failed@" in answer["Message-ID"]
    told = " ".join(answer.get_body(("plain",)).get_content().split())
    assert "o administrador precisa corrigir o sistema" in told
    assert site.daemon.lines("correct recordings.s3.secret_access_key") >= 1
    everything = [answer.as_string(), site.daemon.log_text()]
    everything += [path.read_text() for path in site.queue.rglob("*.json")]
    for secret in (wrong, site.s3.secret_key):
        assert not any(secret in each for each in everything)
    assert site.s3.access_key not in answer.as_string()
