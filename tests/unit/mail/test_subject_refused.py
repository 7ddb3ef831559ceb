"""The grammar of subjects: interfaces 6, sentence by sentence: what is refused, and why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daemon.mail.subject import Parsed, Refusal, parse
from tests.unit.mail.site import DAYS, LIMITS, MACS, NOW, R


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
