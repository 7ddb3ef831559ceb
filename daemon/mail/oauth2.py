"""Access tokens for XOAUTH2, fetched and kept until near their end. Adapter of http.client.

One POST to `token_url` (RFC 6749): with a refresh token (6, Gmail) or with the
application's own right (4.4, client credentials). No redirect is followed: it
would carry the secrets elsewhere. No error holds a secret or a token.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import urlencode, urlsplit

from daemon.errors import TransientError
from daemon.runtime.deadline import deadline
from daemon.settings import is_loopback

MOST: Final = 64 * 1024
"""Bytes of an answer."""
_EARLY: Final = 120.0
"""Seconds before its end a token is fetched anew."""
_LONGEST: Final = 24 * 3600.0


class TokenRefused(TransientError):
    """The token server says no: the operator has to authorise again. Tried again, seldom."""


class TokenSource:
    """Tokens of one mailbox; any greenlet may ask."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        refresh_token: str = "",
        scope: str = "",
        *,
        ca_file: Path | None = None,
        timeout: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._form = {"client_id": client_id, "client_secret": client_secret}
        if refresh_token:
            self._form |= {"grant_type": "refresh_token", "refresh_token": refresh_token}
        else:
            self._form |= {"grant_type": "client_credentials"}
        if scope:
            self._form["scope"] = scope
        self._ca_file = ca_file
        self._timeout = timeout
        self._clock = clock
        self._lock = Lock()
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        """A token that is good now. TransientError or TokenRefused, with the mend."""
        with self._lock:
            if not self._token or self._clock() >= self._until:
                began = self._clock()
                with deadline(self._timeout, f"the token server {self._place()}"):
                    self._token, seconds = self._fetch()
                self._until = began + max(seconds - _EARLY, seconds / 2)
            return self._token

    def refused(self, token: str) -> None:
        """The mail host did not take this token: the next call of `token` fetches another."""
        with self._lock:
            if token == self._token:
                self._token = ""

    def _place(self) -> str:
        return urlsplit(self.url).hostname or "mail.imap.oauth2.token_url"

    def _fetch(self) -> tuple[str, float]:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        link: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self._ca_file)
            link = http.client.HTTPSConnection(host, parts.port, timeout=self._timeout, context=context)
        elif is_loopback(host):
            link = http.client.HTTPConnection(host, parts.port, timeout=self._timeout)
        else:
            raise TokenRefused("secrets are not sent unencrypted: mail.imap.oauth2.token_url needs https")
        try:
            link.request(
                "POST",
                parts.path or "/",
                urlencode(self._form),
                {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            )
            answer = link.getresponse()
            body = answer.read(MOST)
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(
                f"the token server {host} can't be asked: {getattr(error, 'strerror', '') or error}"
            ) from error
        finally:
            link.close()
        return self._read(answer.status, body)

    def _read(self, status: int, body: bytes) -> tuple[str, float]:
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        found = said if isinstance(said, dict) else {}
        if status in (400, 401, 403):
            code = str(found.get("error", ""))[:60]
            raise TokenRefused(
                f"the token server {self._place()} refuses ({status} {code if code.isascii() else ''}): "
                f"authorise again and correct mail.imap.oauth2"
            )
        token, seconds = found.get("access_token"), found.get("expires_in", 3600)
        usable = isinstance(token, str) and token and token.isascii() and token.isprintable()
        if status != 200 or not usable:
            raise TransientError(f"the token server {self._place()} gave no token (status {status})")
        try:
            span = float(seconds)
        except (TypeError, ValueError):
            span = 3600.0
        return str(token), min(max(span, 0.0), _LONGEST)


def xoauth2(username: str, token: str) -> str:
    """The first and only word of XOAUTH2, before base64."""
    return f"user={username}\x01auth=Bearer {token}\x01\x01"
