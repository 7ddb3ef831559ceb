"""Where an Asterisk is, and what its refusals mean. Pure.

`url` is what `[[asterisk]] url` says: http(s)://HOST:PORT[/PREFIX], where
PREFIX is http.conf's `prefix`; ARI is below it, at PREFIX/ari.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """One Asterisk's HTTP server. `prefix` is "" or begins with a slash."""

    tls: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL. Raises ValueError, whose text never repeats the URL (it may hold a secret).

        >>> Address.parse("https://pbx.example.com:8089/asterisk/")
        Address(tls=True, host='pbx.example.com', port=8089, prefix='/asterisk')
        """
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise ValueError("not of the form http://HOST:PORT or https://HOST:PORT/PREFIX")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("has a user, a query or a fragment: username and password are keys of their own")
        tls = parts.scheme in ("https", "wss")
        prefix = parts.path.rstrip("/")
        return cls(tls, parts.hostname, parts.port or (8089 if tls else 8088), prefix)

    @property
    def netloc(self) -> str:
        """HOST:PORT, with the brackets of IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}{self.prefix}"

    def path(self, resource: str) -> str:
        """The request path of an ARI resource that begins with a slash."""
        return f"{self.prefix}/ari{resource}"

    def events_url(self, app: str, subscribe_all: bool) -> str:
        """The websocket's URL. It never holds the password: that goes into a header."""
        query = urlencode({"app": app, "subscribeAll": "true" if subscribe_all else "false"})
        return f"{'wss' if self.tls else 'ws'}://{self.netloc}{self.path('/events')}?{query}"


def basic_authorization(username: str, password: str) -> str:
    """Value of the Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def explain(status: int, address: Address, detail: str = "") -> str:
    """One sentence with the mend for an HTTP status that is no success.

    `detail` is what Asterisk wrote itself, one short line or "".
    """
    said = f" ({detail})" if detail else ""
    match status:
        case 400:
            return f"{address} finds the request wrong (400){said}: check app and the Asterisk's version"
        case 401:
            return f"{address} refuses the user name or the password (401): compare them with ari.conf"
        case 403:
            return f"{address} forbids it (403){said}: set read_only = no for this user in ari.conf"
        case 404:
            return (
                f"{address} has no ARI there (404): check the URL's prefix against prefix in http.conf, "
                f"and enabled in ari.conf; a restarting Asterisk answers so for a moment"
            )
        case 503:
            return f"Asterisk at {address} is still starting (503)"
        case _ if 300 <= status < 400:
            return f"{address} redirects ({status}): give the URL of Asterisk's own HTTP server"
        case _:
            return f"{address} answered {status}{said}"
