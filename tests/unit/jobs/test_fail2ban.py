"""What fail2ban-client prints, as version 1.0.2 of Debian 12 printed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from daemon.jobs.fail2ban import address, bans, covering, files, jails, listed, offset

STATUS = "Status\n|- Number of jail:\t2\n`- Jail list:\tasterisk, sshd\n"
BANS = (
    "203.0.113.7 \t2026-11-21 04:26:00 + 600 = 2026-11-21 04:36:00\n"
    "2001:db8::7 \t2026-11-21 04:26:01 + -1 = 9999-12-31 23:59:59\n"
    "198.51.100.0/24 \t2026-11-21 04:26:01 + 600 = 2026-11-21 04:36:01\n"
)
JAIL = (
    "Status for the jail: asterisk\n|- Filter\n|  |- Currently failed:\t0\n"
    "|  `- File list:\t/var/log/asterisk/messages\n`- Actions\n   |- Currently banned:\t2\n"
    "   `- Banned IP list:\t203.0.113.7 2001:db8::7\n"
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7; reboot", None),
        ("203.0.113.07", None),
        ("203.0.113.7/24", None),
        ("fe80::1%eth0", None),
        ("fe80::1%$(id)", None),
        ("--help", None),
        ("203.0.113.7\n", None),
        ("", None),
        ("٢٠٣.0.113.7", None),
    ],
)
def test_addresses(text: str, found: str | None) -> None:
    assert (str(address(text)) if address(text) is not None else None) == found


def test_jails() -> None:
    assert jails(STATUS) == ("asterisk", "sshd")
    assert jails("Status\n|- Number of jail:\t0\n`- Jail list:\t\n") == ()
    assert jails("`- Jail list:\tgood, -x, a b, $(id), x;y, \n") == ("good",)
    assert jails("garbage") == ()


def test_bans() -> None:
    zone = timezone(timedelta(hours=-3))
    first, second, third = bans(BANS + "garbage\n", zone)
    assert str(first.who) == "203.0.113.7/32"
    assert first.since == datetime(2026, 11, 21, 7, 26, tzinfo=UTC)
    assert first.until == datetime(2026, 11, 21, 7, 36, tzinfo=UTC)
    assert (str(second.who), second.until) == ("2001:db8::7/128", None)
    assert str(third.who) == "198.51.100.0/24"
    assert next(bans(BANS, None)).since is None
    assert list(bans("\n", zone)) == []


@pytest.mark.parametrize(
    ("ip", "who"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("198.51.100.9", "198.51.100.0/24"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("203.0.113.70", None),
        ("2001:db8::8", None),
    ],
)
def test_covering(ip: str, who: str | None) -> None:
    known = address(ip)
    assert known is not None
    ban = covering(bans(BANS, None), known)
    assert (str(ban.who) if ban else None) == who


def test_an_old_client_lists_without_times() -> None:
    assert [str(ban.who) for ban in listed(JAIL)] == ["203.0.113.7/32", "2001:db8::7/128"]


def test_log_files() -> None:
    text = "Current monitored log file(s):\n|- /var/log/a\n`- /var/log/b\n"
    assert files(text) == ("/var/log/a", "/var/log/b")
    assert files("No file is currently monitored\n") == ()


@pytest.mark.parametrize(
    ("text", "hours"),
    [("-0300\n", -3.0), ("+0000", 0.0), ("+0545", 5.75), ("", None), ("UTC", None), ("+9999", None)],
)
def test_offset(text: str, hours: float | None) -> None:
    zone = offset(text)
    assert (None if zone is None else zone.utcoffset(None) / timedelta(hours=1)) == hours
