"""Addresses of the network as people type them: IPs that may be looked at, MACs of phones. Pure.

Sources: the IANA special-purpose address registries. Documentation ranges
count as public. The tables are our own, since what Python's `is_private` means
differs between its versions.
"""

from __future__ import annotations

import ipaddress
import re

from daemon.mail.front import shown
from daemon.mail.mistakes import Mistake

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED = tuple(
    (code, ipaddress.ip_network(network))
    for code, networks in (
        ("ip-unspecified", "0.0.0.0/8 ::/128"),
        ("ip-loopback", "127.0.0.0/8 ::1/128"),
        ("ip-link-local", "169.254.0.0/16 fe80::/10"),
        ("ip-multicast", "224.0.0.0/4 ff00::/8"),
        ("ip-private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
        ("ip-reserved", "192.0.0.0/24 198.18.0.0/15 240.0.0.0/4 ::/96 100::/64"),
    )
    for network in networks.split()
)
_IP = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_WITH_PORT = re.compile(r"[0-9.]{7,15}:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}")
_LEADING_ZERO = re.compile(r"(?:^|\.)0[0-9]")
_MAC = re.compile(
    r"[0-9A-F]{12}|[0-9A-F]{2}(?P<sign>[:.-])[0-9A-F]{2}(?:(?P=sign)[0-9A-F]{2}){4}|[0-9A-F]{4}(?:\.[0-9A-F]{4}){2}",
    re.IGNORECASE,
)


def public_ip(text: str) -> str:
    """The address in compressed form; an IPv4-mapped IPv6 is the IPv4. Raises Mistake."""
    names = {"value": shown(text)}
    if "/" in text:
        raise Mistake("ip-mask", **names)
    if _WITH_PORT.fullmatch(text):
        raise Mistake("ip-port", **names)
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    if not _IP.fullmatch(bare):
        raise Mistake("trailing-words" if " " in text else "bad-ip", **names)
    if "." in bare and _LEADING_ZERO.search(bare.rpartition(":")[2]):
        raise Mistake("ip-leading-zero", **names)
    try:
        address: Address = ipaddress.ip_address(bare)
    except ValueError as error:
        raise Mistake("bad-ip", **names) from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for code, network in _REFUSED:
        if address.version == network.version and address in network:
            raise Mistake(code, **names)
    return address.compressed


def mac(key: str, text: str) -> str:
    """The MAC in lower case with `:`. Raises Mistake."""
    names = {"key": key, "value": shown(text)}
    if not _MAC.fullmatch(text):
        raise Mistake("bad-mac", **names)
    digits = re.sub("[:.-]", "", text).lower()
    if digits == "0" * 12:
        raise Mistake("mac-zero", **names)
    if digits == "f" * 12:
        raise Mistake("mac-broadcast", **names)
    if int(digits[:2], 16) & 1:
        raise Mistake("mac-multicast", **names)
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
