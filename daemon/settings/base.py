"""What every table of the configuration is made of: the frozen base and the value types. Pure.

A validator's ValueError says what would be right, not what is wrong: the
problem line puts file, key and value in front of it (see draft).
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, Strict

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAIL_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
_EXTENSIONS = re.compile(r"[0-9]{3,8}(-[0-9]{3,8})?")


class Section(BaseModel):
    """A table of the configuration: frozen, and no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def live(default: Any, summary: str, **constraints: Any) -> Any:
    """A key that may change while running. `summary` is its line in the manual."""
    return Field(default, description=summary, json_schema_extra={"reload": "live"}, **constraints)


def restart(default: Any, summary: str, **constraints: Any) -> Any:
    """A key that is read at the start only."""
    return Field(default, description=summary, json_schema_extra={"reload": "restart"}, **constraints)


def split_address(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPv6]:PORT` as host and port; port 0 is any free one.

    Raises ValueError, which says what would be right.

    >>> split_address("[::1]:1101")
    ('::1', 1101)
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    plain = host and not _CONTROL.search(host) and " " not in host and (bracketed or ":" not in host)
    if not (colon and plain and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        raise ValueError('HOST:PORT, such as "127.0.0.1:1101" or "[::1]:1101"')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether `host` is the machine itself: nobody else reaches what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name of letters, digits, _ and - only")
    return text


def _line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("text without line breaks and control characters")
    return text


def _host(text: str) -> str:
    if _CONTROL.search(text) or re.search(r"[\s/@]", text):
        raise ValueError("a host name or an IP address alone")
    return text


def _address(text: str) -> str:
    split_address(text)
    return text


def _url(text: str) -> str:
    right = ValueError(
        "http://HOST:PORT or https://..., with the server's prefix if it has one "
        '("http://192.0.2.10:8088/asterisk"), without user and password (they have keys of their own)'
    )
    if _CONTROL.search(text) or " " in text:
        raise right
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:  # a port that is no number, a broken [IPv6]
        raise right from error
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        raise right
    return text.rstrip("/")


def _path(value: object) -> object:
    text = str(value) if isinstance(value, str | Path) else ""
    if not text.startswith("/") or _CONTROL.search(text):
        raise ValueError('an absolute path, such as "/var/lib/arimonitor"')
    return value


def _path_or_none(value: object) -> object:
    return None if value is None or value == "" else _path(value)


def _secret(value: object) -> object:
    return None if value == "" else value


def _timezone(text: str) -> str:
    right = 'a time zone of the tz database, such as "America/Sao_Paulo" or "UTC"'
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(right) from error
    return text


def _mail_address(text: str) -> str:
    if text and not _MAIL_ADDRESS.fullmatch(text):
        raise ValueError('one mail address, such as "person@example.com"')
    return text


def _mail_pattern(text: str) -> str:
    if not _MAIL_ADDRESS.fullmatch("x" + text if text.startswith("@") else text):
        raise ValueError('mail addresses ("person@example.com") or whole domains ("@example.org")')
    return text


def _extensions(text: str) -> str:
    if not _EXTENSIONS.fullmatch(text):
        raise ValueError('extensions of 3 to 8 digits or ranges of them ("1121", "1100-1199")')
    return text


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_line)]
Name = Annotated[str, AfterValidator(_name)]
Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]
OptionalAddress = Annotated[str, AfterValidator(lambda text: _address(text) if text else text)]
Url = Annotated[str, AfterValidator(_url)]
OptionalUrl = Annotated[str, AfterValidator(lambda text: _url(text) if text else text)]
Folder = Annotated[Path, BeforeValidator(_path)]
OptionalPath = Annotated[Path | None, BeforeValidator(_path_or_none)]
Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]
Timezone = Annotated[str, AfterValidator(_timezone)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
MailPattern = Annotated[str, AfterValidator(_mail_pattern)]
Extensions = Annotated[str, AfterValidator(_extensions)]
Upper = BeforeValidator(_upper)

# Strict: "5672" in quotes is text, true is no number. The environment's text is
# turned into these types before it is validated.
Switch = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
