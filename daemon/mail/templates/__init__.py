"""The two templates of every answer: the page as HTML and as plain text. Adapter of jinja2.

No remote images, no script, no web fonts; tables and inline styles, since
Outlook and Gmail understand little else. The same page always gives the same
text.
"""

from __future__ import annotations

import re
import textwrap
import time
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jinja2

from daemon.mail.page import Page

_BREATH: Final = 400
"""Pieces of a page between two moments for others: some milliseconds."""


def html(page: Page) -> str:
    """The page as HTML, everything of it escaped."""
    return _rendered(_template("mail.html", escape=True), page)


def text(page: Page) -> str:
    """The page as plain text, folded at 78 columns but for links and subjects."""
    return _rendered(_template("mail.txt", escape=False), page)


def _rendered(template: jinja2.Template, page: Page) -> str:
    """In pieces: the page of a thousand recordings would hold everybody else for 50 ms."""
    pieces = []
    for number, piece in enumerate(template.generate(page=page)):
        pieces.append(piece)
        if number % _BREATH == 0:
            time.sleep(0)
    return "".join(pieces)


def _wrapped(value: str, first: str = "", next_: str = "") -> str:
    folded = textwrap.wrap(
        re.sub(r"\s+", " ", value),
        78,
        initial_indent=first,
        subsequent_indent=next_,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(folded)


@cache
def _template(name: str, *, escape: bool) -> jinja2.Template:
    house: Any = jinja2.Environment(
        autoescape=escape,  # noqa: S701 - False for plain text only, where <b> is no mark-up
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    house.filters["wrapped"] = _wrapped
    source = (files(__name__) / name).read_text(encoding="utf-8")
    found: jinja2.Template = house.from_string(source)
    return found
