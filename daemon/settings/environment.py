"""Configuration from the environment: ARIMONITOR_SECTION__KEY, and the `.env` file's lines. Pure.

ARIMONITOR_MQ__HOST                     [mq] host
ARIMONITOR_MAIL__IMAP__PASSWORD_FILE    [mail.imap] password_file
ARIMONITOR_ASTERISK__voip3__URL         the [[asterisk]] named voip3, made if there is none
ARIMONITOR_MAIL__SENDER__a@example.com__COMMANDS
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from daemon.settings import Settings
from daemon.settings.draft import Draft, unknown_key
from daemon.settings.schema import Key, Kind, identity, key_of, keys_of, parse_text, readable

PREFIX = "ARIMONITOR_"
NO_KEYS = ("ARIMONITOR_CONFIG", "ARIMONITOR_KEY")
_DOTENV_LINE = re.compile(r"(?:export\s+)?([^\s=#'\"]+)\s*=\s*(.*)")
_TEXT = Kind("text")


def parse_dotenv(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The variables of a `.env` file and its bad lines (number, what would be right).

    KEY=VALUE, single or double quotes round the whole value, `#` at the begin
    of a line or behind a blank begins a comment. No shell: nothing is expanded.
    """
    values: dict[str, str] = {}
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(line)
        if match is None:
            bad.append((number, "KEY=VALUE"))
            continue
        name, value = match.groups()
        if value[:1] in ("'", '"'):
            quoted = re.fullmatch(r"""(['"])(.*?)\1\s*(?:#.*)?""", value)
            if quoted is None:
                bad.append((number, "KEY=VALUE with the closing quote at the end of the value"))
                continue
            value = quoted.group(2)
        else:
            value = re.split(r"\s#|^#", value, maxsplit=1)[0].strip()
        values[name] = value
    return values, bad


def overlay(draft: Draft, environ: Mapping[str, str], source: str = "") -> None:
    """Put what the environment says over the draft's tables; `source` is the `.env` it comes from."""
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NO_KEYS:
            continue
        origin = f"{source}: {readable(name)}" if source else readable(name)
        if "__" in name and name.removesuffix("_FILE") != name and name.removesuffix("_FILE") in environ:
            draft.problems.append(f"{origin}: give {name.removesuffix('_FILE')} or this, not both")
            continue
        right = _set(draft, name.removeprefix(PREFIX), environ[name], origin)
        if right:
            draft.problems.append(f"{origin}: {right}")


def _set(draft: Draft, path: str, text: str, origin: str) -> str:
    """Set one variable; what is wrong with its name, or ""."""
    section, separator, rest = path.partition("__")
    if not separator:
        return _single(path)
    key = key_of(Settings, section.lower())
    if key is None:
        near = difflib.get_close_matches(section.lower(), [k.label for k in keys_of(Settings)], n=1)
        hint = (
            f"; did you mean [{near[0]}]?" if near else ": " + ", ".join(k.label for k in keys_of(Settings))
        )
        return f"the configuration has no section [{readable(section.lower())}]{hint}"
    return _descend(draft, draft.data, (), key, rest, text, origin)


def _descend(
    draft: Draft,
    holder: dict[str, Any],
    at: tuple[str | int, ...],
    key: Key,
    rest: str,
    text: str,
    origin: str,
) -> str:
    """Go into table or array `key` of `holder` along `rest`, and set what it names."""
    model = key.kind.model
    if model is None or not rest:
        return f"name a key too: {_variable((*at, key.label))}__KEY"
    if key.kind.base == "tables":
        called, _, label = rest.rpartition("__")
        if not called:
            return f"the element's name and the key are needed: {_variable((*at, key.label))}__NAME__KEY"
        elements = holder.setdefault(key.label, [])
        if not isinstance(elements, list):
            return ""  # the file is wrong there, and that is said by validation
        index = _element(elements, model, called, draft, (*at, key.label), origin)
        return _assign(draft, elements[index], (*at, key.label, index), model, label.lower(), text, origin)
    table = holder.setdefault(key.label, {})
    if not isinstance(table, dict):
        return ""
    label, _, deeper = rest.partition("__")
    inner = key_of(model, label.lower())
    if inner is not None and inner.kind.model is not None:
        return _descend(draft, table, (*at, key.label), inner, deeper, text, origin)
    return _assign(draft, table, (*at, key.label), model, rest.lower(), text, origin)


def _element(
    elements: list[Any],
    model: type[BaseModel],
    name: str,
    draft: Draft,
    at: tuple[str | int, ...],
    origin: str,
) -> int:
    """The place of the element called `name` (its case counts only where two differ by nothing else)."""
    called_by = identity(model)
    names = [element.get(called_by) if isinstance(element, dict) else None for element in elements]
    if name in names:
        return names.index(name)
    alike = [
        i for i, other in enumerate(names) if isinstance(other, str) and other.casefold() == name.casefold()
    ]
    if len(alike) == 1:
        return alike[0]
    elements.append({called_by: name})
    draft.origins[(*at, len(elements) - 1)] = origin
    return len(elements) - 1


def _assign(
    draft: Draft,
    table: dict[str, Any],
    at: tuple[str | int, ...],
    model: type[BaseModel],
    label: str,
    text: str,
    origin: str,
) -> str:
    key = key_of(model, label)
    secret = key_of(model, label.removesuffix("_file")) if key is None and label.endswith("_file") else key
    if secret is None or (key is None and not secret.kind.secret):
        return unknown_key(model, label)
    if secret.kind.secret:  # the one that is set last counts: the secret itself or its file
        table.pop(secret.label, None)
        table.pop(secret.label + "_file", None)
    table[label] = parse_text(key.kind if key is not None else _TEXT, text)
    draft.origins[(*at, label)] = origin
    return ""


def _variable(at: tuple[str | int, ...]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in at)


def _single(path: str) -> str:
    """A variable without `__` is somebody else's, unless it looks like a key with one `_` too few."""
    for section in keys_of(Settings):
        rest = path.lower().removeprefix(section.label + "_")
        if section.kind.model is not None and rest != path.lower():
            label = rest.removesuffix("_file")
            if key_of(section.kind.model, rest) or key_of(section.kind.model, label):
                return f"two underscores between section and key: {_variable((section.label, rest))}"
    return ""
