"""What an answer says, before it is HTML or plain text: a title and a row of blocks. Pure.

Both forms are rendered from one page, so they can't say different things.
Text is plain: escaping is the renderer's.
"""

from __future__ import annotations

import msgspec


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A paragraph; `quiet` in grey and small."""

    text: str
    quiet: bool = False


class Facts(msgspec.Struct, frozen=True, tag="facts"):
    """Names and values, one below the other."""

    rows: tuple[tuple[str, str], ...]


class Items(msgspec.Struct, frozen=True, tag="items"):
    """A list; `title` stands above it."""

    title: str
    points: tuple[str, ...]


class Example(msgspec.Struct, frozen=True, tag="example"):
    """Something to type, letter by letter: a subject line each."""

    lines: tuple[str, ...]


class Button(msgspec.Struct, frozen=True, tag="button"):
    """The one big link of a page."""

    label: str
    link: str


class Call(msgspec.Struct, frozen=True):
    """One line of a list of recordings."""

    when: str
    who: str
    length: str
    link: str


class Calls(msgspec.Struct, frozen=True, tag="calls"):
    """A list of recordings, each with a link called `play`."""

    heads: tuple[str, str]
    play: str
    rows: tuple[Call, ...]


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """A framed paragraph: what went wrong, or what has to be known."""

    text: str


Block = Text | Facts | Items | Example | Button | Calls | Notice


class Page(msgspec.Struct, frozen=True):
    """A whole mail; `preview` is what mailboxes show beside the subject."""

    language: str
    title: str
    preview: str
    blocks: tuple[Block, ...]
    foot: str
