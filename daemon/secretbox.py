"""Secrets of the configuration, encrypted with the key in ARIMONITOR_KEY. Adapter of Fernet.

Fernet is AES-128-CBC with an HMAC-SHA256: a damaged or foreign token is
noticed. The key is 32 random bytes in URL-safe base64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.errors import PermanentError

# cryptography is imported where it is used: 6 MB that a process without
# encrypted secrets does without.
if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MARK = "enc:"
_NEW_KEY = "openssl rand -base64 32 | tr '+/' '-_'"


def new_key() -> str:
    """A fresh key for ARIMONITOR_KEY."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode("ascii")


def encrypt(secret: str, key: str | None) -> str:
    """`secret` as `enc:...` for the configuration. Raises PermanentError, never with the secret in it.

    A line break at the end (of a terminal, of echo) is not part of the secret.
    """
    secret = secret.rstrip("\r\n")
    if not secret:
        raise PermanentError("the secret is empty: give it on standard input")
    try:
        data = secret.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PermanentError("the secret is not valid text: give it as UTF-8") from error
    return MARK + _fernet(key).encrypt(data).decode("ascii")


def decrypt(token: str, key: str | None) -> str:
    """The secret in `enc:...`. Raises PermanentError, never with the token in it."""
    from cryptography.fernet import InvalidToken

    box = _fernet(key)
    try:
        return box.decrypt(token.removeprefix(MARK).strip().encode("ascii")).decode("utf-8")
    except (InvalidToken, UnicodeError) as error:
        raise PermanentError(
            "can't be decrypted: it was encrypted with another ARIMONITOR_KEY, or a part of it is missing; "
            "encrypt it again with `arimonitor secret encrypt`"
        ) from error


def is_encrypted(text: str) -> bool:
    """Whether a value of the configuration is an encrypted secret."""
    return text.startswith(MARK)


def _fernet(key: str | None) -> Fernet:
    from cryptography.fernet import Fernet

    if not key:
        raise PermanentError(f"ARIMONITOR_KEY is not set; a new key: {_NEW_KEY}")
    try:
        return Fernet(key.strip())
    except ValueError as error:
        raise PermanentError(
            "ARIMONITOR_KEY is no key: it must be 32 bytes in URL-safe base64 (44 characters); "
            f"a new key: {_NEW_KEY}"
        ) from error
