"""A configuration on its way to Settings: raw tables, where each value came from, all that is wrong. Pure.

file -> raw tables -> + environment -> + secrets -> build() -> Settings
                          every step adds problems; the last one raises them all at once
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from daemon.errors import ConfigurationError
from daemon.settings import Settings
from daemon.settings.check import Location, conflicts
from daemon.settings.schema import Key, identity, key_of, keys_of, readable, shown

_MISSING = object()


@dataclass
class Draft:
    """Raw tables as TOML has them; `source` names their origin, `origins` what came from elsewhere.

    `broken` are the keys which already have a problem: nothing more is said about them.
    """

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Location, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: set[Location] = field(default_factory=set)

    def value_at(self, at: Location) -> object:
        """The raw value at a location, or a mark that there is none."""
        value: Any = self.data
        for part in at:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return _MISSING
        return value

    def problem(self, at: Location, right: str, *, show: bool = True) -> None:
        """Say that `at` must be `right`; its value is shown unless it is, or may be, a secret."""
        if any(at[: len(done)] == done for done in self.broken):
            return
        self.broken.add(at)
        value = self.value_at(at)
        key = _key_at(at)
        text = ""
        if value is not _MISSING and show:
            hidden = key is None or key.kind.secret
            text = " = " + ("***" if hidden and not isinstance(value, dict) else shown(value))
        origin = self.origin(at)
        self.problems.append(f"{origin + ': ' if origin else ''}{self.dotted(at)}{text}: {right}")

    def origin(self, at: Location) -> str:
        """The file or the environment variable that the value at `at` came from."""
        for length in range(len(at), 0, -1):
            if at[:length] in self.origins:
                return self.origins[at[:length]]
        return self.source

    def dotted(self, at: Location) -> str:
        """`asterisk.voip3.url` for ("asterisk", 0, "url"); `#1` where an element has no name."""
        words: list[str] = []
        for index, part in enumerate(at):
            if isinstance(part, str):
                words.append(readable(part))
                continue
            element = self.value_at(at[: index + 1])
            if isinstance(element, dict):
                name = next(
                    (element[k] for k in ("name", "address") if isinstance(element.get(k), str)), None
                )
                words.append(readable(name)[:80] if name else f"#{part + 1}")
            else:
                words[-1] += f"[{part + 1}]"
        return ".".join(words)

    def build(self) -> Settings:
        """The settings. Raises ConfigurationError with every problem of every step."""
        data, settings = copy.deepcopy(self.data), None
        # What is wrong is taken out and the rest tried again, so that what
        # the keys say about each other is checked in the same run.
        for _ in range(20):
            for at in sorted(self.broken, key=len, reverse=True):
                _remove(data, at)
            try:
                settings = Settings.model_validate(data)
                break
            except ValidationError as error:
                for detail in error.errors(include_url=False, include_input=False):
                    self._explain(detail["loc"], detail["type"], detail["msg"])
        if settings is not None:
            for conflict in conflicts(settings):
                if not any(_overlap(at, done) for at in conflict.needs for done in self.broken):
                    self.problem(conflict.at, conflict.right)
        if self.problems or settings is None:
            raise ConfigurationError(tuple(self.problems))
        return settings

    def _explain(self, loc: Location, kind: str, message: str) -> None:
        at = tuple(loc)
        if not at:
            self.problem(at, "a table")
        elif kind == "extra_forbidden":
            self.problem(at, _unknown(at), show=False)
        elif kind == "missing":
            self.problem(at, "must be given")
        elif kind == "value_error":
            self.problem(at, message.removeprefix("Value error, "))
        elif kind in ("string_too_short", "too_short"):
            self.problem(at, "must not be empty")
        else:
            key = _key_at(at)
            self.problem(at, key.expected if key is not None else message)


def _model_at(at: Location) -> type[BaseModel] | None:
    """The table that the location is in or names, following arrays of tables."""
    model: type[BaseModel] = Settings
    for part in at:
        if isinstance(part, int):
            continue
        key = key_of(model, part)
        if key is None or key.kind.model is None:
            return None
        model = key.kind.model
    return model


def _key_at(at: Location) -> Key | None:
    names = tuple(part for part in at if isinstance(part, str))
    model = _model_at(names[:-1]) if names else None
    return key_of(model, names[-1]) if model is not None else None


def unknown_key(model: type[BaseModel], label: str) -> str:
    """What to say about a key that `model` does not have: the nearest ones that it has."""
    known = [key.label for key in keys_of(model)]
    known += [key.label + "_file" for key in keys_of(model) if key.kind.secret]
    near = difflib.get_close_matches(label.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    elsewhere = [
        f"[{section.label}]"
        for section in keys_of(Settings)
        if section.kind.model not in (None, model) and key_of(section.kind.model or Settings, label)
    ]
    hint = f" ({' and '.join(elsewhere[:3])} has one)" if elsewhere else ""
    return f"unknown key{hint}; known here: {', '.join(sorted(known))}"


def _unknown(at: Location) -> str:
    names = tuple(part for part in at if isinstance(part, str))
    model = _model_at(names[:-1])
    return unknown_key(model or Settings, names[-1])


def _overlap(one: Location, other: Location) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _remove(data: Any, at: Location) -> None:
    """Take a broken value out; an element that can't do without it goes whole."""
    *parents, last = at
    holder = data
    for part in parents:
        try:
            holder = holder[part]
        except (LookupError, TypeError):
            return
    if isinstance(holder, dict):
        holder.pop(last, None)
        model = _model_at(at[:-1])
        required = model is not None and (key := key_of(model, str(last))) and key.info.is_required()
        if required and len(at) > 1:
            _blank(data, at[:-1])
    elif isinstance(holder, list):
        _blank(data, at)


def _blank(data: Any, at: Location) -> None:
    """Empty an element of a list without moving the others: a stand-in with valid required keys."""
    holder = data
    for part in at[:-1]:
        holder = holder[part]
    model, index = _model_at(at), at[-1]
    if model is None:  # an item of a plain list: the list goes
        _remove(data, at[:-1])
        return
    if not isinstance(index, int) or index >= len(holder):
        return
    stand_in = {"name": f"broken-{index}", "host": "broken.invalid", "address": f"broken-{index}@invalid"}
    wanted = {key.label for key in keys_of(model) if key.info.is_required()} | {identity(model)}
    kept = holder[index] if isinstance(holder[index], dict) else {}
    holder[index] = {**{key: stand_in[key] for key in wanted}, **kept}
