"""Secrets leave no trace in a line."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.logs.redact import Redactor

PATTERNS = [
    ("password=hunter2", "password=***"),
    ("Password: hunter2 and more", "Password: *** and more"),
    ("password='hunter 2', port=1", "password='***', port=1"),
    ('password = "hunter2"', 'password = "***"'),
    ('password = "hun\\"ter2" x', 'password = "***" x'),
    ('{"password": "hunter2", "port": 5672}', '{"password": "***", "port": 5672}'),
    ('"{\\"password\\": \\"hunter2\\", \\"port\\": 1}"', '"{\\"password\\": \\"***\\", \\"port\\": 1}"'),
    ("{'mq_password': 'hunter2'}", "{'mq_password': '***'}"),
    ("ARIMONITOR_MQ__PASSWORD=hunter2", "ARIMONITOR_MQ__PASSWORD=***"),
    ("senha=segredo;x=1", "senha=***;x=1"),
    ("Endpoint:1013010 CLI:101 PW:secret GUID:1", "Endpoint:1013010 CLI:101 PW:*** GUID:1"),
    (
        "GET /ari/events?app=a&api_key=monitor:hunter2&x=1",
        "GET /ari/events?app=a&api_key=***&x=1",
    ),
    ("Authorization: Basic bW9uaXRvcjpodW50ZXIy", "Authorization: Basic ***"),
    ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
    ("{'Authorization': 'Basic bW9uaXRvcjpodW50ZXIy'}", "{'Authorization': 'Basic ***'}"),
    ("sent Basic bW9uaXRvcjpodW50ZXIy to it", "sent Basic *** to it"),
    ("amqp://user:hunter2@mq.example.com:5672/", "amqp://user:***@mq.example.com:5672/"),
    ("http://user:hun@ter2@host.example.com/", "http://user:***@host.example.com/"),
    ('password = "enc:gAAAAABl-x_y="', 'password = "***"'),
    ("value enc:gAAAAABlxyz123= here", "value enc:*** here"),
    ("subject [1A2B3C4D] RAMAIS=1121", "subject [***] RAMAIS=1121"),
    ("subject [ 1a2b3c4d ]RAMAIS=1121", "subject [***]RAMAIS=1121"),
    ("access_token=abc.def secret_key: s3cr3t", "access_token=*** secret_key: ***"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----\nafter",
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nafter",
    ),
]
UNTOUCHED = [
    "connected to voip3 at http://127.0.0.1:8088 after 1.2 s",
    "the server wants basic authentication",
    "password_file=/run/credentials/arimonitor/ari",
    "password=None secret=null",
    "password=***",
    "call=1761562800.42 origin=1013010 destiny=1013015",
    "[101] and [123456789] are no tokens",
    "keyboard key=1 KeyError: 'x'",
    "tokens_file=/etc/arimonitor/tokens",
]


@pytest.mark.parametrize(("text", "expected"), PATTERNS)
def test_what_looks_like_a_secret(text: str, expected: str) -> None:
    assert Redactor()(text) == expected


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_does_not(text: str) -> None:
    assert Redactor()(text) == text


def test_redacted_text_stays_as_it_is() -> None:
    redact = Redactor()
    for _, expected in PATTERNS:
        assert redact(expected) == expected


@pytest.mark.parametrize(
    "form",
    [
        'a"b\\c é%/x',
        'a\\"b\\\\c é%/x',
        'a\\"b\\\\c \\u00e9%/x',
        "a%22b%5Cc%20%C3%A9%25%2Fx",
        "a%22b%5Cc+%C3%A9%25%2Fx",
        "ImEiYlxjIMOpJS94Ig==",
    ],
)
def test_known_secrets_in_every_form(form: str) -> None:
    redact = Redactor(['a"b\\c é%/x', '"a"b\\c é%/x"'])
    assert redact(f"<{form}>") == "<***>"


def test_short_ones_are_left_alone_and_later_ones_are_learnt() -> None:
    redact = Redactor(["abc", "", "   "])
    assert redact("abc abcd") == "abc abcd"
    redact.add(["abcd"])
    assert redact("abc abcd") == "abc ***"


def test_the_longest_secret_goes_as_a_whole() -> None:
    assert Redactor(["swordfish", "swordfish-2"])("x swordfish-2 y") == "x *** y"


@given(st.text(min_size=4, max_size=30).filter(lambda text: len(text.strip()) >= 4))
def test_a_known_secret_is_never_left(secret: str) -> None:
    got = Redactor([secret])(f"user {secret} end {json.dumps(secret)} {secret!r}")
    if secret not in """user *** end "***" '***'""":
        assert secret not in got


@given(st.text(max_size=300))
def test_any_text_passes(text: str) -> None:
    assert isinstance(Redactor(["hunter2"])(text), str)


@pytest.mark.parametrize(
    "piece",
    [
        "a-",
        "a_",
        "a.",
        "password",
        "password ",
        "password=' ",
        "x://",
        "[ ",
        "basic ",
        '\\"',
        "-----BEGIN ",
        "://a:",
        "@",
    ],
)
def test_hostile_text_does_not_take_long(piece: str) -> None:
    text = "password" + piece * (200_000 // len(piece))
    began = time.process_time()
    Redactor(["hunter2"])(text)
    assert time.process_time() - began < 2.0
