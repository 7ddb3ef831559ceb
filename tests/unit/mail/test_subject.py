"""The grammar of subjects: interfaces 6, sentence by sentence: what is understood."""
# ruff: noqa: E501 - a table: one row, one line

from __future__ import annotations

from typing import Any

import pytest

from daemon.mail.subject import Help, Parsed, parse
from tests.unit.mail.site import DAYS, LIMITS, MACS, NOW, R


def ramais(
    ramais: str = "1121", inicio: str = "27/10/2025 08:00", fim: str = "28/10/2025 18:00", **more: str
) -> Any:
    return ("RAMAIS", {"ramais": ramais, "inicio": inicio, "fim": fim} | more)


def checkip(ip: str, **more: str) -> Any:
    return ("CHECKIP", {"ip": ip} | more)


def macchange(old: str = "00:11:22:33:44:55", new: str = "66:77:88:99:aa:bb", ramal: str = "1121") -> Any:
    return ("MACCHANGE", {"ramal": ramal, "mac_atual": old, "mac_futuro": new, "server": "gv1p"})


def begins(text: str, normal: str) -> Any:
    """A row: what INICIO may look like, and what is understood."""
    return (f"RAMAIS=1121 INICIO={text} FIM=28/10/2025 18:00", ramais(inicio=normal))


def ends(text: str, normal: str) -> Any:
    return (f"RAMAIS=1121 INICIO=27/10/2025 08:00 FIM={text}", ramais(fim=normal))


UNDERSTOOD = [
    # the subjects that people type today
    ("RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ramais("1121,1122")),
    ("[1A2B3C4D] RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ramais("1121,1122")),
    ("[1A2B3C4D] CHECKIP=203.0.113.7 SERVER=gv1p", checkip("203.0.113.7", server="gv1p")),
    (f"[1A2B3C4D] MACCHANGE=1121 {MACS} SERVER=gv1p", macchange()),
    # case-insensitive, extra spaces
    ("ramais=1121 inicio=27/10/2025 08:00 fim=28/10/2025 18:00", ramais()),
    ("Ramais=1121 Inicio=27/10/2025 08:00 Fim=28/10/2025 18:00", ramais()),
    ("  RAMAIS =  1121   INICIO = 27/10/2025   08:00  FIM= 28/10/2025 18:00  ", ramais()),
    # keys in any order after the command; keys before the command
    ("RAMAIS=1121 FIM=28/10/2025 18:00 INICIO=27/10/2025 08:00", ramais()),
    (f"{DAYS} RAMAIS=1121", ramais()),
    ("INICIO=27/10/2025 08:00 RAMAIS=1121 FIM=28/10/2025 18:00", ramais()),
    ("SERVER=gv1p CHECKIP=203.0.113.7", checkip("203.0.113.7", server="gv1p")),
    # optional AUDIOS_FROM, SERVER
    (f"{R} AUDIOS_FROM=audio", ramais(audios_from="audio")),
    (f"{R} audios_from=S3", ramais(audios_from="s3")),
    (f"{R} SERVER=gv1p", ramais(server="gv1p")),
    (f"{R} SERVER=GV1P", ramais(server="gv1p")),
    (f"{R} SERVER=gv1p AUDIOS_FROM=audio", ramais(audios_from="audio", server="gv1p")),
    (f"{R} SERVER=voip1 AUDIOS_FROM=s3", ramais(audios_from="s3", server="voip1")),
    ("CHECKIP=203.0.113.7", checkip("203.0.113.7")),
    # Re:, RES:, Enc:, Fwd:, FW:, Re[2]: and [EXTERNO]-like tags in front, any number of them
    *[
        (f"{front} {R}", ramais())
        for front in (
            "Re:", "RE:", "re :", "RES:", "Res:", "Enc:", "ENC:", "Fwd:", "FW:", "Re[2]:", "Re(3):", "[EXTERNO]",
            "[External Sender]", "Re: Fwd: Enc: RES:", "[EXTERNO] Re: [SPAM?] Fwd:", "Re: [2025]", "[]", "Re[2]: Re[3]:",
        )
    ],
    (f"RES:{R}", ramais()),
    (f"[EXTERNO]{R}", ramais()),
    (f"Re: [EXTERNO] [1A2B3C4D] Fwd: {R}", ramais()),
    (f"[1A2B3C4D] [EXTERNO] {R}", ramais()),
    # INÍCIO
    ("RAMAIS=1121 INÍCIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ramais()),
    ("RAMAIS=1121 início=27/10/2025 08:00 fim=28/10/2025 18:00", ramais()),
    ("RAMAIS=1121 INI\u0301CIO=27/10/2025 08:00 FIM=28/10/2025 18:00", ramais()),
    # NBSP, zero-width and full-width characters, tabs
    (R.replace(" ", "\u00a0"), ramais()),
    (R.replace(" ", "\u2003"), ramais()),
    (R.replace(" ", "\t"), ramais()),
    ("\ufeff" + R.replace("=", "=\u200b"), ramais()),
    ("RA\u00adMAIS=11\u200d21 INICIO=27/10/\u206025 08:00 FIM=28/10/25 18:00", ramais()),
    ("ＲＡＭＡＩＳ＝１１２１　ＩＮＩＣＩＯ＝２７／１０／２０２５　０８：００　ＦＩＭ＝２８／１０／２０２５　１８：００", ramais()),
    (f"［1A2B3C4D］ {R}", ramais()),
    ("RAMAIS=1121–1123 INICIO=27‑10‑2025 08:00 FIM=28/10/2025 18:00", ramais("1121,1122,1123")),
    # quotes round values
    ('RAMAIS="1121,1122" INICIO="27/10/2025 08:00" FIM="28/10/2025 18:00"', ramais("1121,1122")),
    ("RAMAIS='1121' INICIO='27/10/2025 08:00' FIM='28/10/2025 18:00'", ramais()),
    ("RAMAIS=“1121” INICIO=“27/10/2025 08:00” FIM=“28/10/2025 18:00”", ramais()),
    ('CHECKIP="203.0.113.7";SERVER="gv1p"', checkip("203.0.113.7", server="gv1p")),
    # ; between keys
    ("RAMAIS=1121;INICIO=27/10/2025 08:00;FIM=28/10/2025 18:00", ramais()),
    ("RAMAIS=1121; INICIO=27/10/2025 08:00 ; FIM=28/10/2025 18:00;", ramais()),
    # the same key twice with one value
    (f"{R} RAMAIS=1121", ramais()),
    (f"{R} FIM=28/10/25 18h00", ramais()),
    (f"{R} SERVER=gv1p server=GV1P", ramais(server="gv1p")),
    ("CHECKIP=2001:db8::1 CHECKIP=2001:0DB8::0001", checkip("2001:db8::1")),
    # a token glued to the command or with spaces inside its brackets
    (f"[1A2B3C4D]{R}", ramais()),
    (f"[ 1A2B3C4D ] {R}", ramais()),
    (f"[1A2B 3C4D]{R}", ramais()),
    (f"[1a2b3c4d] {R}", ramais()),
    (f"[1A2B3C4D] [1A2B3C4D] {R}", ramais()),
    # dates DD/MM/YYYY, DD-MM-YYYY, DD.MM.YYYY, ISO, two-digit years, single digits
    begins("27-10-2025 08:00", "27/10/2025 08:00"),
    begins("27.10.2025 08:00", "27/10/2025 08:00"),
    begins("2025-10-27 08:00", "27/10/2025 08:00"),
    begins("2025-10-27T08:00", "27/10/2025 08:00"),
    begins("2025-10-27T08:00:59", "27/10/2025 08:00"),
    begins("27/10/25 08:00", "27/10/2025 08:00"),
    begins("27-10-25 08:00", "27/10/2025 08:00"),
    begins("5/10/2025 8:00", "05/10/2025 08:00"),
    begins("05/9/30 08:00".replace("30", "2025").replace("9", "10"), "05/10/2025 08:00"),
    begins("2025-10-5 8:00", "05/10/2025 08:00"),
    # times HH:MM, HH:MM:SS, HHhMM, 24:00
    begins("27/10/2025 08:00:30", "27/10/2025 08:00"),
    begins("27/10/2025 08h30", "27/10/2025 08:30"),
    begins("27/10/2025 8H30", "27/10/2025 08:30"),
    begins("27/10/2025 8h", "27/10/2025 08:00"),
    begins("27/10/2025 24:00", "28/10/2025 00:00"),
    ends("28/10/2025 24:00", "29/10/2025 00:00"),
    ends("31/10/2025 24:00", "01/11/2025 00:00"),
    # a date without a time is 00:00 as INICIO and 23:59 as FIM
    ("RAMAIS=1121 INICIO=27/10/2025 FIM=28/10/2025", ramais(inicio="27/10/2025 00:00", fim="28/10/2025 23:59")),
    ("RAMAIS=1121 INICIO=27/10/2025 FIM=27/10/2025", ramais(inicio="27/10/2025 00:00", fim="27/10/2025 23:59")),
    # a local time that did not exist is moved forward (2018-11-04 had no hour from 00:00)
    ("RAMAIS=1121 INICIO=04/11/2018 FIM=04/11/2018", ramais(inicio="04/11/2018 01:00", fim="04/11/2018 23:59")),
    ("RAMAIS=1121 INICIO=03/11/2018 FIM=04/11/2018 00:30", ramais(inicio="03/11/2018 00:00", fim="04/11/2018 01:30")),
    ("RAMAIS=1121 INICIO=03/11/2018 FIM=03/11/2018 24:00", ramais(inicio="03/11/2018 00:00", fim="04/11/2018 01:00")),
    # ... and in the hour that is there twice (2018-02-17 23:00) nothing moves
    (
        "RAMAIS=1121 INICIO=17/02/2018 23:20 FIM=17/02/2018 23:40",
        ramais(inicio="17/02/2018 23:20", fim="17/02/2018 23:40"),
    ),
    # end equal to begin
    (
        "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=27/10/2025 08:00",
        ramais(inicio="27/10/2025 08:00", fim="27/10/2025 08:00"),
    ),
    # 30 days pass though they have 721 hours
    ("RAMAIS=1121 INICIO=01/02/2018 FIM=03/03/2018 00:00", ramais(inicio="01/02/2018 00:00", fim="03/03/2018 00:00")),
    ("RAMAIS=1121 INICIO=01/10/2025 FIM=30/10/2025", ramais(inicio="01/10/2025 00:00", fim="30/10/2025 23:59")),
    ("RAMAIS=1121 INICIO=01/10/2025 FIM=30/10/2025 24:00", ramais(inicio="01/10/2025 00:00", fim="31/10/2025 00:00")),
    # refused is only what is wholly in the future (now: 01/11/2025 12:00)
    ("RAMAIS=1121 INICIO=01/11/2025 FIM=05/11/2025", ramais(inicio="01/11/2025 00:00", fim="05/11/2025 23:59")),
    ("RAMAIS=1121 INICIO=01/11/2025 12:00 FIM=01/11/2025", ramais(inicio="01/11/2025 12:00", fim="01/11/2025 23:59")),
    # extensions by , ; or spaces, doubled ones once, stray separators ignored, ranges
    (f"RAMAIS=1121,1122,1123 {DAYS}", ramais("1121,1122,1123")),
    (f"RAMAIS=1121;1122;1123 {DAYS}", ramais("1121,1122,1123")),
    (f"RAMAIS=1121 1122 1123 {DAYS}", ramais("1121,1122,1123")),
    (f"RAMAIS=1121, 1122 ; 1123 {DAYS}", ramais("1121,1122,1123")),
    (f"RAMAIS=,1121,,1122;, {DAYS}", ramais("1121,1122")),
    (f"RAMAIS=1122,1121,1122 {DAYS}", ramais("1122,1121")),
    (f"RAMAIS=1121-1125 {DAYS}", ramais("1121,1122,1123,1124,1125")),
    (f"RAMAIS=1123,1121-1124 {DAYS}", ramais("1123,1121,1122,1124")),
    (f"RAMAIS=0098-0101 {DAYS}", ramais("0098,0099,0100,0101")),
    (f"RAMAIS=998-1001 {DAYS}", ramais("998,999,1000,1001")),
    (f"RAMAIS=1121-1121 {DAYS}", ramais("1121")),
    (f"RAMAIS=121,1013010,12345678 {DAYS}", ramais("121,1013010,12345678")),
    # the limit counts different ones
    (f"RAMAIS=1121-1130 1121 1130 1125-1128 {DAYS}", ramais(",".join(map(str, range(1121, 1131))))),
    # [IPv6] in brackets; compressed; an IPv4-mapped IPv6 is the IPv4; documentation ranges count as public
    ("CHECKIP=[2001:db8::1]", checkip("2001:db8::1")),
    ("CHECKIP=2001:0DB8:0000:0000:0000:0000:0000:0001", checkip("2001:db8::1")),
    ("CHECKIP=::ffff:203.0.113.7", checkip("203.0.113.7")),
    ("CHECKIP=[::ffff:cb00:7107]", checkip("203.0.113.7")),
    ("CHECKIP=192.0.2.1", checkip("192.0.2.1")),
    ("CHECKIP=198.51.100.1", checkip("198.51.100.1")),
    ("CHECKIP=100.64.0.1", checkip("100.64.0.1")),
    ("CHECKIP=8.8.8.8", checkip("8.8.8.8")),
    ("CHECKIP=172.32.0.1", checkip("172.32.0.1")),
    # MACs with :, -, . or none
    (f"MACCHANGE=1121 SERVER=gv1p {MACS}", macchange()),
    ("MACCHANGE=1121 MACATUAL=00-11-22-33-44-55 MACFUTURO=66-77-88-99-aa-bb SERVER=gv1p", macchange()),
    ("MACCHANGE=1121 MACATUAL=0011.2233.4455 MACFUTURO=66.77.88.99.AA.BB SERVER=gv1p", macchange()),
    ("MACCHANGE=1121 MACATUAL=001122334455 MACFUTURO=66778899AABB SERVER=gv1p", macchange()),
    ("MACCHANGE=\"1121\" MACATUAL='001122334455' MACFUTURO=66778899AABB SERVER=gv1p", macchange()),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "expected"), UNDERSTOOD)
def test_understood(subject: str, expected: tuple[str, dict[str, str]]) -> None:
    parsed = parse(subject, LIMITS, NOW)
    assert isinstance(parsed, Parsed), parsed
    assert (parsed.command, dict(parsed.parameters)) == expected


HELP = [
    "AJUDA", "HELP", "ajuda", "Help", "Re: AJUDA", "[EXTERNO] ajuda", "[1A2B3C4D] AJUDA", "AJUDA por favor",
    "Ajuda?", "help me", "AJUDA RAMAIS=1121", "HELP: como peço?", "Ajuda, não funciona [2]",
]  # fmt: skip


@pytest.mark.parametrize("subject", HELP)
def test_help(subject: str) -> None:
    assert parse(subject, LIMITS, NOW) == Help()
