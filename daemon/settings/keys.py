"""The keys of a running configuration by dotted name: list, get, set, compare. Pure.

Elements of arrays are called by their name: `asterisk.voip3.url`,
`mail.sender.person@example.com.commands`. Secrets are `***` wherever a value
is handed out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from daemon.errors import ConfigurationError, PermanentError
from daemon.settings import Settings
from daemon.settings.draft import Draft
from daemon.settings.schema import Key, identity, key_of, keys_of, parse_text, plain, toml, visible


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key. `default` and `value` as TOML writes them; a required key has the default ""."""

    name: str
    type: str
    default: str
    value: str
    secret: bool
    live: bool
    summary: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A key of a table of `settings`, with the way to its raw value."""

    name: str
    at: tuple[str | int, ...]
    key: Key
    table: BaseModel | None
    live: bool


def keys(settings: Settings) -> list[KeyInfo]:
    """Every key of `settings`, those of each configured element too."""
    return [_info(place) for place in _places(Settings, settings, "", ())]


def schema() -> list[KeyInfo]:
    """Every key that there is; an element of an array is called `*`."""
    return [_info(place) for place in _places(Settings, None, "", ())]


def get(settings: Settings, name: str) -> object:
    """A key's value, or a mapping of names to values for a section or an element.

    Secrets are `***`. Raises PermanentError where there is no such key.
    """
    places = {place.name: place for place in _places(Settings, settings, "", ())}
    if name in places:
        return _value(places[name])
    below = {n: _value(place) for n, place in places.items() if n.startswith(name + ".")}
    if not below:
        raise PermanentError(_nothing(name, places))
    return below


def with_value(settings: Settings, name: str, text: str) -> Settings:
    """`settings` with one live key changed, validated as a whole.

    Raises PermanentError: no such key, one that needs a restart, a value that
    does not fit.
    """
    places = {place.name: place for place in _places(Settings, settings, "", ())}
    place = places.get(name)
    if place is None:
        raise PermanentError(_nothing(name, places))
    if not place.live:
        raise PermanentError(f"{name} can't change while running: change it in the configuration and restart")
    if place.key.kind.secret and text.startswith("enc:"):
        raise PermanentError(f"{name}: an encrypted secret belongs in the configuration file; reload it")
    data = plain(settings)
    _put(data, place.at, parse_text(place.key.kind, text))
    try:
        return Draft("", data).build()
    except ConfigurationError as error:
        raise PermanentError("; ".join(error.problems)) from error


def secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that is configured, for the log's redaction. Well-known defaults ("guest") are none."""
    found = set()
    for place in _places(Settings, settings, "", ()):
        value = getattr(place.table, place.key.field) if place.key.kind.secret else None
        if isinstance(value, SecretStr) and value != place.key.info.default:
            found.add(value.get_secret_value())
    return tuple(sorted(found))


def changes(old: Settings, new: Settings) -> list[str]:
    """Dotted names of what differs; an element that came or went is named whole."""
    return list(_changes(Settings, old, new, ""))


def restart_needed(changed: Iterable[str]) -> list[str]:
    """Those of `changed` (from `changes`) which take effect with the next start only."""
    return [name for name in changed if not _is_live(name)]


def live_part(old: Settings, new: Settings) -> Settings:
    """`old` with those changes of `new` that may happen while running: what a reload puts in force.

    Raises ConfigurationError where the mixture contradicts itself (a live key
    that needs another which waits for the restart).
    """
    data, wanted = plain(old), plain(new)
    before = {place.name: place.at for place in _places(Settings, old, "", ())}
    after = {place.name: place.at for place in _places(Settings, new, "", ())}
    arrays: set[tuple[str, ...]] = set()
    for name in changes(old, new):
        if not _is_live(name):
            continue
        if name in before and name in after:
            _put(data, before[name], _pick(wanted, after[name]))
        else:
            arrays.update(at for at, _ in _arrays(Settings, ()) if name.startswith(".".join(at) + "."))
    for at in arrays:  # elements came or went: all keys of such an array are live
        _put(data, at, _pick(wanted, at))
    return Draft("", data).build()


def _places(
    model: type[BaseModel], table: BaseModel | None, prefix: str, at: tuple[str | int, ...]
) -> Iterator[_Place]:
    for key in keys_of(model):
        name, here = prefix + key.label, (*at, key.label)
        value = getattr(table, key.field) if table is not None else None
        if key.kind.model is None:
            yield _Place(name, here, key, table, key.live)
        elif key.kind.base == "table":
            yield from _places(key.kind.model, value, name + ".", here)
        elif table is None:
            yield from _places(key.kind.model, None, name + ".*.", (*here, 0))
        else:
            called_by = identity(key.kind.model)
            for index, element in enumerate(value or ()):
                yield from _places(
                    key.kind.model, element, f"{name}.{getattr(element, called_by)}.", (*here, index)
                )


def _value(place: _Place) -> object:
    return visible(place.key.kind, getattr(place.table, place.key.field)) if place.table is not None else ""


def _info(place: _Place) -> KeyInfo:
    key = place.key
    required = key.info.is_required()
    default = "" if required else visible(key.kind, key.info.default)
    return KeyInfo(
        name=place.name,
        type=_type(key),
        default="" if required else toml(default),
        value=toml(_value(place)) if place.table is not None else "",
        secret=key.kind.secret,
        live=place.live,
        summary=key.info.description or "",
    )


def _type(key: Key) -> str:
    kind = key.kind
    if kind.base == "choice":
        return " | ".join(kind.choices)
    if kind.base == "list" and kind.item is not None:
        return "list of " + (" | ".join(kind.item.choices) if kind.item.choices else kind.item.base)
    return key.expected if kind.base in ("integer", "number") else kind.base


def _nothing(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"there is no key {name[:80]!r}" + (f"; did you mean {near[0]}?" if near else "")


def _changes(model: type[BaseModel], old: BaseModel, new: BaseModel, prefix: str) -> Iterator[str]:
    for key in keys_of(model):
        name, before, after = prefix + key.label, getattr(old, key.field), getattr(new, key.field)
        if before == after:
            continue
        if key.kind.base == "table" and key.kind.model is not None:
            yield from _changes(key.kind.model, before, after, name + ".")
        elif key.kind.base == "tables" and key.kind.model is not None:
            called_by = identity(key.kind.model)
            was = {getattr(element, called_by): element for element in before}
            now = {getattr(element, called_by): element for element in after}
            yield from (f"{name}.{called}" for called in was if called not in now)
            for called, element in now.items():
                if called not in was:
                    yield f"{name}.{called}"
                else:
                    yield from _changes(key.kind.model, was[called], element, f"{name}.{called}.")
        else:
            yield name


def _arrays(model: type[BaseModel], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Every array of tables with the way to it."""
    for key in keys_of(model):
        if key.kind.base == "tables":
            yield (*at, key.label), key
        elif key.kind.model is not None:
            yield from _arrays(key.kind.model, (*at, key.label))


def _is_live(name: str) -> bool:
    for at, array in _arrays(Settings, ()):
        rest = name.removeprefix(".".join(at) + ".")
        if rest != name and array.kind.model is not None:
            called, _, label = rest.rpartition(".")
            key = key_of(array.kind.model, label) if called else None
            return key.live if key is not None else array.live
    return any(place.live for place in _places(Settings, None, "", ()) if place.name == name)


def _pick(data: Any, at: Sequence[str | int]) -> Any:
    for part in at:
        data = data[part]
    return data


def _put(data: Any, at: Sequence[str | int], value: object) -> None:
    _pick(data, at[:-1])[at[-1]] = value
