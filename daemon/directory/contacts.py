"""Where a phone is registered from: contact URIs and the CLI's list of them. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from daemon.errors import TransientError

_SIP_URI = re.compile(
    r"sips?:(?:[^@\s]*@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?=[;?>]|$)",
    re.IGNORECASE,
)
_CLI_CELL = "<Aor/ContactUri"
_CLI_ROW = "Contact:"
_CLI_NONE = "No objects found"
_REMEMBERED = 8192  # hosts and URIs: a look asks for each several times, and there are thousands of endpoints


class PjsipStuck(TransientError):
    """Asterisk answers, but nothing that PJSIP has to answer: phones can neither register nor call."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One registration: the endpoint that it is of, and its URI as Asterisk keeps it.

    `reachable` is False only where Asterisk qualifies the contact and has no answer.
    """

    endpoint: str
    uri: str
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """The host and port of a contact's URI. `port` is None where the URI has none."""

    host: str
    port: int | None = None

    @property
    def ip(self) -> str | None:
        """The host as an IP address in its usual form, None where it is a name.

        >>> Place("::ffff:192.0.2.7").ip
        '192.0.2.7'
        """
        return _ip_of(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@lru_cache(_REMEMBERED)
def _ip_of(host: str) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@lru_cache(_REMEMBERED)
def place_of(uri: str) -> Place | None:
    """The place that a contact's URI names, None where it names none (`tel:`, garbage).

    >>> str(place_of("sip:1013015@192.0.2.15:5060;transport=udp"))
    '192.0.2.15:5060'
    """
    found = _SIP_URI.match(uri.strip().lstrip("<"))
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        return None
    return Place(found["host"].strip("[]"), port)


def parse_cli_contacts(text: str) -> list[Contact] | None:
    """The contacts of `pjsip show contacts`; None where the text is no such list.

    The list names the AOR, which is taken for the endpoint, as everywhere one
    has the other's name. Asterisk cuts what is longer than the column: a URI
    that may have lost a part of its address is left out, since half an
    address is another one.
    """
    width, contacts = 0, []
    for line in text.splitlines():
        at = line.find(_CLI_CELL)
        if at >= 0:
            width = line.find(">", at) + 1 - at
            continue
        label, _, rest = line.partition(_CLI_ROW)
        if label.strip() or not rest or width <= 0:
            continue
        cell = rest.split()[0]
        aor, slash, uri = cell.partition("/")
        words = rest.split()
        if not slash or (len(cell) >= width and ";" not in uri.rpartition("@")[2]):
            continue
        contacts.append(Contact(aor, uri, reachable="Unavail" not in words[1:]))
    return contacts if width > 0 or _CLI_NONE in text else None
