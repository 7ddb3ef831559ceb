"""Provisioning files of several makers: name, owner, the MAC inside."""

from __future__ import annotations

import pytest

from daemon.jobs.provisioning import belongs, file_name, is_extension, is_mac, with_mac

OLD, NEW = "00:15:65:aa:bb:0c", "80:5e:c0:dd:ee:1f"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{mac}.cfg", "001565aabb0c.cfg"),
        ("{MAC}.cfg", "001565AABB0C.cfg"),
        ("cfg{mac}.xml", "cfg001565aabb0c.xml"),
        ("SEP{MAC}.cnf.xml", "SEP001565AABB0C.cnf.xml"),
        ("{mac:-}.txt", "00-15-65-aa-bb-0c.txt"),
        ("{MAC::}", "00:15:65:AA:BB:0C"),
        ("{mac:.}", "0015.65aa.bb0c"),
    ],
)
def test_names(pattern: str, name: str) -> None:
    assert file_name(pattern, OLD) == name


@pytest.mark.parametrize("mac", [OLD, NEW])
def test_macs(mac: str) -> None:
    assert is_mac(mac)


@pytest.mark.parametrize(
    "mac",
    [
        "",
        "001565aabb0c",
        "00:15:65:AA:BB:0C",
        "00:15:65:aa:bb:0c\n",
        "01:15:65:aa:bb:0c",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "../../etc/passwd",
        "00:15:65:aa:bb:0c/../x",
    ],
)
def test_what_is_no_mac(mac: str) -> None:
    assert not is_mac(mac)


@pytest.mark.parametrize("text", ["", "12", "123456789", "11a1", "1121\n", "١١٢١", "1121;id", "-121", "../1"])
def test_what_is_no_extension(text: str) -> None:
    assert not is_extension(text)
    assert is_extension("1121")


@pytest.mark.parametrize(
    ("content", "mine"),
    [
        ("account.1.user_name = 1121\n", True),
        ("<P35>1121</P35>", True),
        ("name=1121@pbx.example.com", True),
        ("account.1.user_name = 11210\n", False),
        ("account.1.user_name = 01121\n", False),
        ("password = x1121y\n", False),
        ("", False),
    ],
)
def test_whose_it_is(content: str, mine: bool) -> None:
    assert belongs(content.encode(), "1121", "") is mine


def test_the_place_of_the_extension() -> None:
    place = r"^account\.1\.user_name *= *{extension}$"
    assert belongs(b"a = b\naccount.1.user_name = 1121\n", "1121", place)
    assert not belongs(b"account.2.user_name = 1121\n", "1121", place)
    assert not belongs(b"account.1.user_name = 1122\npassword = 1121\n", "1121", place)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mac = 00:15:65:aa:bb:0c\n", "mac = 80:5e:c0:dd:ee:1f\n"),
        ("mac = 00:15:65:AA:BB:0C\n", "mac = 80:5E:C0:DD:EE:1F\n"),
        ("001565AABB0C,00-15-65-aa-bb-0c", "805EC0DDEE1F,80-5e-c0-dd-ee-1f"),
        ("0015.65aa.bb0c", "805e.c0dd.ee1f"),
        ("SEP001565AABB0C SEP", "SEP805EC0DDEE1F SEP"),
        ("001565aabb0c0 and 1001565aabb0c", "001565aabb0c0 and 1001565aabb0c"),
        ("nothing\r\n\xff\x00", "nothing\r\n\xff\x00"),
    ],
)
def test_the_mac_inside(before: str, after: str) -> None:
    assert with_mac(before.encode("latin-1"), OLD, NEW, "", upper=False) == after.encode("latin-1")


def test_a_mac_of_digits_only_is_written_as_the_rest() -> None:
    digits = "00:15:65:11:22:33"
    assert with_mac(b"001565112233", digits, NEW, "", upper=True) == b"805EC0DDEE1F"
    assert with_mac(b"001565112233", digits, NEW, "", upper=False) == b"805ec0ddee1f"


def test_the_place_of_the_mac() -> None:
    place = r"^mac=(?:x)?{mac}$"
    before = b"mac=001565aabb0c\nold_mac=001565aabb0c\nmac=x00:15:65:AA:BB:0C\n"
    after = b"mac=805ec0ddee1f\nold_mac=001565aabb0c\nmac=x80:5E:C0:DD:EE:1F\n"
    assert with_mac(before, OLD, NEW, place, upper=False) == after
