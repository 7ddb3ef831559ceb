"""Tokens: whose they are, how long they hold, that nothing shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from daemon.mail.tokens import Tokens, entry_of, imported, normal
from tests.unit.mail.site import ANYBODYS, EXPIRED, NOW, PERSON, PERSONS_TOKEN, TECH, TECHS_TOKEN, TOKENS

VERDICTS = [
    (TECH, TECHS_TOKEN, "right"),
    (TECH, TECHS_TOKEN.lower(), "right"),
    ("TECH@Example.com", TECHS_TOKEN, "right"),
    (PERSON, PERSONS_TOKEN, "right"),
    # another sender's is a wrong one
    (PERSON, TECHS_TOKEN, "wrong"),
    (TECH, PERSONS_TOKEN, "wrong"),
    (TECH, "00000000", "wrong"),
    (TECH, "", "wrong"),
    (TECH, EXPIRED, "expired"),
    (PERSON, EXPIRED, "wrong"),
    # imported, ownerless
    (TECH, ANYBODYS, "right"),
    ("anybody@example.org", ANYBODYS, "right"),
]


@pytest.mark.parametrize(("sender", "token", "verdict"), VERDICTS)
def test_verify(sender: str, token: str, verdict: str) -> None:
    assert TOKENS.verify(sender, token, NOW) == verdict


def test_a_token_holds_until_it_expires() -> None:
    made = datetime(2025, 10, 1, tzinfo=UTC)
    tokens = Tokens((entry_of(TECHS_TOKEN, TECH, made, 30, b"s" * 16),))
    assert tokens.verify(TECH, TECHS_TOKEN, made + timedelta(days=30, seconds=-1)) == "right"
    assert tokens.verify(TECH, TECHS_TOKEN, made + timedelta(days=30)) == "expired"


def test_the_same_token_made_again_is_right_though_the_first_has_expired() -> None:
    old = entry_of(TECHS_TOKEN, TECH, datetime(2025, 1, 1, tzinfo=UTC), 30, b"s" * 16)
    new = entry_of(TECHS_TOKEN, TECH, datetime(2025, 10, 30, tzinfo=UTC), 30, b"t" * 16)
    assert Tokens((old, new)).verify(TECH, TECHS_TOKEN, NOW) == "right"
    assert Tokens((new, old)).verify(TECH, TECHS_TOKEN, NOW) == "right"


@pytest.mark.parametrize("text", ["1a2b3c4d", " 1A2B3C4D ", "[1A2B3C4D]", "1A2B 3C4D"])
def test_normal(text: str) -> None:
    assert normal(text) == "1A2B3C4D"


@pytest.mark.parametrize("text", ["", "9F8E7D6", "9F8E7D6C5", "9F8E7D6G", "١٢٣٤٥٦٧٨"])
def test_no_token(text: str) -> None:
    with pytest.raises(ValueError, match="8 hexadecimal") as error:
        normal(text)
    assert not text or text not in str(error.value)


def test_nothing_that_is_kept_or_shown_has_a_token_in_it() -> None:
    kept = msgspec.json.encode(TOKENS).decode()
    for token in (TECHS_TOKEN, PERSONS_TOKEN, EXPIRED, ANYBODYS):
        assert token not in kept.upper()
        assert token not in repr(TOKENS).upper()
    assert TOKENS.entries[0].hash not in repr(TOKENS)
    assert TOKENS.entries[0].salt not in repr(TOKENS)


def test_revoked_by_sender_or_by_id() -> None:
    left, gone = TOKENS.revoked("Tech@example.com")
    assert {entry.sender for entry in gone} == {TECH}
    assert left.verify(TECH, TECHS_TOKEN, NOW) == "wrong"
    assert left.verify(PERSON, PERSONS_TOKEN, NOW) == "right"
    left, gone = TOKENS.revoked(TOKENS.entries[3].id)
    assert [entry.sender for entry in gone] == [""]
    assert left.verify(TECH, ANYBODYS, NOW) == "wrong"
    assert TOKENS.revoked("nobody@example.com") == (TOKENS, ())
    assert TOKENS.revoked("") == (TOKENS, ())


def test_the_old_list_of_tokens_holds_for_everybody_for_90_days() -> None:
    lines = ["# tokens", "", "1a2b3c4d", "0BADCAFE  # the gate", "no token", "1A2B3C4D"]
    entries, bad = imported(lines, NOW, b"s" * 16)
    tokens = Tokens(entries)
    assert (len(entries), bad) == (2, (5,))
    assert tokens.verify("anybody@example.org", "0badcafe", NOW + timedelta(days=89)) == "right"
    assert tokens.verify("anybody@example.org", "0badcafe", NOW + timedelta(days=90)) == "expired"
    assert (tokens.ownerless(NOW), tokens.ownerless(NOW + timedelta(days=90))) == (2, 0)


def test_what_expired_long_ago_is_dropped_when_another_is_added() -> None:
    old = entry_of(EXPIRED, TECH, NOW - timedelta(days=800), 30, b"s" * 16)
    new = entry_of(TECHS_TOKEN, TECH, NOW, 30, b"t" * 16)
    assert Tokens((old,)).added(new) == Tokens((new,))
