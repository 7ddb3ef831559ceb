"""CHECKIP on a real fail2ban through a real sshd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import RequestError, TransientError
from daemon.jobs.checkip import STEPS, CheckIp
from daemon.jobs.model import IpChecked, Request
from daemon.settings import Settings
from tests.servers import fail2ban, sshd
from tests.servers.fail2ban import Fail2ban
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

for _reason in (sshd.unavailable_reason(), fail2ban.unavailable_reason()):
    if _reason is not None:
        pytest.skip(_reason, allow_module_level=True)

V4, V6 = "203.0.113.7", "2001:db8::7"


class Crash(Exception):
    """The process ends here."""


class Site:
    """A server with fail2ban, and the work."""

    def __init__(self, server: Sshd, guard: Fail2ban, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.steps: list[str] = []
        known = {"fail2ban_command": guard.command, **more}
        self.settings = Settings.model_validate({"server": [server.settings(**known)]})

    def run(self, ip: str, crash_at: int | None = None, name: str = "gv1p") -> IpChecked:
        """Do it; after so many steps (from 0) it crashes."""
        self.steps.clear()

        def passed(step: str) -> None:
            self.steps.append(step)
            if len(self.steps) - 1 == crash_at:
                raise Crash

        request = Request(
            "20251027_110000_1a2b3c4d", "CHECKIP", "person@example.com", {"ip": ip}, server=name
        )
        return CheckIp(lambda: self.settings, passed)(request, self.folder)


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with Sshd() as running:
        yield running


@pytest.fixture(scope="module")
def running() -> Iterator[Fail2ban]:
    with Fail2ban(("asterisk", "sshd", "web")) as guard:
        yield guard


@pytest.fixture
def guard(running: Fail2ban) -> Fail2ban:
    running.client("unban", "--all")
    (running.base / "done").unlink(missing_ok=True)
    return running


@pytest.fixture
def site(server: Sshd, guard: Fail2ban, tmp_path: Path) -> Site:
    return Site(server, guard, tmp_path / "work")


def said(checked: IpChecked) -> dict[str, tuple[bool, bool]]:
    return {jail.name: (jail.banned, jail.lifted) for jail in checked.jails}


@pytest.mark.parametrize("ip", [V4, V6])
def test_it_is_let_out_of_every_jail(site: Site, guard: Fail2ban, ip: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    guard.ban("asterisk", ip)
    guard.ban("web", ip)
    guard.ban("web", "198.51.100.1")
    found = site.run(ip)
    assert (found.ip, found.server) == (ip, "gv1p")
    assert said(found) == {"asterisk": (True, True), "sshd": (False, False), "web": (True, True)}
    jail = found.jails[0]
    assert jail.since is not None
    assert jail.until is not None
    assert before <= jail.since <= datetime.now(UTC)
    assert (jail.until - jail.since).total_seconds() == 600
    assert jail.why == f"maxretry 3, findtime 60: {guard.base / 'messages'}"
    assert guard.banned("asterisk") == []
    assert guard.banned("web") == ["198.51.100.1"], "nobody else's"
    assert sorted(line for line in guard.done() if line.startswith("unban")) == [f"unban {ip}"] * 2


def test_an_address_that_is_not_banned(site: Site, guard: Fail2ban) -> None:
    guard.ban("asterisk", "203.0.113.70")
    found = site.run(V4)
    assert said(found) == dict.fromkeys(("asterisk", "sshd", "web"), (False, False))
    assert guard.banned("asterisk") == ["203.0.113.70"]


def test_it_is_written_in_canonical_form(site: Site, guard: Fail2ban) -> None:
    guard.ban("asterisk", V6)
    assert said(site.run("2001:0DB8:0::0007"))["asterisk"] == (True, True)


def test_a_banned_network_is_told_and_stays(site: Site, guard: Fail2ban) -> None:
    """To lift it would let others out."""
    guard.ban("asterisk", "203.0.113.0/24")
    found = site.run(V4)
    assert said(found)["asterisk"] == (True, False)
    assert found.jails[0].why.startswith("203.0.113.0/24; maxretry")
    assert guard.banned("asterisk") == ["203.0.113.0/24"]


def test_only_the_jails_of_the_configuration(server: Sshd, guard: Fail2ban, tmp_path: Path) -> None:
    guard.ban("web", V4)
    site = Site(server, guard, tmp_path, jails=["asterisk", "sshd"])
    assert said(site.run(V4)) == {"asterisk": (False, False), "sshd": (False, False)}
    assert guard.banned("web") == [V4]


def test_run_twice_it_tells_the_same(site: Site, guard: Fail2ban) -> None:
    guard.ban("asterisk", V4)
    first = site.run(V4)
    assert site.run(V4) == first
    assert len([line for line in guard.done() if line.startswith("unban")]) == 1


@pytest.mark.parametrize(
    ("jails", "steps", "point"),
    [
        (["asterisk"], ["looked"], 0),
        (["asterisk"], ["looked", "noted"], 1),
        (["asterisk"], ["looked", "noted", "lifted"], 2),
        (["asterisk", "web"], ["looked", "noted", "lifted"], 2),
        (["asterisk"], ["looked", "noted", "lifted", "verified"], 3),
    ],
)
def test_killed_after_any_step_and_run_again(
    server: Sshd, guard: Fail2ban, tmp_path: Path, jails: list[str], steps: list[str], point: int
) -> None:
    """With two bans: killed between the two, both are told."""
    site = Site(server, guard, tmp_path, jails=jails)
    for jail in jails:
        guard.ban(jail, V4)
    with pytest.raises(Crash):
        site.run(V4, crash_at=point)
    assert site.steps == steps
    assert said(site.run(V4)) == dict.fromkeys(jails, (True, True))
    assert [guard.banned(jail) for jail in jails] == [[]] * len(jails)
    assert steps == list(STEPS)[: len(steps)]


@pytest.mark.parametrize(
    "ip",
    ["", "203.0.113.7; touch /tmp/x", "$(id)", "--help", "203.0.113.7\nunban --all", "all", "203.0.113.7/0"],
)
def test_what_is_no_address_never_gets_there(site: Site, guard: Fail2ban, ip: str) -> None:
    guard.ban("asterisk", V4)
    with pytest.raises(RequestError) as refused:
        site.run(ip)
    assert refused.value.code == "ip-invalid"
    assert guard.banned("asterisk") == [V4]


def test_names_of_servers(site: Site) -> None:
    for name, code in (("nowhere", "server-not-known"), ("gv1p; id", "server-not-known")):
        with pytest.raises(RequestError) as refused:
            site.run(V4, name=name)
        assert refused.value.code == code
    site.settings = Settings.model_validate(
        {"server": [{"name": "a", "host": "192.0.2.1"}, {"name": "b", "host": "192.0.2.2"}, {"name": "c"}]}
    )
    with pytest.raises(RequestError) as refused:
        site.run(V4, name="")
    assert (refused.value.code, refused.value.names) == ("which-server", {"servers": "a, b"})
    with pytest.raises(RequestError) as refused:
        site.run(V4, name="c")
    assert refused.value.code == "server-without-ssh"


def test_the_only_server_needs_no_name(site: Site) -> None:
    assert site.run(V4, name="").server == "gv1p"


def test_a_jail_that_is_not_there(server: Sshd, guard: Fail2ban, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        Site(server, guard, tmp_path, jails=["nojail"]).run(V4)
    assert (refused.value.code, refused.value.names["jail"]) == ("jail-unknown", "nojail")


def test_a_client_that_is_not_there(server: Sshd, guard: Fail2ban, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        Site(server, guard, tmp_path, fail2ban_command=["no-such-client"]).run(V4)
    assert refused.value.code == "server-command"


def test_no_right_to_the_socket(server: Sshd, guard: Fail2ban, tmp_path: Path) -> None:
    """What sudo says where there is no line for it in sudoers."""
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    with pytest.raises(RequestError) as refused:
        Site(server, guard, tmp_path, fail2ban_command=[str(sudo), "-n", "fail2ban-client"]).run(V4)
    assert refused.value.code == "server-command"
    assert "a password is required" in str(refused.value)


def test_fail2ban_is_down_and_comes_back(site: Site, guard: Fail2ban) -> None:
    guard.ban("asterisk", V4)
    guard.stop()
    with pytest.raises(TransientError, match="does not answer"):
        site.run(V4)
    guard.start()
    wait_until(lambda: guard.banned("asterisk") == [V4], "its database remembered the ban")
    assert said(site.run(V4))["asterisk"] == (True, True)


def test_fail2ban_hangs(site: Site, guard: Fail2ban, tmp_path: Path) -> None:
    guard.freeze()
    try:
        request = Request("x", "CHECKIP", "person@example.com", {"ip": V4}, server="gv1p")
        with pytest.raises(TransientError, match="gv1p"):
            CheckIp(lambda: site.settings, seconds=1.5)(request, tmp_path)
    finally:
        guard.thaw()


def test_the_server_is_down_and_a_stranger(guard: Fail2ban, tmp_path: Path) -> None:
    with Sshd() as server:
        site = Site(server, guard, tmp_path)
        server.stop()
        with pytest.raises(TransientError, match="can't be reached"):
            site.run(V4)
        server.new_host_key()
        server.start()
        with pytest.raises(RequestError) as refused:
            site.run(V4)
        assert refused.value.code == "server-refused"
        assert "HOST KEY HAS CHANGED" in str(refused.value)


def test_cut_while_it_works(guard: Fail2ban, tmp_path: Path) -> None:
    guard.ban("asterisk", V4)
    with Sshd() as server:
        site = Site(server, guard, tmp_path)

        request = Request("x", "CHECKIP", "person@example.com", {"ip": V4}, server="gv1p")
        with pytest.raises(TransientError):
            CheckIp(lambda: site.settings, lambda step: server.cut() if step == "noted" else None)(
                request, tmp_path
            )
        assert said(site.run(V4))["asterisk"] == (True, True)


def test_the_notes_are_small_and_hold_no_more_than_the_answer(site: Site, guard: Fail2ban) -> None:
    guard.ban("asterisk", V4)
    site.run(V4)
    notes = json.loads((site.folder / "checkip.json").read_text())
    assert [jail["name"] for jail in notes["jails"]] == ["asterisk"]
