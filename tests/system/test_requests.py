"""Requests by mail, whole: the real daemon on maildirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.model import NothingFound, RecordingsSent
from tests.servers.daemon import REPOSITORY, CommandFailed, wait_until
from tests.servers.mails import ADMIN, PERSON, MailSite, mail, recordings, settings

RAMAIS = "RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
LEGACY = {
    "request_id": "test_20251111_001",
    "from_email": PERSON,
    "parameters": {
        "ramais": "1121,1122,1123",
        "inicio": "29/09/2025 00:00",
        "fim": "27/10/2025 23:59",
        "email": PERSON,
    },
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MailSite]:
    roots = [str(recordings(tmp_path / "recordings"))]
    made = MailSite(
        tmp_path, settings(recordings={"roots": roots, "public_url": "https://audio.example.com/audios"})
    )
    with made.daemon:
        yield made


def test_recordings(site: MailSite) -> None:
    site.deliver(mail(RAMAIS))
    found = site.answer()
    assert (found["To"], found["Cc"]) == (ADMIN, PERSON)
    assert found["In-Reply-To"] == "<one@mail.example.com>"
    (record,) = site.settled()
    assert record.state == "done"
    assert found["Message-ID"] == f"<{record.request.request_id}.result@example.com>"
    assert isinstance(record.outcome, RecordingsSent)
    assert [(row.origin, row.destiny) for row in record.outcome.rows] == [("1121", "1013015")] * 3
    text = found.get_body(("plain",)).get_content()
    assert text.count("https://audio.example.com/audios/") >= 1
    status = site.daemon.status()
    assert status["mail"]["reading"] is True
    assert status["mail"]["last_check"]
    assert status["queue"] == {"pending": 0, "processing": 0, "completed": 1, "failed": 0}
    shown = site.daemon.ctl("queue", "show", record.request.request_id)
    assert (shown["status"], shown["state"], shown["tries"]) == ("completed", "done", 1)


def test_nothing_found(site: MailSite) -> None:
    site.deliver(mail(RAMAIS.replace("1121,1122", "1133")))
    found = site.answer()
    assert found["To"] == ADMIN
    assert found["Cc"] == PERSON
    assert found["In-Reply-To"] == "<one@mail.example.com>"
    (record,) = site.settled()
    assert isinstance(record.outcome, NothingFound)


def test_help_refusal_stranger_and_duplicate(site: MailSite) -> None:
    site.deliver(mail("AJUDA", ident="help"))
    assert ".help@" in site.answer(1)["Message-ID"]
    site.deliver(mail("RAMAIS=12 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ident="wrong"))
    refused = site.answer(2)
    assert ".refused@" in refused["Message-ID"]
    assert refused["To"] == PERSON
    site.deliver(mail(RAMAIS, sender="stranger@example.net", ident="stranger"))
    site.deliver(mail("AJUDA", ident="help"))
    wait_until(lambda: len(site.done()) == 4, "all mails are away")
    assert len(site.answers()) == 2
    assert {r.kind: r.state for r in site.records()} == {"help": "done", "refusal": "failed"}
    assert site.files() == {}


def test_dropped_by_hand(site: MailSite) -> None:
    pending = site.queue / "pending"
    wait_until(pending.is_dir, "the folders")
    (pending / "a.json").write_text(json.dumps(LEGACY))
    (pending / "list.json").write_text("[1, 2]")
    (pending / "wrong.json").write_text(
        json.dumps({**LEGACY, "request_id": "w", "parameters": {"ramais": "12"}})
    )
    site.answer(1)
    site.settled()
    wait_until(lambda: not list(pending.iterdir()), "pending/ is empty")
    (pending / "again.json").write_text(json.dumps(LEGACY))
    site.answer(2)
    wait_until(lambda: len(site.settled(2)) == 2, "two are done")
    assert [r.request.request_id for r in site.records()] == ["test_20251111_001", "test_20251111_001-2"]
    assert "list.json.reason.txt" in site.files()["failed"]
    assert "wrong.json.reason.txt" in site.files()["failed"]


def test_half_written(site: MailSite) -> None:
    pending = site.queue / "pending"
    wait_until(pending.is_dir, "the folders")
    text = json.dumps(LEGACY)
    with (pending / "slow.json").open("w") as file:
        file.write(text[:50])
        file.flush()
        looks = site.daemon.lines("put aside")
        (pending / "other.json").write_text(json.dumps({**LEGACY, "request_id": "other"}))
        site.answer(1)
        assert site.daemon.lines("put aside") == looks
        file.write(text[50:])
    site.answer(2)


def test_pause_survives_a_restart(site: MailSite) -> None:
    site.daemon.ctl("pausar")
    site.deliver(mail(RAMAIS))
    site.daemon.stop()
    site.daemon.start()
    assert site.daemon.status()["mail"]["reading"] is False
    assert site.answers() == []
    site.daemon.ctl("retomar")
    site.answer()


def test_request_by_command_line(site: MailSite) -> None:
    config = str(site.daemon.file)
    done = site.daemon.command("request", RAMAIS, "--from", PERSON, "-c", config)
    assert done.returncode == 0, done.stderr
    site.answer(1)
    refused = site.daemon.command("request", "RAMAIS=1", "--from", PERSON, "-c", config)
    assert refused.returncode == 2
    assert refused.stderr.strip()
    site.daemon.stop()
    assert site.daemon.command("request", RAMAIS, "--from", PERSON, "-c", config).returncode == 0
    site.daemon.start()
    site.answer(2)


def test_shadow_does_nothing(tmp_path: Path) -> None:
    site = MailSite(tmp_path, settings(node={"shadow": True}))
    name = site.deliver(mail(RAMAIS))
    with site.daemon:
        status = site.daemon.status()
        assert status["mail"] is None
        assert status["queue"] is None
    assert site.left() == [name]


def test_a_slave_reads_no_mail_but_runs_the_queue(tmp_path: Path) -> None:
    site = MailSite(tmp_path, settings(node={"mode": "slave"}))
    name = site.deliver(mail(RAMAIS))
    with site.daemon:
        wait_until((site.queue / "pending").is_dir, "the folders")
        (site.queue / "pending" / "a.json").write_text(json.dumps(LEGACY))
        site.answer(1)
        assert site.daemon.status()["mail"] is None
    assert site.left() == [name]


def test_recordings_send(tmp_path: Path) -> None:
    """The old selection program, without a daemon: its exit statuses."""
    roots = [str(recordings(tmp_path / "recordings"))]
    site = MailSite(tmp_path, settings(recordings={"roots": roots}))

    def send(ramais: str, inicio: str = "27/10/2025 08:00", fim: str = "27/10/2025 18:00") -> int:
        words = ("--ramais", ramais, "--inicio", inicio, "--fim", fim, "--email", PERSON)
        config = ("-c", str(site.daemon.file))
        return site.daemon.command("recordings", "send", *config, "--modo", "automatico", *words).returncode

    assert send("1121") == 0
    assert ".result@" in site.answer(1)["Message-ID"]
    assert send("1199") == 1
    assert send("12") == 2
    assert send("1121", fim="26/10/2025 08:00") == 2
    site.daemon.configure(settings())
    assert send("1121") == 3


def test_import_config(tmp_path: Path) -> None:
    """The result passes `check`'s validation; the tokens are hashed."""
    old = tmp_path / "monitor_config.txt"
    old.write_text(
        "EMAIL_SERVICE=audio@example.com\nEMAIL_PASSWORD=secret\nWHITELIST=person@example.com\nMODE=slave\n"
    )
    (tmp_path / "valid_tokens.txt").write_text("1A2B3C4D\n")
    site = MailSite(tmp_path / "site", settings())
    done = site.daemon.command("import-config", str(old), "--tokens", str(tmp_path / "valid_tokens.txt"))
    assert done.returncode == 0, done.stderr
    assert "priority = 100" in done.stdout
    assert "1A2B3C4D" not in done.stdout + (tmp_path / "arimonitor.tokens").read_text()
    assert site.daemon.command("import-config", str(tmp_path / "none.txt")).returncode == 1


def test_operator(site: MailSite) -> None:
    """Cancel tells the requester; a failed one can be taken again; the script of old works."""
    address = f"{site.daemon.address[0]}:{site.daemon.address[1]}"
    script = [str(REPOSITORY / "etc/controle_monitor.sh")]
    environ = {
        **site.daemon.environ,
        "ARIMONITOR": "python_arimonitor",
        "ARIMONITOR_ADDRESS": address,
        "PATH": f"{site.folder}:{site.daemon.environ['PATH']}",
    }
    program = site.folder / "python_arimonitor"
    program.write_text(f'#!/bin/sh\ncd {REPOSITORY}\nexec {sys.executable} -m daemon "$@"\n')
    program.chmod(0o755)

    def control(word: str) -> int:
        return subprocess.run([*script, word], env=environ, capture_output=True, timeout=60).returncode

    assert control("pausar") == 0
    assert control("nonsense") == 2
    wait_until((site.queue / "pending").is_dir, "the folders")
    assert (
        site.daemon.command("request", RAMAIS, "--from", PERSON, "-c", str(site.daemon.file)).returncode == 0
    )
    assert control("retomar") == 0
    site.answer(1)
    (record,) = site.settled()
    name = record.request.request_id
    with pytest.raises(CommandFailed):
        site.daemon.ctl("queue", "cancel", name)
    with pytest.raises(CommandFailed):
        site.daemon.ctl("queue", "retry", name)
    with pytest.raises(CommandFailed):
        site.daemon.ctl("queue", "show", "no-such-id")
    assert site.daemon.ctl("queue", "completed")["requests"][0]["request_id"] == name


def test_a_second_daemon_on_the_same_data(site: MailSite) -> None:
    """It refuses to start, says why and touches nothing; the request is answered once, by the first."""
    other = site.daemon.file.with_name("second.toml")
    other.write_text(site.daemon.file.read_text())
    site.daemon.ctl("pausar")
    site.deliver(mail(RAMAIS))
    done = site.daemon.command("run", "-c", str(other))
    assert done.returncode == 1
    assert f"another arimonitor uses the data directory {site.daemon.data}" in done.stderr
    site.daemon.ctl("retomar")
    site.answer()
    (record,) = site.settled()
    assert (record.state, record.attempt) == ("done", 1)
