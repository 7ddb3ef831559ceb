r"""The definition files as Asterisk's administrators keep them: bytes in, tables and bad lines out. Pure.

    ; __CLIENTES__.DEF and __MQSERVERS__.DEF
    [101]
    name=Condominio Exemplo
    mq=main
    ; endpoints_pjsip.def
    #include pjsip/1013010.pjsip ; Endpoint:1013010 CLI:101 TYPE:condominio PW:secret GUID:01900000-...

A line that can't be used is skipped and named with its number; the rest is
used. Each line is UTF-8, or else Latin-1; a byte order mark and CRLF are fine.

Sectioned files: `;` begins a comment anywhere (`\;` is a semicolon), `#` at
the begin of a line or behind a blank; `name => value` is understood; keys in
any case. A section that comes twice counts once: the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from daemon.directory.model import Client, Directory, EndpointEntry, MessageServer

CLIENTS_FILE = "__CLIENTES__.DEF"
ENDPOINTS_FILE = "endpoints_pjsip.def"
SERVERS_FILE = "__MQSERVERS__.DEF"

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COMMENT = re.compile(r"(?<!\\);|(?<!\S)#")
_SECTION = re.compile(r"\[\s*([^\[\]]*?)\s*\]")
_DIRECTIVE = re.compile(r"#(?:try)?include\s+(.*)", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")
_ENDPOINT_NAMES = ("endpoint", "cli", "type", "pw", "guid")
_SERVER_KEYS = ("host", "port", "user", "password", "vhost", "exchange")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was skipped. `reason` never holds a password. `number` begins with 1."""

    file: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}: {self.reason}"


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """What one file says: rows by name, the line where each began, and what was skipped."""

    rows: Mapping[str, Row] = field(default_factory=lambda: MappingProxyType({}))
    lines: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    bad: tuple[BadLine, ...] = ()


@dataclass(frozen=True, slots=True)
class _Section:
    number: int
    values: dict[str, tuple[int, str]]


def parse_clients(data: bytes, file: str = CLIENTS_FILE) -> Table[Client]:
    """__CLIENTES__.DEF: `name` and `mq` of each `[client]`; other keys are the administrator's own."""
    bad: list[BadLine] = []
    sections = _sections(data, file, bad)
    rows = {
        client: Client(client, name=_value(section, "name"), mq=_value(section, "mq"))
        for client, section in sections.items()
    }
    return _table(rows, {client: section.number for client, section in sections.items()}, bad)


def parse_servers(data: bytes, file: str = SERVERS_FILE) -> Table[MessageServer]:
    """__MQSERVERS__.DEF: host, port, user, password, vhost, exchange of each `[server]`; host is needed."""
    bad: list[BadLine] = []
    sections = _sections(data, file, bad)
    rows: dict[str, MessageServer] = {}
    for name, section in sections.items():
        for key, (number, _) in section.values.items():
            if key not in _SERVER_KEYS:
                bad.append(BadLine(file, number, f"unknown key; known are {', '.join(_SERVER_KEYS)}"))
        if not _value(section, "host"):
            bad.append(BadLine(file, section.number, f"[{name}] has no host; the section is skipped"))
            continue
        rows[name] = MessageServer(
            name,
            host=_value(section, "host"),
            port=_port(section, file, bad),
            user=_value(section, "user") or "guest",
            password=_value(section, "password") or "guest",
            vhost=_value(section, "vhost") or "/",
            exchange=_value(section, "exchange"),
        )
    return _table(rows, {name: section.number for name, section in sections.items()}, bad)


def parse_endpoints(data: bytes, file: str = ENDPOINTS_FILE) -> Table[EndpointEntry]:
    """endpoints_pjsip.def: the data behind the `;` of each `#include FILE ; NAME:value ...`.

    Without `Endpoint:` the endpoint is called as its file. PW is not kept.
    """
    bad: list[BadLine] = []
    rows: dict[str, EndpointEntry] = {}
    lines: dict[str, int] = {}
    for number, line in _lines(data, file, bad):
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None:
            if not line.startswith(("#", ";")):
                bad.append(BadLine(file, number, "neither a comment nor #include FILE ; NAME:value ..."))
            continue
        entry = _endpoint(directive.group(1))
        if isinstance(entry, str):
            bad.append(BadLine(file, number, entry))
        elif entry.name in rows:
            bad.append(BadLine(file, number, f"endpoint {entry.name} is on line {lines[entry.name]} already"))
        else:
            rows[entry.name], lines[entry.name] = entry, number
    return _table(rows, lines, bad)


def assemble(
    clients: Table[Client], endpoints: Table[EndpointEntry], servers: Table[MessageServer]
) -> tuple[Directory, tuple[BadLine, ...]]:
    """The directory of three tables, and the lines that name what is in no table.

    A client whose `mq` is no known server gets the default one.
    """
    bad: list[BadLine] = []
    known = dict(clients.rows)
    for client in clients.rows.values():
        if client.mq and client.mq not in servers.rows:
            known[client.id] = Client(client.id, client.name)
            bad.append(
                BadLine(
                    CLIENTS_FILE,
                    clients.lines[client.id],
                    f"[{client.id}] mq={client.mq}: no such section in {SERVERS_FILE}; "
                    "the [mq] of the configuration serves",
                )
            )
    return Directory(MappingProxyType(known), endpoints.rows, servers.rows), tuple(bad)


def _lines(data: bytes, file: str, bad: list[BadLine]) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, stripped, with their numbers."""
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            line = raw.decode("latin-1")
        line = line.strip()
        if not line:
            continue
        if _CONTROL.search(line):
            if not line.startswith(";"):
                bad.append(BadLine(file, number, "control characters"))
            continue
        yield number, line


def _sections(data: bytes, file: str, bad: list[BadLine]) -> dict[str, _Section]:
    sections: dict[str, _Section] = {}
    current: _Section | None = None
    skipping = False  # the lines of a section that is skipped are skipped with it
    for number, line in _lines(data, file, bad):
        line = _COMMENT.split(line, maxsplit=1)[0].strip().replace("\\;", ";")
        if not line:
            continue
        if line.startswith("["):
            match = _SECTION.fullmatch(line)
            name = match.group(1) if match else ""
            current, skipping = None, True
            if not name:
                bad.append(BadLine(file, number, "not a [section]; its lines are skipped"))
            elif name in sections:
                bad.append(
                    BadLine(
                        file,
                        number,
                        f"[{name}] is on line {sections[name].number} already; this one's lines are skipped",
                    )
                )
            else:
                current = sections[name] = _Section(number, {})
            continue
        if current is None:
            if not skipping:
                bad.append(BadLine(file, number, "before the first [section]"))
            continue
        reason = _keep(current, number, line)
        if reason:
            bad.append(BadLine(file, number, reason))
    return sections


def _keep(section: _Section, number: int, line: str) -> str:
    """Put a `key=value` line into its section; what is wrong with it, or ""."""
    key, equals, value = line.partition("=")
    key = key.strip().lower()
    if not equals or not key:
        return "not key=value"
    if key in section.values:
        return f"{key if key in (*_SERVER_KEYS, 'name', 'mq') else 'the key'} is given already"
    section.values[key] = (number, value.removeprefix(">").strip())
    return ""


def _value(section: _Section, key: str) -> str:
    return section.values[key][1] if key in section.values else ""


def _port(section: _Section, file: str, bad: list[BadLine]) -> int:
    number, text = section.values.get("port", (0, ""))
    if not number:
        return 5672
    if _PORT.fullmatch(text) and 1 <= int(text) <= 65535:
        return int(text)
    bad.append(BadLine(file, number, "port must be a number from 1 to 65535; 5672 is used"))
    return 5672


def _endpoint(text: str) -> EndpointEntry | str:
    """The endpoint of one directive, or why there is none."""
    file, semicolon, data = text.partition(";")
    file = file.strip().strip("\"'<>").strip()
    if not file:
        return "#include without a file"
    values = _words(data)
    if isinstance(values, str):
        return values
    if not semicolon or not values:
        return "no NAME:value data behind the #include"
    name = values.get("endpoint") or file.rpartition("/")[2].rpartition(".")[0] or file.rpartition("/")[2]
    if not name or any(c.isspace() for c in name):
        return "no Endpoint: and no file name to call the endpoint by"
    return EndpointEntry(
        name, client=values.get("cli", ""), type=values.get("type", ""), guid=values.get("guid", "")
    )


def _words(data: str) -> dict[str, str] | str:
    """The NAME:value words, names in lower case, or what is wrong. `NAME: value` is understood too."""
    values: dict[str, str] = {}
    waiting = ""
    for word in data.split():
        if word.startswith((";", "#")):
            break  # a comment behind the data
        name, colon, value = word.partition(":")
        if not colon:
            if not waiting:
                return "a word behind the ; is not NAME:value"
            values[waiting], waiting = word, ""
            continue
        name = name.lower()
        if not name.isidentifier():
            return "a word behind the ; is not NAME:value"
        if name in values:
            return f"{name.upper() if name in _ENDPOINT_NAMES else 'a name'} is given twice"
        values[name], waiting = value, "" if value else name
    return values


def _table(rows: dict[str, Row], lines: dict[str, int], bad: list[BadLine]) -> Table[Row]:
    return Table(
        MappingProxyType(rows), MappingProxyType(lines), tuple(sorted(bad, key=lambda line: line.number))
    )
