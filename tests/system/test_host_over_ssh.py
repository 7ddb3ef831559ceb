"""A daemon whose Asterisk's files are on another machine: a real sshd in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers import sshd
from tests.servers.daemon import ArimonitorDaemon, CommandFailed, wait_until
from tests.servers.fake_ari import FakeAri
from tests.servers.sshd import Sshd
from tests.system.sites import asterisk, config, folder

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


@pytest.fixture
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture
def fake() -> Iterator[FakeAri]:
    with FakeAri() as running:
        yield running


def clients(there: Path, *names: str, mtime: int) -> None:
    file = there / "__CLIENTES__.DEF"
    file.write_text("".join(f"[{name}]\nname=Example {name}\n" for name in names))
    os.utime(file, (mtime, mtime))


def test_definitions_of_another_machine(server: Sshd, fake: FakeAri, tmp_path: Path) -> None:
    there = folder(tmp_path / "there")
    clients(there, "101", mtime=1_700_000_000)
    site = config(
        [asterisk(fake, host="gv1p", definitions=str(there), cdr=str(there / "Master.csv"))],
        server=[server.settings()],
    )
    copy = tmp_path / "daemon/data/mirror/voip3/__CLIENTES__.DEF"
    with ArimonitorDaemon(tmp_path / "daemon", site) as daemon:
        wait_until(lambda: "1 clients" in daemon.log_text(), "the definitions are read")
        assert daemon.notices() == {}

        clients(there, "101", "102", mtime=1_700_000_100)  # by itself: see test_mirror
        reloaded = daemon.ctl("reload", "clients")
        assert "2 clients" in str(reloaded)
        assert "102" in copy.read_text()

        server.stop()
        clients(there, "999", mtime=1_700_000_200)
        with suppress(CommandFailed):
            daemon.ctl("reload", "clients")
        said = daemon.notices()["files voip3"]
        assert "can't be reached" in said
        assert "the definitions of " in said
        assert "stay in force" in said
        assert "102" in copy.read_text()

        server.start()
        assert "1 clients" in str(daemon.ctl("reload", "clients"))
        assert "files voip3" not in daemon.notices()
        assert "999" in copy.read_text()

    server.stop()
    with ArimonitorDaemon(tmp_path / "daemon", site) as daemon:
        wait_until(lambda: "files voip3" in daemon.notices(), "it says so at a start too")
        assert "loaded the definitions of voip3: 1 clients" in daemon.log_text()
