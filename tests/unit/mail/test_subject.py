"""The grammar of subjects: interfaces 6, sentence by sentence."""
# ruff: noqa: E501 - a table: one row, one line

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.mail.subject import Help, Parsed, Refusal, parse
from tests.unit.mail.site import LIMITS, NOW

DAYS = "INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
R = f"RAMAIS=1121 {DAYS}"
MACS = "MACATUAL=00:11:22:33:44:55 MACFUTURO=66:77:88:99:AA:BB"


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


def r(ramais: str) -> str:
    return f"RAMAIS={ramais} {DAYS}"


def b(text: str) -> str:
    return f"RAMAIS=1121 INICIO={text} FIM=28/10/2025 18:00"


def ip(text: str) -> str:
    return f"CHECKIP={text} SERVER=gv1p"


def mac(text: str) -> str:
    return f"MACCHANGE=1121 MACATUAL=00:11:22:33:44:55 MACFUTURO={text} SERVER=gv1p"


REFUSED = [
    # RAMAIS: an extension is not 3 to 8 digits
    (r("12"), "bad-extension"),
    (r("123456789"), "bad-extension"),
    (r("11a1"), "bad-extension"),
    (r("abc"), "bad-extension"),
    (r("1121/1122"), "bad-extension"),
    (r("1121.1122"), "bad-extension"),
    (r("1121²"), "bad-extension"),
    (r("١١٢١"), "bad-extension"),
    (r("-1121"), "bad-extension"),
    (r("1121 - 1125"), "trailing-words"),
    (r("1121-1123-1125"), "bad-extension"),
    (r("1125-1121"), "bad-range"),
    (r("098-1001"), "bad-range"),
    (r(",;"), "no-extension"),
    (r(""), "empty-value"),
    # ... more than max_extensions
    (r("1121-1131"), "too-many-extensions"),
    (r("10000000-99999999"), "too-many-extensions"),
    (r(",".join(map(str, range(1121, 1132)))), "too-many-extensions"),
    # ... end before begin, also within the hour that a clock change repeats
    ("RAMAIS=1121 INICIO=28/10/2025 08:00 FIM=27/10/2025 18:00", "end-before-begin"),
    ("RAMAIS=1121 INICIO=27/10/2025 08:01 FIM=27/10/2025 08:00", "end-before-begin"),
    ("RAMAIS=1121 INICIO=27/10/2025 08:00:30 FIM=27/10/2025 08:00:10", "end-before-begin"),
    ("RAMAIS=1121 INICIO=17/02/2018 23:40 FIM=17/02/2018 23:20", "end-before-begin"),
    ("RAMAIS=1121 INICIO=04/11/2018 00:50 FIM=04/11/2018 01:10", "end-before-begin"),
    # ... more than max_days
    ("RAMAIS=1121 INICIO=01/10/2025 FIM=31/10/2025", "too-many-days"),
    ("RAMAIS=1121 INICIO=01/10/2025 08:00 FIM=31/10/2025 08:01", "too-many-days"),
    ("RAMAIS=1121 INICIO=01/02/2018 FIM=04/03/2018 00:00", "too-many-days"),
    # ... wholly in the future
    ("RAMAIS=1121 INICIO=01/11/2025 12:01 FIM=01/11/2025 18:00", "in-the-future"),
    ("RAMAIS=1121 INICIO=01/01/2030 FIM=02/01/2030", "in-the-future"),
    # CHECKIP: no IPv4 or IPv6 address
    (ip("example.com"), "bad-ip"),
    (ip("203.0.113"), "bad-ip"),
    (ip("203.0.113.256"), "bad-ip"),
    (ip("203.0.113.7.8"), "bad-ip"),
    (ip("3405803783"), "bad-ip"),
    (ip("0xCB007107"), "bad-ip"),
    (ip("[203.0.113.7]"), "bad-ip"),
    (ip("2001:db8:::1"), "bad-ip"),
    (ip("fe80::1%eth0"), "bad-ip"),
    (ip("$(reboot)"), "bad-ip"),
    (ip("203.0.113.7,203.0.113.8"), "bad-ip"),
    # ... unspecified, link-local, multicast, loopback, private
    (ip("0.0.0.0"), "ip-unspecified"),
    (ip("::"), "ip-unspecified"),
    (ip("169.254.1.1"), "ip-link-local"),
    (ip("fe80::1"), "ip-link-local"),
    (ip("224.0.0.1"), "ip-multicast"),
    (ip("239.255.255.250"), "ip-multicast"),
    (ip("ff02::1"), "ip-multicast"),
    (ip("127.0.0.1"), "ip-loopback"),
    (ip("127.255.0.1"), "ip-loopback"),
    (ip("::1"), "ip-loopback"),
    (ip("[::1]"), "ip-loopback"),
    (ip("10.0.0.1"), "ip-private"),
    (ip("172.16.0.1"), "ip-private"),
    (ip("172.31.255.255"), "ip-private"),
    (ip("192.168.1.1"), "ip-private"),
    (ip("fd00::1"), "ip-private"),
    (ip("::ffff:192.168.1.1"), "ip-private"),
    (ip("::ffff:127.0.0.1"), "ip-loopback"),
    (ip("255.255.255.255"), "ip-reserved"),
    (ip("240.0.0.1"), "ip-reserved"),
    # ... with port, mask or leading zeros
    (ip("203.0.113.7:5060"), "ip-port"),
    (ip("[2001:db8::1]:5060"), "ip-port"),
    (ip("203.0.113.0/24"), "ip-mask"),
    (ip("2001:db8::/32"), "ip-mask"),
    (ip("203.0.113.007"), "ip-leading-zero"),
    (ip("203.00.113.7"), "ip-leading-zero"),
    (ip("::ffff:203.0.113.07"), "ip-leading-zero"),
    # ... server unknown
    ("CHECKIP=203.0.113.7 SERVER=gv9p", "server-unknown"),
    ("CHECKIP=203.0.113.7 SERVER=gv1p;reboot", "server-unknown"),
    (f"{R} SERVER=../etc", "server-unknown"),
    # MACCHANGE: not a MAC, odd separators
    (mac("66:77:88:99:AA"), "bad-mac"),
    (mac("66:77:88:99:AA:BB:CC"), "bad-mac"),
    (mac("66:77:88:99:AA:BG"), "bad-mac"),
    (mac("66:77-88:99-AA:BB"), "bad-mac"),
    (mac("667788:99AABB"), "bad-mac"),
    (mac("6:7:8:9:A:B"), "bad-mac"),
    (mac("66 77 88 99 AA BB"), "bad-mac"),
    (mac("66_77_88_99_AA_BB"), "bad-mac"),
    (mac("6677:8899:AABB"), "bad-mac"),
    # ... the two are the same (however they are written)
    (mac("0011.2233.4455"), "same-macs"),
    # ... zero, broadcast, multicast
    (mac("00:00:00:00:00:00"), "mac-zero"),
    (mac("FF:FF:FF:FF:FF:FF"), "mac-broadcast"),
    (mac("01:00:5E:00:00:01"), "mac-multicast"),
    # ... server unknown, no extension
    (f"MACCHANGE=1121 {MACS} SERVER=nowhere", "server-unknown"),
    (f"MACCHANGE=11 {MACS} SERVER=gv1p", "bad-extension"),
    (f"MACCHANGE=1121,1122 {MACS} SERVER=gv1p", "bad-extension"),
    # unknown keys
    (f"{R} PRIORIDADE=1", "unknown-key"),
    (f"{R} SERVIDOR=gv1p", "unknown-key"),
    (f"RAMAL=1121 {R}", "unknown-key"),
    (f"{R} =x", "unknown-key"),
    ("RAMAIS==1121", "unknown-key"),
    ("CHECKIP=203.0.113.7 INICIO=27/10/2025", "key-of-another-command"),
    (f"{R} MACATUAL=001122334455", "key-of-another-command"),
    # trailing words
    (f"{R} por favor", "trailing-words"),
    (f"RAMAIS=1121 por favor {DAYS}", "trailing-words"),
    (f'RAMAIS="1121" urgente {DAYS}', "stray-words"),
    ("CHECKIP=203.0.113.7 obrigado", "trailing-words"),
    ("CHECKIP=203.0.113.7 SERVER=gv1p obrigado", "trailing-words"),
    (f"{R} AUDIOS_FROM=s3 obrigado", "trailing-words"),
    (f"{R}.", "bad-time"),
    (f"{R} CHECKIP", "trailing-words"),
    (f"{R} AJUDA", "trailing-words"),
    (f"Bom dia {R}", "stray-words"),
    (f"Pedido: {R}", "stray-words"),
    # one key with two values
    (f"{R} FIM=28/10/2025 18:01", "two-values"),
    (f"{R} RAMAIS=1122", "two-values"),
    (f"{R} RAMAIS=1121,1122", "two-values"),
    ("CHECKIP=203.0.113.7 CHECKIP=203.0.113.8", "two-values"),
    # two commands
    (f"{R} CHECKIP=203.0.113.7", "two-commands"),
    ("CHECKIP=203.0.113.7 MACCHANGE=1121", "two-commands"),
    # words between date and time
    (b("27/10/2025 às 08:00"), "between-date-and-time"),
    (b("27/10/2025 as 08h00"), "between-date-and-time"),
    (b("27/10/2025 - 08:00"), "between-date-and-time"),
    (b("27/10/2025, 08:00"), "between-date-and-time"),
    # AM/PM
    (b("27/10/2025 08:00 AM"), "am-pm"),
    (b("27/10/2025 8:00pm"), "am-pm"),
    (b("27/10/2025 8 p.m."), "am-pm"),
    # an impossible date
    (b("31/09/2025 08:00"), "impossible-date"),
    (b("29/02/2025 08:00"), "impossible-date"),
    (b("10/27/2025 08:00"), "impossible-date"),
    (b("00/10/2025 08:00"), "impossible-date"),
    (b("27/10/0025 08:00"), "impossible-date"),
    (b("2025-13-01 08:00"), "impossible-date"),
    (b("27/10/2025 25:00"), "impossible-time"),
    (b("27/10/2025 08:60"), "impossible-time"),
    (b("27/10/2025 24:01"), "impossible-time"),
    # and what else is no date
    (b("27/10 08:00"), "bad-date"),
    (b("27/10-2025 08:00"), "bad-date"),
    (b("27/10/202 08:00"), "bad-date"),
    (b("27/10/20255 08:00"), "bad-date"),
    (b("ontem"), "bad-date"),
    (b("08:00 27/10/2025"), "bad-date"),
    (b("27/10/2025 0800"), "bad-time"),
    (b("27/10/2025 8:5"), "bad-time"),
    (b("27/10/2025 08:00h"), "bad-time"),
    (b("2025-10-27T08:00Z"), "bad-time"),
    (b("2025-10-27T08:00-03:00"), "bad-time"),
    (b(""), "empty-value"),
    # SERVER that contradicts AUDIOS_FROM
    (f"{R} SERVER=gv1p AUDIOS_FROM=s3", "server-contradicts"),
    (f"{R} SERVER=voip1 AUDIOS_FROM=audio", "server-contradicts"),
    (f"{R} AUDIOS_FROM=tape", "bad-audios-from"),
    # no keys without a space before them
    ("RAMAIS=1121INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", "glued"),
    ("RAMAIS=1121,INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00", "glued"),
    ("RAMAIS=1121 INICIO=27/10/2025 08:00FIM=28/10/2025 18:00", "glued"),
    (f'RAMAIS="1121"{DAYS}', "glued"),
    ("CHECKIP=203.0.113.7SERVER=gv1p", "glued"),
    # a token without brackets or not in front
    (f"1A2B3C4D {R}", "token-brackets"),
    (f"12345678 {R}", "token-brackets"),
    (f"1A2B3C4D{R}", "token-brackets"),
    (f"(1A2B3C4D) {R}", "token-brackets"),
    (f"{R} [1A2B3C4D]", "token-place"),
    (f"RAMAIS=1121 [1A2B3C4D] {DAYS}", "token-place"),
    (f"{R} 1A2B3C4D", "token-place"),
    (f"[1A2B3C4D] [0BADCAFE] {R}", "two-tokens"),
    (f"[1A2B3C4] {R}", "token-form"),
    (f"[1A2B3C4DE] {R}", "token-form"),
    # what is missing
    ("RAMAIS=1121", "missing-key"),
    ("RAMAIS=1121 FIM=28/10/2025", "missing-key"),
    ("MACCHANGE=1121 MACATUAL=001122334455 SERVER=gv1p", "missing-key"),
    ("RAMAIS 1121 INICIO 27/10/2025", "no-equals"),
    ("RAMAIS: 1121", "no-equals"),
    ("RAMAIS", "no-equals"),
    (f"{DAYS}", "no-command"),
    ("Bom dia", "no-command"),
    ("", "no-command"),
    ("[1A2B3C4D]", "no-command"),
    ('RAMAIS="1121 INICIO=27/10/2025', "open-quote"),
    ("RAMAIS=" + "1121," * 300, "too-long"),
]


@pytest.mark.parametrize(("subject", "code"), REFUSED)
def test_refused(subject: str, code: str) -> None:
    refusal = parse(subject, LIMITS, NOW)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == code, refusal


def test_a_refusal_names_the_command_and_the_mistake() -> None:
    assert parse("CHECKIP=10.0.0.1 SERVER=gv1p", LIMITS, NOW) == Refusal(
        "ip-private", "CHECKIP", {"value": "10.0.0.1"}
    )
    refusal = parse("RAMAIS=1121 CHECKIP=203.0.113.7", LIMITS, NOW)
    assert isinstance(refusal, Refusal)
    assert (refusal.command, dict(refusal.names)) == ("", {"one": "RAMAIS", "two": "CHECKIP"})


def test_two_servers_that_differ_in_case_are_told_apart_or_refused() -> None:
    limits = type(LIMITS)(10, 30, LIMITS.timezone, {"GV1P": "s3", "gv1p": "audio"})
    parsed = parse(f"{R} SERVER=GV1P", limits, NOW)
    assert isinstance(parsed, Parsed)
    assert parsed.parameters["server"] == "GV1P"
    refusal = parse(f"{R} SERVER=Gv1p", limits, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "server-unknown"


def test_now_decides_about_the_future_only() -> None:
    subject = "RAMAIS=1121 INICIO=01/11/2025 12:00 FIM=02/11/2025"
    assert isinstance(parse(subject, LIMITS, datetime(2025, 11, 1, 15, 0, tzinfo=UTC)), Parsed)
    assert isinstance(parse(subject, LIMITS, datetime(2025, 11, 1, 14, 59, tzinfo=UTC)), Refusal)


def test_a_subject_that_is_too_long_is_not_read_in_part() -> None:
    for subject in ("Re: " * 990 + R, "x" * 4_001, f"{R} " + "x" * 5_000):
        refusal = parse(subject, LIMITS, NOW)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "too-long"
    assert isinstance(parse("Re: " * 900 + R, LIMITS, NOW), Parsed)
