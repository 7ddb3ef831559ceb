"""MACCHANGE half done through a real sshd: a step fails, it is given up, another node goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.errors import TransientError
from daemon.jobs.macchange import STEPS, MacChange
from daemon.jobs.model import ExtensionMoved
from tests.integration.macchange_parts import (
    AFTER,
    AS_IT_WAS,
    BEFORE,
    ID,
    MOVED,
    NEW,
    OLD,
    Crash,
    Site,
    request,
)
from tests.integration.macchange_parts import server as server
from tests.integration.macchange_parts import site as site
from tests.servers import sshd
from tests.servers.sshd import Sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


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
