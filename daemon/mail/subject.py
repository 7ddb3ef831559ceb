"""The grammar of subjects: what people type becomes a command with normalised parameters, or a refusal. Pure.

    RAMAIS=1121,1122 INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00 [AUDIOS_FROM=audio|s3] [SERVER=gv1p]
    CHECKIP=203.0.113.7 SERVER=gv1p
    MACCHANGE=1121 MACATUAL=00:11:22:33:44:55 MACFUTURO=66:77:88:99:AA:BB SERVER=gv1p
    AJUDA | HELP

Tolerant of how it is typed, exact in what it understood. What can be read in
two ways is refused, never guessed. A normalised form, typed again, is itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from types import MappingProxyType

from daemon.jobs.model import Command
from daemon.mail import dates, extensions, network
from daemon.mail.assignments import assignments
from daemon.mail.front import Front, shown, take
from daemon.mail.mistakes import Mistake
from daemon.mail.plain import fold

MAX_LENGTH = 1_000

_KEYS: Mapping[Command, tuple[str, ...]] = {
    "RAMAIS": ("RAMAIS", "INICIO", "FIM", "AUDIOS_FROM", "SERVER"),
    "CHECKIP": ("CHECKIP", "SERVER"),
    "MACCHANGE": ("MACCHANGE", "MACATUAL", "MACFUTURO", "SERVER"),
}
_NEEDED: Mapping[Command, tuple[str, ...]] = {
    "RAMAIS": ("INICIO", "FIM"),
    "CHECKIP": (),
    "MACCHANGE": ("MACATUAL", "MACFUTURO"),
}
_KNOWN = frozenset(key for keys in _KEYS.values() for key in keys)
_HELP = re.compile(r"(?:AJUDA|HELP)(?![A-Z0-9_])")
_FIRST_WORD = re.compile(r"(RAMAIS|CHECKIP|MACCHANGE)(?![A-Z0-9_])")
_ANYWHERE = re.compile(r"(RAMAIS|CHECKIP|MACCHANGE) ?=")
_BARE_TOKEN = re.compile(r"[\"'(]?[0-9A-F]{8}[\"')]?(?=$|[ ;:-]|RAMAIS|CHECKIP|MACCHANGE)")
_TOKEN_LATER = re.compile(r"\[ ?[0-9A-F](?: ?[0-9A-F]){7} ?\]")
_TOKEN_WORD = re.compile(r"(?<![^ ;])(?=[0-9]*[A-F])[0-9A-F]{8}(?![^ ;])")


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked for at once. `servers`: where each one's recordings are (audio, s3), by name."""

    max_extensions: int
    max_days: int
    timezone: tzinfo
    servers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """An understood subject: `parameters` are normalised, with `server` and `audios_from` where given."""

    command: Command
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Help:
    """Somebody asked for help."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a subject can't be understood: a code of the reasons and what it names.

    `command` is "" where none, or more than one, can be told.
    """

    code: str
    command: Command
    names: Mapping[str, str]


def parse(text: str, limits: Limits, now: datetime) -> Parsed | Help | Refusal:
    """Understand a subject (or what is left of it behind its token). `now` is aware. Never raises."""
    return understand(take(text), limits, now)


def understand(front: Front, limits: Limits, now: datetime) -> Parsed | Help | Refusal:
    """Understand a subject that was taken apart already. Never raises."""
    rest = front.rest
    if front.cut or len(rest) > MAX_LENGTH:
        return Refusal("too-long", "", {"most": str(MAX_LENGTH)})
    folded = fold(rest)
    if _HELP.match(folded):
        return Help()
    command = command_of(front)
    try:
        _token_in_its_place(front, folded)
        return _parsed(rest, limits, now)
    except Mistake as mistake:
        return Refusal(mistake.code, command, MappingProxyType(mistake.names))


def wants_something(front: Front) -> bool:
    """Whether there is a command or a token: a mail with neither is no request."""
    folded = fold(front.rest[: MAX_LENGTH + 1])
    return bool(front.tokens or _HELP.match(folded) or _FIRST_WORD.match(folded) or _ANYWHERE.search(folded))


def command_of(front: Front) -> Command:
    """The one command that a subject seems to have; "" if there is none, or there are two."""
    folded = fold(front.rest[: MAX_LENGTH + 1])
    first = _FIRST_WORD.match(folded)
    found = {*_ANYWHERE.findall(folded), *((first[1],) if first else ())}
    for command in _KEYS:
        if found == {command}:
            return command
    return ""


def _token_in_its_place(front: Front, folded: str) -> None:
    if len(front.tokens) > 1:
        raise Mistake("two-tokens")
    if front.nearly:
        raise Mistake("token-form")
    if _BARE_TOKEN.match(folded):
        raise Mistake("token-brackets")
    if _TOKEN_LATER.search(folded) or _TOKEN_WORD.search(folded):
        raise Mistake("token-place")


def _parsed(rest: str, limits: Limits, now: datetime) -> Parsed:
    if "=" not in rest:
        word = _FIRST_WORD.match(fold(rest))
        raise Mistake("no-equals", command=word[1]) if word else Mistake("no-command")
    pairs = list(assignments(rest, _KNOWN))
    commands = [command for command in _KEYS if any(key == command for key, _ in pairs)]
    if not commands:
        raise Mistake("no-command")
    if len(commands) > 1:
        raise Mistake("two-commands", one=commands[0], two=commands[1])
    command = commands[0]
    read: dict[str, str] = {}
    typed: dict[str, str] = {}
    for key, text in pairs:
        if key not in _KEYS[command]:
            raise Mistake("key-of-another-command", key=key, command=command)
        value = _READERS[key](key, text, limits)
        if read.setdefault(key, value) != value:
            raise Mistake("two-values", key=key, one=shown(typed[key], 30), two=shown(text, 30))
        typed.setdefault(key, text)
    for key in _NEEDED[command]:
        if key not in read:
            raise Mistake("missing-key", key=key)
    return Parsed(command, MappingProxyType(_COMMANDS[command](read, limits, now)))


# -- the commands: values of one subject against each other ----------------------------------------
def _ramais(read: Mapping[str, str], limits: Limits, now: datetime) -> dict[str, str]:
    begin, end = (datetime.fromisoformat(read[key]) for key in ("INICIO", "FIM"))
    names = {"begin": dates.normal(begin), "end": dates.normal(end)}
    if end < begin:
        raise Mistake("end-before-begin", **names)
    if end - begin > timedelta(days=limits.max_days):
        raise Mistake("too-many-days", most=str(limits.max_days), **names)
    if begin.replace(tzinfo=limits.timezone) > now:
        raise Mistake("in-the-future", **names)
    server, source = read.get("SERVER", ""), read.get("AUDIOS_FROM", "")
    if server and source and limits.servers[server] != source:
        raise Mistake("server-contradicts", server=server, source=source, its=limits.servers[server])
    parameters = {"ramais": read["RAMAIS"], "inicio": names["begin"], "fim": names["end"]}
    return _with(parameters, audios_from=source, server=server)


def _checkip(read: Mapping[str, str], _limits: Limits, _now: datetime) -> dict[str, str]:
    return _with({"ip": read["CHECKIP"]}, server=read.get("SERVER", ""))


def _macchange(read: Mapping[str, str], _limits: Limits, _now: datetime) -> dict[str, str]:
    old, new = read["MACATUAL"], read["MACFUTURO"]
    if old == new:
        raise Mistake("same-macs", value=old)
    moved = {"ramal": read["MACCHANGE"], "mac_atual": old, "mac_futuro": new}
    return _with(moved, server=read.get("SERVER", ""))


_COMMANDS: Mapping[Command, Callable[[Mapping[str, str], Limits, datetime], dict[str, str]]] = {
    "RAMAIS": _ramais,
    "CHECKIP": _checkip,
    "MACCHANGE": _macchange,
}


def _with(parameters: dict[str, str], **given: str) -> dict[str, str]:
    return parameters | {name: value for name, value in given.items() if value}


# -- the keys: one value each, as text in its normal form ------------------------------------------
def _moment(key: str, text: str, limits: Limits) -> str:
    return dates.moment(key, text, limits.timezone).isoformat()


def _source(key: str, text: str, _limits: Limits) -> str:
    if text.lower() not in ("audio", "s3"):
        raise Mistake("trailing-words" if " " in text else "bad-audios-from", key=key, value=shown(text))
    return text.lower()


def _server(key: str, text: str, limits: Limits) -> str:
    near = [name for name in limits.servers if name.lower() == text.lower()]
    if text in limits.servers:
        return text
    if len(near) == 1:
        return near[0]
    raise Mistake("trailing-words" if " " in text else "server-unknown", key=key, value=shown(text))


_READERS: Mapping[str, Callable[[str, str, Limits], str]] = {
    "RAMAIS": lambda _key, text, limits: ",".join(extensions.several(text, limits.max_extensions)),
    "INICIO": _moment,
    "FIM": _moment,
    "AUDIOS_FROM": _source,
    "SERVER": _server,
    "CHECKIP": lambda _key, text, _limits: network.public_ip(text),
    "MACCHANGE": lambda _key, text, _limits: extensions.one(text),
    "MACATUAL": lambda key, text, _limits: network.mac(key, text),
    "MACFUTURO": lambda key, text, _limits: network.mac(key, text),
}
