"""A phone's provisioning file: its name, whose it is, the MAC inside made another. Pure.

Files are handled as Latin-1, which keeps every byte as it is.
"""

from __future__ import annotations

import re

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_EXTENSION = re.compile(r"[0-9]{3,8}")
_IN_NAME = re.compile(r"\{(mac|MAC)(?::([:.-]))?\}")


def is_mac(text: str) -> bool:
    """Whether it is one phone's address in canonical form: lower case, `:`, neither zero nor a group's."""
    return bool(_MAC.fullmatch(text)) and not int(text[:2], 16) & 1 and text != "00:00:00:00:00:00"


def is_extension(text: str) -> bool:
    """Whether it is an extension: 3 to 8 ASCII digits."""
    return bool(_EXTENSION.fullmatch(text))


def file_name(pattern: str, mac: str) -> str:
    """The name of a phone's file; `mac` is canonical.

    >>> file_name("SEP{MAC}.cnf.xml", "aa:bb:cc:00:11:22")
    'SEPAABBCC001122.cnf.xml'
    >>> file_name("{mac:-}", "aa:bb:cc:00:11:22"), file_name("{mac:.}", "aa:bb:cc:00:11:22")
    ('aa-bb-cc-00-11-22', 'aabb.cc00.1122')
    """

    def written(match: re.Match[str]) -> str:
        digits = mac.replace(":", "")
        step = 4 if match[2] == "." else 2
        text = (match[2] or "").join(digits[at : at + step] for at in range(0, 12, step))
        return text.upper() if match[1] == "MAC" else text

    return _IN_NAME.sub(written, pattern)


def belongs(content: bytes, extension: str, place: str) -> bool:
    """Whether the file names the extension: as `place` says, else as a word anywhere."""
    if place:
        expression = place.replace("{extension}", f"(?:{re.escape(extension)})")
        return bool(re.search(expression, content.decode("latin-1"), re.MULTILINE))
    word = rf"(?<![0-9A-Za-z]){re.escape(extension)}(?![0-9A-Za-z])"
    return bool(re.search(word, content.decode("latin-1")))


def with_mac(content: bytes, old: str, new: str, place: str, *, upper: bool) -> bytes:
    """The file with the old MAC made the new one, in whatever form each is written.

    `place` says where (a MULTILINE expression with {mac}), else everywhere.
    `upper`: how it is written where the old one has no letters to show it.
    """
    text = content.decode("latin-1")
    anywhere = r"[:.-]?".join(old.split(":"))
    expression = re.compile(rf"(?<![0-9A-Fa-f]){anywhere}(?![0-9A-Fa-f])", re.IGNORECASE)
    seen = [match[0] for match in expression.finditer(text)]
    upper = next((each.isupper() for each in seen if each.lower() != each.upper()), upper)
    if not place:
        return expression.sub(lambda match: _like(match[0], new, upper), text).encode("latin-1")
    where = re.compile(place.replace("{mac}", f"(?P<mac>(?i:{anywhere}))"), re.MULTILINE)

    def replaced(match: re.Match[str]) -> str:
        begin, end = match.start("mac") - match.start(), match.end("mac") - match.start()
        return match[0][:begin] + _like(match["mac"], new, upper) + match[0][end:]

    return where.sub(replaced, text).encode("latin-1")


def _like(written: str, new: str, upper: bool) -> str:
    """The new MAC with the separators and the case of the old one."""
    digits = iter(new.replace(":", ""))
    text = "".join(next(digits) if each.isalnum() else each for each in written)
    if written.lower() != written.upper():
        upper = written.isupper()
    return text.upper() if upper else text
