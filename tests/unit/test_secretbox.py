"""Encrypted secrets: there and back, and every way in which it can't."""

from __future__ import annotations

import pytest

from daemon.errors import PermanentError
from daemon.secretbox import decrypt, encrypt, is_encrypted, new_key

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SECRET = "São-João#1"


def test_there_and_back() -> None:
    token = encrypt(SECRET + "\n", KEY)
    assert is_encrypted(token)
    assert SECRET not in token
    assert decrypt(token, KEY) == SECRET
    assert decrypt(token, f" {KEY}\n") == SECRET


def test_a_new_key_is_a_key() -> None:
    key = new_key()
    assert len(key) == 44
    assert decrypt(encrypt(SECRET, key), key) == SECRET


@pytest.mark.parametrize("key", [None, "", "short", "ñ" * 44, KEY[:-2], "*" * 44])
def test_a_bad_key_is_said(key: str | None) -> None:
    with pytest.raises(PermanentError, match="ARIMONITOR_KEY") as caught:
        encrypt(SECRET, key)
    assert SECRET not in str(caught.value)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("secret", ["", "\n", "\ud800"])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(PermanentError, match="the secret is"):
        encrypt(secret, KEY)


def test_a_damaged_or_foreign_token_is_said() -> None:
    token = encrypt(SECRET, KEY)
    for damaged in (token[:-1], token[:20] + "A" + token[21:], "enc:", "enc:ção", encrypt(SECRET, new_key())):
        with pytest.raises(PermanentError, match="can't be decrypted") as caught:
            decrypt(damaged, KEY)
        assert damaged not in str(caught.value)
