"""SIP messages: as much of RFC 3261 as a phone on the loopback needs."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

DIGEST_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
TAG = re.compile(r";tag=([^;>\s]+)")
URI = re.compile(r"<([^>]+)>|^\s*(sips?:[^;\s]+)")
USER = re.compile(r"sips?:([^@;>]+)@")


@dataclass
class Message:
    """A received request or response."""

    first: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> "Message":
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = []
        for line in lines:
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
        return cls(first, headers, body)

    def get(self, name: str) -> str:
        """The first header of that name, or ""."""
        return next((v for n, v in self.headers if n == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [v for n, v in self.headers if n == name.lower()]

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request, or that a response answers."""
        return self.get("cseq").split()[1] if self.status else self.first.split()[0]

    @property
    def cseq(self) -> int:
        return int(self.get("cseq").split()[0])

    def tag(self, name: str) -> str:
        found = TAG.search(self.get(name))
        return found.group(1) if found else ""

    def uri(self, name: str) -> str:
        found = URI.search(self.get(name))
        return (found.group(1) or found.group(2)) if found else ""

    def user(self, name: str) -> str:
        found = USER.search(self.get(name))
        return found.group(1) if found else ""

    def media(self) -> tuple[str, int] | None:
        """Where the other side wants its audio."""
        address = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        return (address.group(1), int(port.group(1))) if address and port else None


def build(first: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """The bytes of a message; adds the content headers."""
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(
            "Content-Type: application/sdp"
            if body.startswith("v=0")
            else "Content-Type: application/dtmf-relay"
        )
    lines += [f"Content-Length: {len(body.encode())}", "", body]
    return "\r\n".join(lines).encode()


def branch() -> str:
    return "z9hG4bK" + secrets.token_hex(8)


def authorization(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """The digest that answers a challenge (MD5, with or without qop)."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    asked = {m.group(1).lower(): m.group(2) or m.group(3) or "" for m in DIGEST_FIELD.finditer(challenge)}
    first = md5(f"{user}:{asked['realm']}:{password}")
    second = md5(f"{method}:{uri}")
    words = [
        f'username="{user}"',
        f'realm="{asked["realm"]}"',
        f'nonce="{asked["nonce"]}"',
        f'uri="{uri}"',
        "algorithm=MD5",
    ]
    if "qop" in asked:
        cnonce = secrets.token_hex(4)
        answer = md5(f"{first}:{asked['nonce']}:00000001:{cnonce}:auth:{second}")
        words += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    else:
        answer = md5(f"{first}:{asked['nonce']}:{second}")
    words.append(f'response="{answer}"')
    if "opaque" in asked:
        words.append(f'opaque="{asked["opaque"]}"')
    return "Digest " + ", ".join(words)


def sdp(user: str, ip: str, port: int, version: int, direction: str) -> str:
    lines = [
        "v=0",
        f"o={user} 1 {version} IN IP4 {ip}",
        "s=-",
        f"c=IN IP4 {ip}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        f"a={direction}",
        "",
    ]
    return "\r\n".join(lines)
