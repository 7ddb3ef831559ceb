"""The definition files: what is understood, and that every other line is reported and costs nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.directory.definitions import (
    CLIENTS_FILE,
    ENDPOINTS_FILE,
    SERVERS_FILE,
    assemble,
    parse_clients,
    parse_endpoints,
    parse_servers,
)
from daemon.directory.model import Client, EndpointEntry, MessageServer

EXAMPLES = Path(__file__).parents[3] / "etc/definitions"
GUID = "01900000-0000-7000-8000-000000000010"


def test_the_examples_of_the_interface() -> None:
    clients = parse_clients(b"; __CLIENTES__.DEF\n[101]\nname=Condominio Exemplo\nmq=main\n")
    assert dict(clients.rows) == {"101": Client("101", "Condominio Exemplo", "main")}
    line = f"#include pjsip/1013010.pjsip ; Endpoint:1013010 CLI:101 TYPE:condominio PW:secret GUID:{GUID}\n"
    endpoints = parse_endpoints(b"; endpoints_pjsip.def\n" + line.encode())
    assert dict(endpoints.rows) == {"1013010": EndpointEntry("1013010", "101", "condominio", GUID)}
    assert clients.bad == endpoints.bad == ()


def test_the_shipped_examples_are_clean() -> None:
    clients = parse_clients((EXAMPLES / CLIENTS_FILE).read_bytes())
    endpoints = parse_endpoints((EXAMPLES / ENDPOINTS_FILE).read_bytes())
    servers = parse_servers((EXAMPLES / SERVERS_FILE).read_bytes())
    directory, doubtful = assemble(clients, endpoints, servers)
    assert clients.bad == endpoints.bad == servers.bad == doubtful == ()
    assert directory.clients["102"] == Client("102", "Escritório Modelo", "")
    assert directory.client_of("1023001") == "102"
    assert directory.client_of("9") is None
    assert directory.servers["main"].host == "mq.example.com"


def test_sectioned_files_as_people_write_them() -> None:
    text = (
        b"\xef\xbb\xbf; comment\r\n# comment\r\n\r\n[ 101 ]   ; comment\r\nName = Jo\xe3o ; comment\r\n"
        b"mq => main # comment\r\nfone=1\r\n[102]\r\nname=S\xc3\xa3o \\; Paulo#1\r\n"
    )
    table = parse_clients(text)
    assert dict(table.rows) == {
        "101": Client("101", "João", "main"),
        "102": Client("102", "São ; Paulo#1", ""),
    }
    assert dict(table.lines) == {"101": 4, "102": 8}
    assert table.bad == ()


def test_bad_lines_of_sectioned_files() -> None:
    text = (
        b"name=lost\n"  # 1 before any section
        b"[101]\n"
        b"name=A\n"
        b"no equals sign\n"  # 4
        b"=value\n"  # 5
        b"name=B\n"  # 6 twice
        b"x\x00=y\n"  # 7
        b"[102\n"  # 8 no section
        b"name=skipped with it\n"
        b"[]\n"  # 10
        b"[101]\n"  # 11 twice
        b"mq=skipped with it\n"
        b"[103] text\n"  # 13
        b"[104]\n"
    )
    table = parse_clients(text)
    assert dict(table.rows) == {"101": Client("101", "A", ""), "104": Client("104")}
    assert [(bad.number, bad.reason) for bad in table.bad] == [
        (1, "before the first [section]"),
        (4, "not key=value"),
        (5, "not key=value"),
        (6, "name is given already"),
        (7, "control characters"),
        (8, "not a [section]; its lines are skipped"),
        (10, "not a [section]; its lines are skipped"),
        (11, "[101] is on line 2 already; this one's lines are skipped"),
        (13, "not a [section]; its lines are skipped"),
    ]
    assert str(table.bad[0]) == "__CLIENTES__.DEF, line 1: before the first [section]"


def test_message_servers() -> None:
    table = parse_servers(
        b"[main]\nhost=mq.example.com\nport=5673\nuser=u\npassword=p=q#r\nvhost=/v\nexchange=e\n"
        b"[short]\nHOST=192.0.2.1\n[none]\nport=1\n[odd]\nhost=h\nport=70000\nhots=x\n[text]\nhost=h\nport=amqp\n"
    )
    assert dict(table.rows) == {
        "main": MessageServer("main", "mq.example.com", 5673, "u", "p=q#r", "/v", "e"),
        "short": MessageServer("short", "192.0.2.1", 5672, "guest", "guest", "/", ""),
        "odd": MessageServer("odd", "h"),
        "text": MessageServer("text", "h"),
    }
    assert "p=q#r" not in repr(table)
    assert [(bad.number, bad.reason) for bad in table.bad] == [
        (10, "[none] has no host; the section is skipped"),
        (14, "port must be a number from 1 to 65535; 5672 is used"),
        (15, "unknown key; known are host, port, user, password, vhost, exchange"),
        (18, "port must be a number from 1 to 65535; 5672 is used"),
    ]


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("#include a/1121.pjsip ; CLI:9", EndpointEntry("1121", "9")),
        ("#include 1121 ; cli:9", EndpointEntry("1121", "9")),
        ('#include "a/b.conf" ; endpoint:1121 cli:9', EndpointEntry("1121", "9")),
        ("#include <a/b.conf>;ENDPOINT:1121 Cli:9", EndpointEntry("1121", "9")),
        ("#tryinclude\ta.conf\t;\tEndpoint:1121\tCLI:9", EndpointEntry("1121", "9")),
        ("  #INCLUDE a.conf ; Endpoint: 1121 CLI: 9", EndpointEntry("1121", "9")),
        ("#include a.conf ; Endpoint:1121 CLI: PW:a:b;c GUID:g", EndpointEntry("1121", "", "", "g")),
        ("#include a.conf ; Endpoint:1121 COLOUR:red ; moved in May", EndpointEntry("1121")),
        ("#include a.conf ; Endpoint:1121 TYPE:portão # gate", EndpointEntry("1121", "", "portão")),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_endpoints_as_people_write_them(line: str, entry: EndpointEntry, encoding: str) -> None:
    table = parse_endpoints(line.encode(encoding))
    assert dict(table.rows) == {entry.name: entry}
    assert table.bad == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("#include pjsip.conf", "no NAME:value data behind the #include"),
        ("#include pjsip.conf ;", "no NAME:value data behind the #include"),
        ("#include pjsip.conf ; # note", "no NAME:value data behind the #include"),
        ("#include ; Endpoint:1121", "#include without a file"),
        ("#include a ; Endpoint 1121", "a word behind the ; is not NAME:value"),
        ("#include a ; Endpoint:1121 PW:two words", "a word behind the ; is not NAME:value"),
        ("#include a ; :1121", "a word behind the ; is not NAME:value"),
        ("#include a ; Endpoint:1 Endpoint:2", "ENDPOINT is given twice"),
        ("#include a b ; CLI:1", "no Endpoint: and no file name to call the endpoint by"),
        ("include a ; Endpoint:1121", "neither a comment nor #include FILE ; NAME:value ..."),
        ("[1121]", "neither a comment nor #include FILE ; NAME:value ..."),
        ("#include a ; Endpoint:1121\x1b[0m", "control characters"),
    ],
)
def test_bad_lines_of_endpoints(line: str, reason: str) -> None:
    table = parse_endpoints(f"; one\n{line}\n#include b ; Endpoint:1122\n".encode())
    assert list(table.rows) == ["1122"]
    assert [(bad.number, bad.reason) for bad in table.bad] == [(2, reason)]


def test_comments_of_endpoints() -> None:
    table = parse_endpoints(b"; x\n#x\n# include a ; CLI:1\n#includes a ; CLI:1\n\n;\x00\n")
    assert (dict(table.rows), table.bad) == ({}, ())


def test_an_endpoint_counts_once() -> None:
    table = parse_endpoints(b"#include a ; Endpoint:1 CLI:1\n#include b ; Endpoint:1 CLI:2\n")
    assert table.rows["1"].client == "1"
    assert [str(bad) for bad in table.bad] == ["endpoints_pjsip.def, line 2: endpoint 1 is on line 1 already"]


def test_a_client_without_its_server_gets_the_default() -> None:
    clients = parse_clients(b"[101]\nmq=main\n[102]\nmq=other\n")
    directory, doubtful = assemble(clients, parse_endpoints(b""), parse_servers(b"[main]\nhost=h\n"))
    assert [client.mq for client in directory.clients.values()] == ["main", ""]
    assert [str(bad) for bad in doubtful] == [
        "__CLIENTES__.DEF, line 3: [102] mq=other: no such section in __MQSERVERS__.DEF; "
        "the [mq] of the configuration serves"
    ]


def test_thousands_of_endpoints() -> None:
    text = "".join(
        f"#include pjsip/{n}.pjsip ; Endpoint:{n} CLI:{n // 10000} TYPE:x PW:y GUID:{GUID}\n"
        for n in range(1_000_000, 1_020_000)
    )
    table = parse_endpoints(text.encode())
    assert len(table.rows) == 20_000
    assert table.bad == ()


PIECES = st.sampled_from(
    [
        *(
            b"[",
            b"]",
            b"[101]",
            b"name",
            b"=",
            b"host=h",
            b"port=",
            b"password=xyzzy-plugh",
            b"mq=m",
            b";",
            b"#",
            b" ",
        ),
        *(
            b"#include",
            b"#include a.conf ;",
            b"Endpoint:",
            b"CLI:1",
            b"PW:xyzzy-plugh",
            b":",
            b"\\;",
            b"\xff",
            b"\x00",
        ),
        *(b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", "ção".encode(), b"\xa0", b"\x85", b"1121"),
    ]
)
GARBAGE = st.one_of(st.binary(), st.lists(PIECES, max_size=60).map(b"".join), st.lists(PIECES).map(b" ".join))


@settings(max_examples=300, deadline=None)
@given(GARBAGE)
def test_no_bytes_crash_the_parsers(data: bytes) -> None:
    lines = len(data.splitlines())
    tables = parse_clients(data), parse_endpoints(data), parse_servers(data)
    for table in tables:
        assert all(1 <= bad.number <= lines for bad in table.bad)
        assert "xyzzy-plugh" not in " ".join(map(str, table.bad))
    assemble(*tables)


@settings(max_examples=300, deadline=None)
@given(GARBAGE)
def test_every_line_of_endpoints_is_accounted_for(data: bytes) -> None:
    table = parse_endpoints(data)
    used = set(table.lines.values()) | {bad.number for bad in table.bad}
    assert len(used) == len(table.rows) + len(table.bad)
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError:
            line = raw.decode("latin-1").strip()
        include = re.match(r"(?i)#(try)?include\s", line)
        quiet = not line or line.startswith(";") or (line.startswith("#") and not include)
        assert number in used or quiet
