"""MACCHANGE on real provisioning folders through a real sshd: whole or not at all, wherever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.errors import RequestError, TransientError
from daemon.jobs.macchange import STEPS, MacChange
from daemon.jobs.model import ExtensionMoved, Request
from daemon.settings import Settings
from tests.servers import sshd
from tests.servers.sshd import Sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)

OLD, NEW = "00:15:65:aa:bb:0c", "80:5e:c0:dd:ee:1f"
ID = "20251027_110000_1a2b3c4d"
BEFORE = b"account.1.user_name = 1121\nmac = 00:15:65:AA:BB:0C\n\xff\r\n"
AFTER = b"account.1.user_name = 1121\nmac = 80:5E:C0:DD:EE:1F\n\xff\r\n"
AS_IT_WAS = {"001565aabb0c.cfg": BEFORE}
MOVED = {f"001565aabb0c.cfg.bak-{ID}": BEFORE, "805ec0ddee1f.cfg": AFTER}


class Crash(Exception):
    """The process ends here."""


class Site:
    """A server with provisioning files, and the work."""

    def __init__(self, server: Sshd, folder: Path) -> None:
        self.server = server
        self.work = folder / "work"
        self.files = folder / "provisioning"
        self.files.mkdir()
        (self.files / "001565aabb0c.cfg").write_bytes(BEFORE)
        (self.files / "001565aabb0c.cfg").chmod(0o644)
        self.steps: list[str] = []
        self.lost = ""
        self.configure()

    def lose(self, node: str = "AUDIO") -> None:
        """The node that worked is lost with its disk; another one goes on."""
        self.work = self.work.with_name(f"{self.work.name}-2")
        self.lost = node

    def configure(self, **more: Any) -> None:
        known = {"provisioning_dir": str(self.files), **more}
        self.settings = Settings.model_validate({"server": [self.server.settings(**known)]})

    def run(self, crash_at: str = "", do: Any = None, **more: str) -> ExtensionMoved:
        """Do it; after that step it crashes, or `do` is called."""
        self.steps.clear()

        def passed(step: str) -> None:
            self.steps.append(step)
            if step == crash_at and do is None:
                raise Crash
            if step == crash_at:
                do()

        request_id, server = more.pop("request_id", ID), more.pop("server", "gv1p")
        asked = {"ramal": "1121", "mac_atual": OLD, "mac_futuro": NEW, **more}
        request = Request(request_id, "MACCHANGE", "person@example.com", asked, server=server)
        return MacChange(lambda: self.settings, passed, lambda _: self.lost)(request, self.work)

    def refused(self, **more: Any) -> str:
        """The code with which it is refused."""
        with pytest.raises(RequestError) as error:
            self.run(**more)
        return error.value.code

    def write(self, name: str) -> None:
        (self.files / name).write_bytes(b"somebody's\n")

    def there(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.files.iterdir()}


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def site(server: Sshd, tmp_path: Path) -> Site:
    return Site(server, tmp_path)


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


# -- a step that fails ------------------------------------------------------------------------------
def test_somebody_makes_the_new_file_first(site: Site) -> None:
    assert site.refused(crash_at="begun", do=lambda: site.write("805ec0ddee1f.cfg")) == "mac-taken"
    assert site.there() == {**AS_IT_WAS, "805ec0ddee1f.cfg": b"somebody's\n"}


def test_somebody_took_the_name_of_the_backup(site: Site) -> None:
    """The second step fails for good: the first is undone."""
    backup = site.files / f"001565aabb0c.cfg.bak-{ID}"
    assert site.refused(crash_at="written", do=backup.mkdir) == "changed-meanwhile"
    backup.rmdir()
    assert site.there() == AS_IT_WAS
    site.run()
    assert site.there() == MOVED


def test_somebody_changes_the_old_file_after_a_crash(site: Site) -> None:
    with pytest.raises(Crash):
        site.run(crash_at="written")
    (site.files / "001565aabb0c.cfg").write_bytes(b"1121 edited\n")
    assert site.refused() == "changed-meanwhile"
    assert site.there() == {"001565aabb0c.cfg": b"1121 edited\n"}, "ours is undone, theirs stays"


def test_somebody_removes_the_new_file_after_a_crash(site: Site) -> None:
    with pytest.raises(Crash):
        site.run(crash_at="kept")
    (site.files / "805ec0ddee1f.cfg").unlink()
    assert site.refused() == "changed-meanwhile"
    assert site.there() == AS_IT_WAS


def test_somebody_changes_the_old_file_while_it_is_moved(site: Site) -> None:
    old = site.files / "001565aabb0c.cfg"
    assert (
        site.refused(crash_at="written", do=lambda: old.write_bytes(b"1121 edited\n")) == "changed-meanwhile"
    )
    assert site.there() == {"001565aabb0c.cfg": b"1121 edited\n"}


def request() -> Request:
    asked = {"ramal": "1121", "mac_atual": OLD, "mac_futuro": NEW}
    return Request(ID, "MACCHANGE", "person@example.com", asked, server="gv1p")


@pytest.mark.parametrize("step", ["begun", "written", "kept"])
def test_given_up_after_any_step(site: Site, step: str) -> None:
    with pytest.raises(Crash):
        site.run(crash_at=step)
    assert MacChange(lambda: site.settings).abandon(request(), site.work)
    assert site.there() == AS_IT_WAS
    assert MacChange(lambda: site.settings).abandon(request(), site.work), "nothing is left"
    assert site.run().mac_new == NEW, "and it can be asked for again"


def test_given_up_while_the_server_is_away(tmp_path: Path) -> None:
    with Sshd() as server:
        site = Site(server, tmp_path)
        with pytest.raises(Crash):
            site.run(crash_at="kept")
        server.stop()
        assert not MacChange(lambda: site.settings).abandon(request(), site.work)
        server.start()
        assert MacChange(lambda: site.settings).abandon(request(), site.work)
        assert site.there() == AS_IT_WAS


def test_a_stranger_while_it_is_half_done(tmp_path: Path) -> None:
    """It is not told that all is as it was."""
    with Sshd() as server:
        site = Site(server, tmp_path)
        with pytest.raises(Crash):
            site.run(crash_at="written")
        server.new_host_key()
        server.restart()
        with pytest.raises(TransientError, match="has begun"):
            site.run()
        server.trust()
        site.run()
        assert site.there() == MOVED


def test_what_was_moved_is_not_given_up(site: Site) -> None:
    site.run()
    assert MacChange(lambda: site.settings).abandon(request(), site.work)
    assert site.there() == MOVED


def test_no_right_to_write(tmp_path: Path) -> None:
    with Sshd("ForceCommand internal-sftp -R") as server:
        site = Site(server, tmp_path)
        assert site.refused() == "server-refused"
        assert site.there() == AS_IT_WAS


def test_the_server_is_down_and_a_stranger(tmp_path: Path) -> None:
    with Sshd() as server:
        site = Site(server, tmp_path)
        server.stop()
        with pytest.raises(TransientError, match="can't be reached"):
            site.run()
        server.new_host_key()
        server.start()
        assert site.refused() == "server-refused"
        assert site.there() == AS_IT_WAS


# -- the node that began is lost ---------------------------------------------------------------------
@pytest.mark.parametrize("step", STEPS)
def test_another_node_goes_on_after_any_step(site: Site, step: str) -> None:
    with pytest.raises(Crash):
        site.run(crash_at=step)
    site.lose()
    assert site.run() == ExtensionMoved("1121", "gv1p", OLD, NEW, notified=False)
    assert site.there() == MOVED


def test_another_node_goes_on_where_sshd_was_killed_while_it_renamed(site: Site) -> None:
    with pytest.raises(Crash):
        site.run(crash_at="written")
    os.link(site.files / "001565aabb0c.cfg", site.files / f"001565aabb0c.cfg.bak-{ID}")
    site.lose()
    site.run()
    assert site.there() == MOVED


def test_a_file_half_written_by_a_lost_node(site: Site) -> None:
    with pytest.raises(Crash):
        site.run(crash_at="begun")
    (site.files / f".805ec0ddee1f.cfg.{ID}.part").write_bytes(AFTER[:10])
    site.lose()
    site.run()
    assert site.there() == MOVED


@pytest.mark.parametrize("step", ["begun", "written", "kept"])
def test_another_node_gives_up_what_was_begun(site: Site, step: str) -> None:
    with pytest.raises(Crash):
        site.run(crash_at=step)
    site.lose()
    assert MacChange(lambda: site.settings, begun_by=lambda _: "AUDIO").abandon(request(), site.work)
    assert site.there() == AS_IT_WAS


def test_what_a_lost_node_began_and_nobody_can_tell(site: Site) -> None:
    """Somebody has changed a file since: both stay as they are, and the administrator is told."""
    with pytest.raises(Crash):
        site.run(crash_at="written")
    (site.files / "805ec0ddee1f.cfg").write_bytes(b"edited since\n")
    site.lose()
    assert site.refused() == "move-unclear"
    assert site.there() == {**AS_IT_WAS, "805ec0ddee1f.cfg": b"edited since\n"}
    (site.files / "805ec0ddee1f.cfg").write_bytes(AFTER)
    (site.files / f"001565aabb0c.cfg.bak-{ID}").write_bytes(b"not what was there\n")
    assert site.refused() == "move-unclear"


def test_a_stranger_where_a_lost_node_had_begun(tmp_path: Path) -> None:
    """It is not told that all is as it was."""
    with Sshd() as server:
        site = Site(server, tmp_path)
        with pytest.raises(Crash):
            site.run(crash_at="written")
        site.lose()
        server.new_host_key()
        server.restart()
        with pytest.raises(TransientError, match="has begun"):
            site.run()
        assert not MacChange(lambda: site.settings, begun_by=lambda _: "AUDIO").abandon(request(), site.work)


def test_the_lost_node_lives_and_goes_on_too(site: Site) -> None:
    """Two nodes with one request, step by step beside one another: they come to the same end."""
    (site.work.parent / "other").mkdir()
    other = MacChange(lambda: site.settings, begun_by=lambda _: "AUDIO")
    for step in ("begun", "written", "kept"):
        site.run(crash_at=step, do=lambda: other(request(), site.work.parent / "other"))
        assert site.there() == MOVED
        for name in MOVED:
            (site.files / name).unlink()
        (site.files / "001565aabb0c.cfg").write_bytes(BEFORE)
        for folder in (site.work, site.work.parent / "other"):
            (folder / "macchange.json").unlink()


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
