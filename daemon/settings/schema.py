"""What the models say about a key: its kind, what is right, text to value and back. Pure."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as limits
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from daemon.settings.base import Section

_SCALARS = {bool: "switch", int: "integer", float: "number", str: "text", Path: "path", SecretStr: "secret"}
_ON = ("true", "on", "yes", "1")
_OFF = ("false", "off", "no", "0")
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a key: a scalar, a choice, a list, a table or an array of tables."""

    base: str
    choices: tuple[str, ...] = ()
    item: Kind | None = None
    model: type[Section] | None = None

    @property
    def secret(self) -> bool:
        """Whether the value may never be shown."""
        return self.base == "secret"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: its name in the file, its field in the model."""

    label: str
    field: str
    kind: Kind
    info: FieldInfo

    @property
    def live(self) -> bool:
        """Whether it may change while running."""
        extra = self.info.json_schema_extra
        return isinstance(extra, dict) and extra.get("reload") == "live"

    @property
    def expected(self) -> str:
        """What would be right, as the end of a problem line."""
        return _expected(self.kind, self.info)


def kind_of(annotation: Any) -> Kind:
    """The kind behind a model's annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return kind_of(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is Literal:
        return Kind("choice", choices=get_args(annotation))
    if origin is tuple:
        item = kind_of(get_args(annotation)[0])
        return Kind("tables", model=item.model) if item.base == "table" else Kind("list", item=item)
    if issubclass(annotation, BaseModel):
        return Kind("table", model=annotation)
    return Kind(_SCALARS[annotation])


def keys_of(model: type[BaseModel]) -> Iterator[Key]:
    """The keys of a table, in the order of the manual."""
    for field, info in model.model_fields.items():
        yield Key(info.alias or field, field, kind_of(info.annotation), info)


def key_of(model: type[BaseModel], label: str) -> Key | None:
    """The key that the file calls `label`, or None."""
    return next((key for key in keys_of(model) if key.label == label), None)


def identity(model: type[BaseModel]) -> str:
    """By which of its keys an element of an array of tables is called."""
    return "name" if "name" in model.model_fields else "address"


def parse_text(kind: Kind, text: str) -> object:
    """The value that `text` (environment, console) stands for.

    A list is a TOML or JSON array or separated by commas. Text that can't be
    the kind is handed back as it is: validation says what would be right.
    """
    stripped = text.strip()
    if kind.base == "switch" and stripped.lower() in _ON + _OFF:
        return stripped.lower() in _ON
    if kind.base in ("integer", "number"):
        try:
            return int(stripped) if kind.base == "integer" else float(stripped)
        except ValueError:
            return text
    if kind.base == "list":
        if stripped.startswith("["):
            try:
                return tomllib.loads("value = " + stripped).get("value", text)
            except (ValueError, RecursionError):
                return text
        return [part.strip() for part in stripped.split(",") if part.strip()]
    return text


def plain(value: object) -> Any:
    """A validated value as the file would have it, secrets still wrapped."""
    if isinstance(value, BaseModel):
        return {key.label: plain(getattr(value, key.field)) for key in keys_of(type(value))}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return "" if value is None else value


def visible(kind: Kind, value: object) -> object:
    """A validated value for people and JSON: a secret is `***`, unset is ""."""
    if kind.secret:
        return "***" if value is not None else ""
    return plain(value)


def shown(value: object) -> str:
    """A raw value in a problem line: short, one line, passwords in URLs hidden, tables never."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**18 else "a huge number"
    if isinstance(value, str):
        return '"' + _one_line(value) + '"'
    if isinstance(value, list):
        flat = all(isinstance(item, str | bool | int | float) for item in value)
        return _cut("[" + ", ".join(shown(item) for item in value[:20]) + "]") if flat else "(a list)"
    if isinstance(value, dict):
        return "(a table)"
    return _one_line(str(value))


def toml(value: object) -> str:
    """A visible value as TOML writes it.

    >>> toml(["a", 1])
    '["a", 1]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def readable(text: str) -> str:
    """`text` with what is not printable escaped, so that it stays one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _one_line(text: str) -> str:
    # user:password@host, with a scheme in front or without
    before, at, rest = text.rpartition("@")
    if at and ":" in before:
        scheme, slashes, _ = before.partition("//")
        text = (scheme + slashes if slashes else "") + "***@" + rest
    return _cut(readable(text))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _expected(kind: Kind, info: FieldInfo | None) -> str:
    if kind.base in ("integer", "number"):
        return ("a whole number" if kind.base == "integer" else "a number") + _limits(info)
    if kind.base == "choice":
        return "one of " + ", ".join(f'"{choice}"' for choice in kind.choices)
    if kind.base == "list" and kind.item is not None:
        return 'a list, such as ["...", "..."], each of it ' + _expected(kind.item, None)
    return {
        "switch": "true or false",
        "text": "text in quotes",
        "path": 'an absolute path in quotes, such as "/var/lib/arimonitor"',
        "secret": "text in quotes",
        "table": "a table: [name] and its keys below",
        "tables": "an array of tables: [[name]] and its keys below, once for each",
    }[kind.base]


def _limits(info: FieldInfo | None) -> str:
    words = []
    for limit in info.metadata if info is not None else ():
        if isinstance(limit, limits.Ge):
            words.append(f"from {limit.ge}")
        elif isinstance(limit, limits.Gt):
            words.append(f"above {limit.gt}")
        elif isinstance(limit, limits.Le):
            words.append(f"to {limit.le}" if words and words[-1].startswith("from") else f"up to {limit.le}")
    return " " + " ".join(words) if words else ""
