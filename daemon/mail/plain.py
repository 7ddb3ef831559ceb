"""What people type as plain characters: blanks, dashes, quotes and digits in one form each. Pure.

Only what means the same is replaced. Superscripts, fractions and digits of
other scripts stay what they are and are refused later: "1121²" is no 11212.
"""

from __future__ import annotations

import unicodedata

_SAME = {
    **{ord(sign): '"' for sign in "“”„‟«»″＂"},
    **{ord(sign): "'" for sign in "‘’‚‛′´`＇"},
    **{ord(sign): "-" for sign in "‐‑‒–—―−﹘﹣"},
    **{ord(sign): "/" for sign in "⁄∕"},
    ord("∶"): ":",
    0xFE0E: None,
    0xFE0F: None,
    0x034F: None,
}


def plain(text: str) -> str:
    """One line: full-width forms narrow, invisible signs gone, every blank a space, runs of them one."""
    return " ".join("".join(map(_plain, unicodedata.normalize("NFC", text.translate(_SAME)))).split())


def fold(text: str) -> str:
    """Upper case without accents, for comparing keys: `Início` is `INICIO`."""
    bare = "".join(sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")
    return bare.upper()


def _plain(sign: str) -> str:
    code = ord(sign)
    if 0x20 < code < 0x7F:
        return sign
    if 0xFF01 <= code <= 0xFF5E:
        return chr(code - 0xFEE0)
    if 0xFE50 <= code <= 0xFE6B:
        return unicodedata.normalize("NFKC", sign)
    category = unicodedata.category(sign)
    if category == "Cf":
        return ""
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    # Not assigned, private, half a pair: nothing that can be shown.
    return "\ufffd" if category in ("Cn", "Co", "Cs") else sign
