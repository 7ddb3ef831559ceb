"""kill -9 at every step of a request, and a restart: one record, one answer, nothing left over."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from daemon.jobs.failpoints import BETWEEN_NODES, POINTS
from daemon.jobs.model import RecordingsSent
from tests.servers.daemon import REPOSITORY
from tests.servers.mails import PERSON, MailSite, mail, recordings, settings

RAMAIS = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
CHECKIP = "CHECKIP=203.0.113.7 SERVER=gv1p"

ON_THE_WAY = [
    "fetched", "accepted", "flagged", "assigned", "filed", "running", "processing", "worked", "produced",
    "replying", "sent", "replied", "completed", "moved", "done",
]  # fmt: skip
OTHERS = ["dropped", "requeued", "confirming", "confirmed"]


def test_none_is_left_out() -> None:
    """Every point of the table has its test, and is reached in the code, once or more; no other is."""
    assert sorted(ON_THE_WAY + OTHERS) == sorted(set(POINTS) - BETWEEN_NODES)
    code = "".join(path.read_text() for path in (REPOSITORY / "daemon").rglob("*.py"))
    reached = set(re.findall(r'reach\(\s*"([a-z]+)"', code))
    reached |= set(re.findall(r'reach\("([a-z]+)" if .*? else "([a-z]+)"\)', code)[0])
    assert reached == set(POINTS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "known_hosts").touch()
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / "key").write_bytes(key)
    (folder / "key").chmod(0o600)
    with socket.socket() as nobody:  # bound, not listening: refuses connections
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        ssh = {"known_hosts": str(folder / "known_hosts"), "key_file": str(folder / "key")}
        server = [{"name": "gv1p", "host": "127.0.0.1", "port": port, **ssh}]
        made = MailSite(
            folder,
            settings(
                server=server,
                queue={"max_tries": 2},
                recordings={"roots": [str(recordings(folder / "recordings"))]},
                **{"mail.sender": [{"address": PERSON, "commands": ["RAMAIS", "CHECKIP"]}]},
            ),
        )
        made.armed()
        with made.daemon:
            yield made


def killed_and_started(site: MailSite) -> None:
    assert site.daemon.wait_end() == -signal.SIGKILL
    (site.folder / "failpoint").write_text("")
    site.daemon.start()


def check(site: MailSite, before: int, kind: str) -> str:
    """One more record, final; one more answer of it; its id."""
    records = site.settled(before + 1)
    assert len(records) == before + 1, [(r.request.request_id, r.state, r.source) for r in records[before:]]
    (record,) = [r for r in records if r.changed_at == max(each.changed_at for each in records)]
    name = record.request.request_id
    ids = [str(answer["Message-ID"]) for answer in site.answers()]
    assert ids.count(f"<{name}.{kind}@example.com>") == 1
    assert [each for each in ids if name in each and ".queued@" not in each] == [
        f"<{name}.{kind}@example.com>"
    ]
    assert site.daemon.lines(f"the answer of {name} is sent") == 1
    folders = [folder for folder, files in site.files().items() if f"{name}.json" in files]
    assert folders == ["completed" if record.failure is None else "failed"]
    assert json.loads((site.queue / folders[0] / f"{name}.json").read_text())["status"] == folders[0]
    assert not list((site.daemon.data / "work").iterdir())
    if isinstance(record.outcome, RecordingsSent):
        assert len(record.outcome.rows) == 3
        site.packed += 1
    published = [path for path in (site.daemon.data / "audios").rglob("*") if path.suffix == ".zip"]
    assert len(published) == site.packed
    assert not list((site.daemon.data / "audios").rglob("*.part"))
    return name


@pytest.mark.parametrize("point", ON_THE_WAY)
def test_a_mail(site: MailSite, point: str) -> None:
    before = len(site.records())
    (site.folder / "failpoint").write_text(point)
    site.deliver(mail(RAMAIS, ident=point))
    killed_and_started(site)
    check(site, before, KIND)


def test_dropped(site: MailSite) -> None:
    before = len(site.records())
    (site.folder / "failpoint").write_text("dropped")
    wish = {"ramais": "1121", "inicio": "27/10/2025 08:00", "fim": "28/10/2025 18:00", "email": PERSON}
    request = {"request_id": "by-hand", "from_email": PERSON, "parameters": wish}
    (site.queue / "pending" / "foo.json").write_text(json.dumps(request))
    killed_and_started(site)
    assert check(site, before, KIND) == "by-hand"
    assert "pending" not in site.files()


def test_requeued(site: MailSite) -> None:
    before = len(site.records())
    (site.folder / "failpoint").write_text("requeued")
    site.deliver(mail(CHECKIP, ident="requeued"))
    killed_and_started(site)
    check(site, before, "failed")


@pytest.mark.parametrize("point", ["confirming", "confirmed"])
def test_confirmations(site: MailSite, point: str) -> None:
    """Told at once: confirmation = 0. A confirmation is never sent twice, at worst not at all."""
    before = len(site.records())
    site.daemon.ctl("set", "mail.confirmation", "0")
    (site.folder / "failpoint").write_text(point)
    site.deliver(mail(CHECKIP, ident=point))
    killed_and_started(site)
    name = check(site, before, "failed")
    told = [each for each in site.answers() if f"{name}.queued" in str(each["Message-ID"])]
    assert len(told) == (point == "confirmed")


KIND = "result"
