"""What is done to two hosts and what is expected of them, as text that can be replayed. Pure.

    # the master is killed
    row 1
    given zookeeper-leader=witness
    load mails=2/s calls=20/s for=48s
    at 5s kill9 master 8s
    times 3 every 14s
    settle 60s
    expect failover<5s epochs=3 lost=0 doubled=0

Times are seconds from the begin of the load. What an act began ends after its own
duration; what has none is healed when the load ends. `master` and the like are looked
up when the act begins; what it began is ended on the same. With `times` everything is
done so often. The words are in `VERBS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from daemon.jobs.failpoints import POINTS

NODES = ("AUDIO", "AUDIO2")
NODE_WORDS = ("master", "standby", "both", *NODES)
ZOOKEEPER_WORDS = (
    "zookeeper",  # all of them
    "zookeeper-leader",
    "zookeeper-follower",
    "zookeeper-on-master",
    "zookeeper-on-standby",
    "zookeeper-on-witness",
)
SERVER_WORDS = (*ZOOKEEPER_WORDS, "broker", "imap", "smtp")
HOST_WORDS = (
    "host-of-master", "host-of-standby", "host-of-zookeeper-leader",
    "audio", "audio2", "witness", "mail", "broker", "asterisk",
)  # fmt: skip
WAYS = ("zk-from", "peer-from", "broker-from", "mail-from", "asterisk-from", "all-from")

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ScenarioError(ValueError):
    """A line that can't be used; the text names it and says what would be right."""


@dataclass(frozen=True, slots=True)
class Verb:
    """`words`: for each word that follows, what it may be ("": it may be left out).

    `lasting`: whether a duration follows.
    """

    words: tuple[tuple[str, ...], ...]
    lasting: Literal["yes", "no", "perhaps"]
    means: str


_PERCENT, _RATE, _SHIFT, _SPAN, _POINT = "PERCENT", "RATE", "SHIFT", "SPAN", "POINT"
_FREE: Mapping[str, tuple[re.Pattern[str], str]] = {
    _PERCENT: (re.compile(r"[1-9]\d?%"), "10%"),
    _RATE: (re.compile(r"\d+[km]bit"), "256kbit"),
    _SHIFT: (re.compile(r"[+-]\d+(s|m|h)"), "+1h"),
    _POINT: (re.compile("|".join(POINTS)), "accepted"),
    _SPAN: (re.compile(r"(down|up)=\d+(\.\d+)?(ms|s)"), "down=1s"),
}
_PROCESSES = (*NODE_WORDS, *SERVER_WORDS)

VERBS: Mapping[str, Verb] = {
    "kill9": Verb((_PROCESSES,), "perhaps", "SIGKILL; started again after the duration"),
    "crash": Verb((NODE_WORDS, (_POINT,)), "perhaps", "it dies when it next comes to that fail point"),
    "stop": Verb((_PROCESSES,), "perhaps", "SIGTERM; started again after the duration"),
    "switchover": Verb((("", *NODES),), "no", "`switchover` on the master's console"),
    "freeze": Verb((_PROCESSES,), "yes", "SIGSTOP, then SIGCONT"),
    "suspend": Verb((NODE_WORDS,), "yes", "frozen, and its clocks have not gone on when it wakes"),
    "hang": Verb((HOST_WORDS,), "yes", "everything on the host is frozen"),
    "off": Verb((HOST_WORDS,), "yes", "its cable is out"),
    "power": Verb((HOST_WORDS,), "yes", "everything on the host is killed and the cable is out"),
    "cut": Verb((WAYS, NODE_WORDS, ("", "inwards", "outwards")), "yes", "packets of one kind are dropped"),
    "refuse": Verb((WAYS, NODE_WORDS), "yes", "packets of one kind are answered by a reset"),
    "lose": Verb((HOST_WORDS, (_PERCENT,)), "yes", "so many packets to and from a host are lost"),
    "slow": Verb((HOST_WORDS, (_RATE,)), "yes", "a host sends at this rate at most"),
    "reboot": Verb((HOST_WORDS,), "no", "`systemctl reboot` of a host that systemd runs"),
    "flap": Verb((HOST_WORDS, (_SPAN,), (_SPAN,)), "yes", "its cable is out and in, again and again"),
    "wipe": Verb((("zookeeper",),), "no", "all ZooKeepers are killed, and start with nothing"),
    "adopt": Verb((NODE_WORDS,), "no", "`adopt` on its console"),
    "alarm": Verb((("broker",),), "yes", "RabbitMQ's memory alarm"),
    "fill": Verb((NODE_WORDS,), "yes", "the disk of its data is full"),
    "clock": Verb((NODE_WORDS, (_SHIFT,)), "yes", "its wall clock is wrong by so much"),
    "upgrade": Verb((NODE_WORDS,), "no", "stopped, and started from another version"),
}


@dataclass(frozen=True, slots=True)
class Load:
    """Mails and calls a second, for so many seconds."""

    mails: float = 0.0
    calls: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is done `at` seconds; `words` are its arguments, "" where left out."""

    at: float
    verb: str
    words: tuple[str, ...]
    seconds: float | None = None

    @property
    def text(self) -> str:
        """As its line has it, without the time."""
        last = () if self.seconds is None else (_span(self.seconds),)
        return " ".join((self.verb, *filter(None, self.words), *last))


@dataclass(frozen=True, slots=True)
class Expected:
    """A bound: `what` `relation` `value` (seconds, or a number)."""

    what: str
    relation: Literal["<", "<=", "=", ">="]
    value: float

    def holds(self, value: float) -> bool:
        """Whether this value keeps it."""
        match self.relation:
            case "<":
                return value < self.value
            case "<=":
                return value <= self.value
            case ">=":
                return value >= self.value
        return value == self.value


EXPECTATIONS = {
    "failover": "seconds until a new master's first message is at the consumer",
    "intake": "seconds until a new master has taken in a mail",
    "lease": "seconds until there is a new master",
    "epochs": "changes of master",
    "lost": "mails and call messages that are missing",
    "doubled": "mails and call messages that are there twice under different ids",
    "repeats": "call messages that came again under their own id",
    "stale": "call messages that a deposed master was the first to publish",
    "takeovers": "requests that another node took over",
    "failed": "mails that were answered with a failure; where it is not mentioned, that is wrong",
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole file. `title` is its first comment, `row` that of the fault table, "" if none."""

    name: str
    title: str = ""
    row: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    load: Load = Load()
    acts: tuple[Act, ...] = ()
    settle: float = 60.0
    expect: tuple[Expected, ...] = ()


GIVEN = {
    "master": NODES,
    "zookeeper-leader": ("witness", "master", "standby"),
    "clocks": ("blind", "wrong"),  # see blind_clock.py, wrong_clock.py
    "disks": ("small",),
    "failpoints": ("armed",),  # needed for `crash`
    "hosts": ("systemd",),  # see systemd_hosts.py
    "asterisk": ("real",),  # see real_asterisk.py
}
"""What is seen to before the load begins."""


def parse(text: str, name: str) -> Scenario:
    """A scenario of its text. Raises ScenarioError for the first line that is none."""
    title, row, load, settle = "", "", Load(), 60.0
    given: dict[str, str] = {}
    acts: list[Act] = []
    times, every = 1, 0.0
    expect: list[Expected] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            match words:
                case []:
                    pass
                case [mark, *_] if mark.startswith("#"):
                    title = title or line.lstrip("# ").strip()
                case ["row", row]:
                    pass
                case ["given", *pairs] if pairs:
                    given.update(_given(pair) for pair in pairs)
                case ["load", *pairs] if pairs:
                    load = _load(pairs)
                case ["at", at, verb, *rest]:
                    acts.append(_act(seconds(at), verb, rest))
                case ["times", count, "every", span] if count.isdecimal():
                    times, every = int(count), seconds(span)
                case ["settle", span]:
                    settle = seconds(span)
                case ["expect", *terms] if terms:
                    expect += map(_expected, terms)
                case _:
                    raise ScenarioError("no line of a scenario: row, given, load, at, times, settle, expect")
        except ScenarioError as error:
            raise ScenarioError(f"{name}:{number}: {line.strip()!r}: {error}") from None
    acts = [replace(act, at=act.at + number * every) for number in range(times) for act in acts]
    if load.seconds and acts and max(act.at for act in acts) > load.seconds:
        raise ScenarioError(f"{name}: something is done after the load has ended ({load.seconds:g} s)")
    ordered = tuple(sorted(acts, key=lambda act: act.at))
    return Scenario(name, title, row, given, load, ordered, settle, tuple(expect))


def render(scenario: Scenario) -> str:
    """The text that `parse` reads again as the same."""
    lines = [f"# {scenario.title}"] if scenario.title else []
    lines += [f"row {scenario.row}"] if scenario.row else []
    lines += [f"given {key}={value}" for key, value in scenario.given.items()]
    load = scenario.load
    lines.append(f"load mails={load.mails:g}/s calls={load.calls:g}/s for={_span(load.seconds)}")
    lines += [f"at {_span(act.at)} {act.text}" for act in scenario.acts]
    lines.append(f"settle {_span(scenario.settle)}")
    if scenario.expect:
        lines.append("expect " + " ".join(f"{e.what}{e.relation}{e.value:g}" for e in scenario.expect))
    return "\n".join(lines) + "\n"


def seconds(text: str) -> float:
    """`5s`, `1.5s`, `300ms`, `2m`. Raises ScenarioError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ScenarioError(f"{text!r} is no time such as 5s, 300ms, 2m")
    return float(match[1]) * _UNITS[match[2]]


def _span(value: float) -> str:
    return f"{value:g}s"


def _given(pair: str) -> tuple[str, str]:
    key, _, value = pair.partition("=")
    if key not in GIVEN:
        raise ScenarioError(f"{key!r} can't be given: {', '.join(GIVEN)}")
    if value not in GIVEN[key]:
        raise ScenarioError(f"{key} is one of {', '.join(GIVEN[key])}")
    return key, value


def _load(pairs: Sequence[str]) -> Load:
    found: dict[str, float] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key == "for":
            found["seconds"] = seconds(value)
        elif key in ("mails", "calls") and re.fullmatch(r"\d+(\.\d+)?/s", value):
            found[key] = float(value[:-2])
        else:
            raise ScenarioError("a load is mails=N/s, calls=N/s and for=TIME")
    return Load(**found)


def _act(at: float, name: str, rest: list[str]) -> Act:
    verb = VERBS.get(name)
    if verb is None:
        raise ScenarioError(f"{name!r} can't be done: {', '.join(VERBS)}")
    duration = None
    if verb.lasting != "no" and rest and _TIME.fullmatch(rest[-1]):
        duration = seconds(rest.pop())
    if verb.lasting == "yes" and duration is None:
        raise ScenarioError(f"{name} needs a duration at its end, such as 30s")
    words = []
    for choice in verb.words:
        if rest and _fits(rest[0], choice):
            words.append(rest.pop(0))
        elif "" in choice:
            words.append("")
        else:
            right = ", ".join(_FREE[each][1] if each in _FREE else each for each in choice if each)
            raise ScenarioError(f"{rest[0] if rest else 'nothing'!r} in place of one of {right}")
    if rest:
        raise ScenarioError(f"{' '.join(rest)!r} is too much")
    return Act(at, name, tuple(words), duration)


def _fits(word: str, choice: tuple[str, ...]) -> bool:
    return any(_FREE[each][0].fullmatch(word) if each in _FREE else word == each for each in choice)


def _expected(term: str) -> Expected:
    match = re.fullmatch(r"([a-z]+)(<=|>=|<|=)(.+)", term)
    if match is None or match[1] not in EXPECTATIONS:
        raise ScenarioError(f"{term!r} can't be expected: {', '.join(EXPECTATIONS)} with <, <=, =, >=")
    what, relation, text = match.groups()
    value = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else seconds(text)
    return Expected(what, relation, value)  # type: ignore[arg-type]
