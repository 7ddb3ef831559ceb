"""A server with provisioning files behind a real sshd, and a MACCHANGE that crashes where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import RequestError
from daemon.jobs.macchange import MacChange
from daemon.jobs.model import ExtensionMoved, Request
from daemon.settings import Settings
from tests.servers.sshd import Sshd

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


def request() -> Request:
    asked = {"ramal": "1121", "mac_atual": OLD, "mac_futuro": NEW}
    return Request(ID, "MACCHANGE", "person@example.com", asked, server="gv1p")
