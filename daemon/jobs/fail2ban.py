"""What fail2ban-client prints, understood: 0.9 to 1.1. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TIMES = re.compile(r"(\S+)\s+(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \+ (-?\d+) = (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_MOST_JAILS = 100


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is banned, since when and until when; None: not told, or for ever."""

    who: Network
    since: datetime | None = None
    until: datetime | None = None


def address(text: str) -> Address | None:
    """An IP address in canonical form; an IPv4-mapped one is the IPv4. None: it is none.

    >>> str(address("2001:DB8:0::7"))
    '2001:db8::7'
    """
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return None if found.scope_id else found.ipv4_mapped or found
    return found


def jails(status: str) -> tuple[str, ...]:
    """The names in `fail2ban-client status`."""
    for line in status.splitlines():
        head, colon, names = line.partition("Jail list:")
        if colon and not head.strip(" `|-\t"):
            found = [name.strip() for name in names.split(",")]
            return tuple(name for name in found if _NAME.fullmatch(name))[:_MOST_JAILS]
    return ()


def offset(text: str) -> timezone | None:
    """What `date +%z` says: the zone in which that machine's fail2ban prints times."""
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes >= 24 * 60:
        return None
    return timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes))


def bans(text: str, zone: timezone | None) -> Iterator[Ban]:
    """The lines of `get JAIL banip --with-time`. Without a zone times are not told."""
    for line in text.splitlines():
        match = _TIMES.match(line)
        if match is None:
            continue
        who = _network(match[1])
        if who is not None:
            forever = int(match[3]) < 0
            yield Ban(who, _time(match[2], zone), None if forever else _time(match[4], zone))


def listed(status: str) -> Iterator[Ban]:
    """The same from `status JAIL`, which knows no times: for a fail2ban before 0.11."""
    for line in status.splitlines():
        _, colon, names = line.partition("Banned IP list:")
        for name in names.split() if colon else ():
            if (who := _network(name)) is not None:
                yield Ban(who)


def covering(found: Iterator[Ban], ip: Address) -> Ban | None:
    """The ban of exactly this address, else of a network that holds it."""
    mine = [ban for ban in found if ban.who.version == ip.version and ip in ban.who]
    return max(mine, key=lambda ban: ban.who.prefixlen, default=None)


def files(text: str) -> tuple[str, ...]:
    """The log files of `get JAIL logpath`."""
    return tuple(line.lstrip("|`- ").strip() for line in text.splitlines() if line.startswith(("|-", "`-")))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _time(text: str, zone: timezone | None) -> datetime | None:
    if zone is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    except ValueError:
        return None
