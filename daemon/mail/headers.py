"""A header block as fields, and a field's value as text. Pure.

Written by hand and linear in its input: the standard library's parser needs
quadratic time for some malformed headers and raises for others. Nothing here
raises: whatever can't be decoded is read as Latin-1.

Sources: RFC 5322 2.2 (fields, folding), RFC 2047 (encoded words), RFC 2231 5
(the language in an encoded word).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_LINES = 1_000
MAX_BYTES = 100_000

_FIELD = re.compile(rb"([!-9;-~]{1,76})[ \t]*:")
_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([BbQq])\?([^?]{0,2000})\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
# What mail programs use. Not any codec of Python's: some are no character sets, some are quadratic.
_CHARSETS = re.compile(
    r"utf-?(?:7|8|16|16le|16be)|(?:us-)?ascii|iso-?8859-?[0-9]{1,2}|latin-?1|(?:windows-|cp-?)12[0-9]{2}|cp-?(?:437|850|86[0-9])"
    r"|koi8-[ru]|macintosh|gb2312|gbk|gb18030|big5|iso-2022-jp|shift[-_]jis|euc-(?:jp|kr)|ks_c_5601-1987",
    re.IGNORECASE,
)


class Field(NamedTuple):
    """One header field: its name in lower case, its value unfolded and without the blanks round it."""

    name: str
    value: bytes


def too_big(header: bytes) -> bool:
    """Over 1,000 lines or 100,000 bytes: nobody's mail program makes such a header."""
    block = header.rstrip(b"\r\n")
    lines = 1 + max(block.count(b"\n"), block.count(b"\r"))
    return len(block) > MAX_BYTES or lines > MAX_LINES


def fields(header: bytes) -> tuple[Field, ...]:
    """The fields, the top one first. A line that is no field and continues none is left out."""
    found: list[tuple[str, list[bytes]]] = []
    for line in header.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if not line:
            break
        if line[:1] in b" \t":
            if found:
                found[-1][1].append(line.strip())
            continue
        match = _FIELD.match(line)
        if match:
            found.append((match[1].decode("ascii").lower(), [line[match.end() :].strip()]))
    return tuple(Field(name, b" ".join(filter(None, parts))) for name, parts in found)


def values(block: Sequence[Field], name: str) -> list[bytes]:
    """Every value of the fields called `name` (lower case), the top one first."""
    return [field.value for field in block if field.name == name]


def text_of(value: bytes) -> str:
    """Raw bytes as text: UTF-8 where they are that, else Latin-1. NUL bytes are dropped."""
    value = value.replace(b"\0", b"")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def decoded(value: bytes) -> str:
    """A value for people: raw 8-bit text and encoded words alike.

    Blanks between two encoded words are no part of the text; words of one
    character set are joined before they are decoded, since some programs cut
    a letter's bytes in two.
    """
    text = text_of(value)
    pieces: list[str] = []
    charset, data = "", b""
    at = 0
    for match in _WORD.finditer(text):
        between = text[at : match.start()]
        if between.strip() or not at:
            pieces += [_decode(data, charset), between]
            charset, data = "", b""
        word = _bytes_of(match[2], match[3])
        if match[1].lower() != charset:
            pieces.append(_decode(data, charset))
            charset, data = match[1].lower(), b""
        data += word
        at = match.end()
    return "".join((*pieces, _decode(data, charset), text[at:]))


def _bytes_of(encoding: str, content: str) -> bytes:
    if encoding in "Qq":
        raw = content.replace("_", " ").encode("utf-8")
        return _HEX.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), raw)
    letters = _NOT_BASE64.sub("", content)
    try:
        return base64.b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + "==")
    except binascii.Error:
        return content.encode("utf-8")


def _decode(data: bytes, charset: str) -> str:
    if _CHARSETS.fullmatch(charset):
        try:
            return data.decode(charset).replace("\0", "")
        except (UnicodeDecodeError, LookupError):
            return text_of(data)
    return text_of(data)
