"""Asterisk's manager interface (AMI) as bytes in, messages out. Pure.

A message is lines `Key: Value` up to an empty line; before the first one there
is a line of greeting. Source: docs.asterisk.org, "AMI v2 Specification";
manager.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import md5
from typing import Final

from daemon.directory.contacts import Contact
from daemon.errors import TransientError

GREETING: Final = "Asterisk Call Manager/"
MAX_MESSAGE: Final = 256 * 1024
"""Bytes of one message; a contact's is about 600."""

Message = Mapping[str, str]
"""A message's fields by name, as Asterisk writes them; of one that comes twice, the last."""


class AmiGarbage(TransientError):
    """The bytes are no AMI."""


class AmiParser:
    """Feed it what arrives, in pieces of any size; it says what has become whole, in order."""

    def __init__(self) -> None:
        self.greeting: str | None = None
        self._data = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises AmiGarbage."""
        self._data += data
        if self.greeting is None and not self._greet():
            return []
        *whole, self._data = self._data.split(b"\r\n\r\n")
        if len(self._data) > MAX_MESSAGE:
            raise AmiGarbage("a message without an end")
        return [_fields(block) for block in whole if block.strip()]

    def _greet(self) -> bool:
        line, end, rest = self._data.partition(b"\n")
        text = line.decode("latin-1").strip()
        if not text.startswith(GREETING[: len(text)]) or (end and not text.startswith(GREETING)):
            raise AmiGarbage(f"no greeting of Asterisk's manager but {text[:60]!r}")
        if len(line) > len(GREETING) + 40:
            raise AmiGarbage("a greeting without an end")
        if end:
            self.greeting, self._data = text, rest
        return bool(end)


def encode(action: str, action_id: str, fields: Mapping[str, str] | None = None) -> bytes:
    """An action as it is sent. ValueError where a value would begin a line of its own."""
    lines = [f"Action: {action}", f"ActionID: {action_id}"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a line break in a field of an AMI action")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def login_key(challenge: str, secret: str) -> str:
    """What answers a challenge in place of the secret (AuthType MD5; Asterisk knows no other)."""
    return md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()


def contacts_of(messages: Iterable[Message]) -> list[Contact]:
    """The contacts among the events of PJSIPShowContacts, in their order.

    Where the endpoint is not said, it is the AOR's name, which the contact's
    own begins with: `1013010;@596a1889b3012a2fdf21e9226d92c071`.
    """
    contacts = []
    for message in messages:
        if message.get("Event") != "ContactList":
            continue
        name = message.get("Endpoint") or message.get("ObjectName", "").partition(";@")[0]
        uri = message.get("Uri", "")
        if name and uri:
            contacts.append(Contact(name, uri, reachable=message.get("Status") != "Unreachable"))
    return contacts


def _fields(block: bytes) -> Message:
    fields = {}
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip()] = value.strip()
    return fields
