"""MACCHANGE on real provisioning folders through a real sshd: whole or refused, wherever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.errors import TransientError
from daemon.jobs.macchange import STEPS
from daemon.jobs.model import ExtensionMoved
from daemon.settings import Settings
from tests.integration.macchange_parts import AFTER, AS_IT_WAS, ID, MOVED, NEW, OLD, Crash, Site, request
from tests.integration.macchange_parts import server as server
from tests.integration.macchange_parts import site as site
from tests.servers import sshd
from tests.servers.sshd import Sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


def test_it_moves(site: Site) -> None:
    assert site.run() == ExtensionMoved("1121", "gv1p", OLD, NEW, notified=False)
    assert site.there() == MOVED
    assert (site.files / "805ec0ddee1f.cfg").stat().st_mode & 0o777 == 0o644
    assert site.steps == list(STEPS)


def test_run_again_it_tells_the_same(site: Site) -> None:
    first = site.run()
    (site.files / "805ec0ddee1f.cfg").write_bytes(b"edited since\n")
    assert site.run() == first
    assert site.there()["805ec0ddee1f.cfg"] == b"edited since\n"


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_any_step_and_run_again(site: Site, step: str) -> None:
    with pytest.raises(Crash):
        site.run(crash_at=step)
    assert site.there() in (AS_IT_WAS, {**AS_IT_WAS, "805ec0ddee1f.cfg": AFTER}, MOVED)
    assert site.run().mac_new == NEW
    assert site.there() == MOVED


KILLED = """
import msgspec, os, signal, sys
from pathlib import Path
from daemon.jobs.macchange import MacChange
from daemon.jobs.model import Request
from daemon.settings import Settings

settings, request, folder, at = sys.argv[1:]
settings = Settings.model_validate_json(settings)
def passed(step):
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)
MacChange(lambda: settings, passed)(msgspec.json.decode(request, type=Request), Path(folder))
"""


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_after_any_step_and_run_again(site: Site, step: str) -> None:
    server = site.server.settings(provisioning_dir=str(site.files))
    argv = [json.dumps({"server": [server]}), msgspec.json.encode(request()).decode(), str(site.work), step]
    killed = subprocess.run([sys.executable, "-c", KILLED, *argv], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert site.run().mac_new == NEW
    assert site.there() == MOVED


@pytest.mark.parametrize("step", ["begun", "written", "kept"])
def test_cut_after_any_step_and_run_again(tmp_path: Path, step: str) -> None:
    with Sshd() as server:
        site = Site(server, tmp_path)
        if step == "kept":
            site.run(crash_at=step, do=server.cut)  # what follows needs no connection
        else:
            with pytest.raises(TransientError):
                site.run(crash_at=step, do=server.cut)
            site.run()
        assert site.there() == MOVED


def test_killed_while_sshd_renames(site: Site) -> None:
    """OpenSSH links and unlinks: both names are there when it dies in between."""
    with pytest.raises(Crash):
        site.run(crash_at="written")
    os.link(site.files / "001565aabb0c.cfg", site.files / f"001565aabb0c.cfg.bak-{ID}")
    os.link(site.files / "805ec0ddee1f.cfg", site.files / f".805ec0ddee1f.cfg.{ID}.part")
    site.run()
    assert site.there() == MOVED


def test_half_written_and_run_again(site: Site) -> None:
    with pytest.raises(Crash):
        site.run(crash_at="begun")
    (site.files / f".805ec0ddee1f.cfg.{ID}.part").write_bytes(b"acc")
    site.run()
    assert site.there() == MOVED


# -- refused: all stays as it was ------------------------------------------------------------------
def test_refusals(site: Site) -> None:
    assert site.refused(mac_atual="00:15:65:aa:bb:0d") == "mac-without-file"
    assert site.refused(ramal="1122") == "mac-of-another"
    assert site.refused(mac_futuro=OLD) == "mac-same"
    (site.files / "805ec0ddee1f.cfg").write_bytes(b"somebody's\n")
    assert site.refused() == "mac-taken"
    assert site.there() == {**AS_IT_WAS, "805ec0ddee1f.cfg": b"somebody's\n"}


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ({"ramal": "1121; id"}, "extension-invalid"),
        ({"ramal": "../1121"}, "extension-invalid"),
        ({"ramal": "1121\n"}, "extension-invalid"),
        ({"ramal": ".*"}, "extension-invalid"),
        ({"mac_atual": "../../../etc/passwd"}, "mac-invalid"),
        ({"mac_atual": "00:15:65:AA:BB:0C"}, "mac-invalid"),
        ({"mac_futuro": "80:5e:c0:dd:ee:1f/../../x"}, "mac-invalid"),
        ({"mac_futuro": "$(id)"}, "mac-invalid"),
        ({"mac_futuro": "ff:ff:ff:ff:ff:ff"}, "mac-invalid"),
        ({"request_id": "../../x"}, "request-id-invalid"),
        ({"request_id": "a b"}, "request-id-invalid"),
        ({"server": "gv1p/../x"}, "server-not-known"),
    ],
)
def test_injection(site: Site, what: dict[str, str], code: str) -> None:
    assert site.refused(**what) == code
    assert site.there() == AS_IT_WAS


def test_a_folder_with_the_name_of_the_file(site: Site) -> None:
    (site.files / "001565aabb0c.cfg").unlink()
    (site.files / "001565aabb0c.cfg").mkdir()
    assert site.refused() == "mac-without-file"


def test_a_file_that_is_too_large(site: Site) -> None:
    (site.files / "001565aabb0c.cfg").write_bytes(b"1121\n" * 300_000)
    assert site.refused() == "server-refused"


def test_content_is_never_code(site: Site) -> None:
    evil = b"1121 $(touch /tmp/x) `id` \\1 \\g<0> {mac} %s \"'; 001565aabb0c\n"
    (site.files / "001565aabb0c.cfg").write_bytes(evil)
    site.run()
    assert site.there()["805ec0ddee1f.cfg"] == evil.replace(b"001565aabb0c", b"805ec0ddee1f")


def test_a_server_without_provisioning(site: Site) -> None:
    site.settings = Settings.model_validate({"server": [site.server.settings()]})
    assert site.refused() == "server-without-ssh"


# -- other makers, and the phone -------------------------------------------------------------------
def test_another_makers_form(site: Site) -> None:
    (site.files / "SEP001565AABB0C.cnf.xml").write_bytes(
        b"<name>1121</name><mac>001565AABB0C</mac><x>1121</x>\n"
    )
    site.configure(
        provisioning_pattern="SEP{MAC}.cnf.xml",
        provisioning_extension="<name>{extension}</name>",
        provisioning_mac="<mac>{mac}</mac>",
    )
    site.run()
    assert site.there()["SEP805EC0DDEE1F.cnf.xml"] == b"<name>1121</name><mac>805EC0DDEE1F</mac><x>1121</x>\n"


def test_the_phone_is_told(site: Site, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = tmp_path / "asterisk"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {told}\n')
    program.chmod(0o755)
    site.configure(notify_command=[str(program), "-rx", "pjsip send notify check-sync endpoint {extension}"])
    assert site.run().notified
    assert told.read_text() == "-rx|pjsip send notify check-sync endpoint 1121|"
    assert site.run().notified
    assert told.read_text().count("-rx") == 1, "once"


@pytest.mark.parametrize("command", [["false"], ["no-such-program-here"]])
def test_a_phone_that_cannot_be_told_is_no_failure(site: Site, command: list[str]) -> None:
    site.configure(notify_command=command)
    assert not site.run().notified
    assert site.there() == MOVED
