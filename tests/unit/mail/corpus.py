"""The corpus of tests/data/mails as raw mails with their expectations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "mails"
FAMILIES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem != "TEMPLATES"))
R = "RAMAIS=1121 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"

_HEAD = re.compile(r"== (?P<name>\S+)(?: \| (?P<template>\S+) => (?P<expected>.+))?")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")


@dataclass(frozen=True)
class Mail:
    """One mail: `expected` as the README of the corpus says."""

    family: str
    name: str
    raw: bytes
    expected: str


def mails(family: str) -> list[Mail]:
    """The mails of one file, in its order."""
    templates = {name: lines for name, _, _, lines in _blocks(FOLDER / "TEMPLATES.txt")}
    return [
        Mail(family, name, _built(templates[template], lines), expected)
        for name, template, expected, lines in _blocks(FOLDER / f"{family}.txt")
    ]


def _blocks(path: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    name = template = expected = ""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        head = _HEAD.fullmatch(line)
        if not head:
            lines.append(line)
            continue
        if name:
            yield name, template, expected, lines
        name, template, expected, lines = head["name"], head["template"] or "", head["expected"] or "", []
    yield name, template, expected, lines


def _split(lines: list[str]) -> tuple[list[str], list[str] | None]:
    """Fields with their folded lines, and the body's lines."""
    fields: list[str] = []
    for number, line in enumerate(lines):
        if not line:
            return fields, lines[number + 1 :]
        if line[0] in " \t" and fields:
            fields[-1] += "\n" + line
        else:
            fields.append(line)
    return fields, None


def _built(template: list[str], own: list[str]) -> bytes:
    fields, body = _split(template)
    changes, own_body = _split(own)
    on_top: list[str] = []
    added: list[str] = []
    for change in changes:
        if change[0] == "^":
            on_top.insert(0, change[1:])
            continue
        gone = change[1:] if change[0] == "-" else change.partition(":")[0]
        fields = [field for field in fields if _name(field) != gone.strip().lower()]
        if change[0] != "-":
            added.append(change)
    told = own_body if own_body is not None else body or []
    text = "\n".join((*on_top, *fields, *added)) + "\n\n" + "\n".join(told)
    text = text.replace("$R", R).replace("$LONG", "x" * 2000)
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()) if match[1] else b"\\", text.encode())


def _name(field: str) -> str:
    return field.partition(":")[0].strip().lower()
