"""Contact URIs, and the command line's list of them."""

from __future__ import annotations

import pytest

from daemon.directory.contacts import Contact, Place, parse_cli_contacts, place_of


@pytest.mark.parametrize(
    ("uri", "host", "port", "ip"),
    [
        ("sip:1013015@127.0.10.15:5060", "127.0.10.15", 5060, "127.0.10.15"),
        ("sip:1013015@192.0.2.15", "192.0.2.15", None, "192.0.2.15"),
        ("sip:192.0.2.100:5060", "192.0.2.100", 5060, "192.0.2.100"),
        (
            "sip:a@192.0.2.15:1024;transport=tcp;x-ast-orig-host=10.0.0.9:5060",
            "192.0.2.15",
            1024,
            "192.0.2.15",
        ),
        ("SIPS:a%40b@192.0.2.15;ob", "192.0.2.15", None, "192.0.2.15"),
        ("<sip:a@192.0.2.15:5060>", "192.0.2.15", 5060, "192.0.2.15"),
        ("sip:a;x=y@[2001:DB8::1]:5060", "2001:DB8::1", 5060, "2001:db8::1"),
        ("sip:a@[::ffff:192.0.2.1]", "::ffff:192.0.2.1", None, "192.0.2.1"),
        ("sip:a@phone.example.com:5060", "phone.example.com", 5060, None),
    ],
)
def test_the_place_in_a_contacts_uri(uri: str, host: str, port: int | None, ip: str | None) -> None:
    place = place_of(uri)
    assert place == Place(host, port)
    assert place.ip == ip


@pytest.mark.parametrize(
    "uri", ["", "tel:1013010", "sip:", "sip:a@", "sip:a@192.0.2.1:99999", "sip:a@192.0.2.1:x", "1013010"]
)
def test_no_place(uri: str) -> None:
    assert place_of(uri) is None


def test_a_place_as_text() -> None:
    assert [str(Place("192.0.2.1", 5060)), str(Place("2001:db8::1", 5060)), str(Place("2001:db8::1"))] == [
        "192.0.2.1:5060",
        "[2001:db8::1]:5060",
        "[2001:db8::1]",
    ]


CLI = """
  Contact:  <Aor/ContactUri..............................> <Hash....> <Status> <RTT(ms)..>
==========================================================================================

  Contact:  1013010/sip:uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu-101 85f09eebaf NonQual        -nan
  Contact:  1013011/sip:1013011@192.0.2.11:5060            e20376985e NonQual        -nan
  Contact:  1013012/sip:1013012@192.0.2.12:5060            e20376985e Avail         0.528
  Contact:  1013013/sip:1013013@192.0.2.13:5060            e20376985e Unavail         nan
  Contact:  1013014/sip:1013014-long-user@198.51.100.140:5 e20376985e Avail         0.528
  Contact:  1013015/sip:1013015@198.51.100.15:5060;ob;tran e20376985e Avail         0.528
  Contact:  trunk/sip:192.0.2.100:5060                     d4ad78c588 NonQual        -nan

Objects found: 7

"""


def test_the_command_lines_list() -> None:
    """What is cut off within the address is left out: half an address is another one."""
    assert parse_cli_contacts(CLI) == [
        Contact("1013011", "sip:1013011@192.0.2.11:5060"),
        Contact("1013012", "sip:1013012@192.0.2.12:5060"),
        Contact("1013013", "sip:1013013@192.0.2.13:5060", reachable=False),
        Contact("1013015", "sip:1013015@198.51.100.15:5060;ob;tran"),
        Contact("trunk", "sip:192.0.2.100:5060"),
    ]


@pytest.mark.parametrize("text", ["", "No such command 'pjsip show contacts' (type 'core show help')\n"])
def test_no_list_of_the_command_line(text: str) -> None:
    assert parse_cli_contacts(text) is None


def test_an_empty_list_of_the_command_line() -> None:
    assert parse_cli_contacts("No objects found.\n\n") == []
