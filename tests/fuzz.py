"""A fuzzer for everything that takes what others send: events, the console, files, configuration, mails.

    python -m tests.fuzz [--seconds 60] [--seed N]

Each round has a seed of its own, which is printed when it fails: the same
round can then be run again with `--seed`. `make test` runs a few rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.ari.events import MalformedEvent, parse
from daemon.calls.messages import Context, render
from daemon.calls.reconcile import Live
from daemon.calls.tracker import Tracker
from daemon.console.registry import CommandError, SessionInfo
from daemon.console.session import AuthFailed, Session
from daemon.directory.definitions import assemble, parse_clients, parse_endpoints, parse_servers
from daemon.directory.model import Directory
from daemon.errors import ConfigurationError, PermanentError
from daemon.settings.draft import Draft
from tests import fuzz_mail
from tests.unit.calls import expectations as ex
from tests.unit.console.house import House

REPOSITORY = Path(__file__).parents[1]
CONTEXT = Context(
    server="voip3",
    node="AUDIO",
    directory=Directory(),
    timezone=ZoneInfo("America/Sao_Paulo"),
    message_format="v3",
    now_ms=0,
)
ODD: tuple[Any, ...] = (None, True, -1, 10**400, 1e308, "", "\x00", "é" * 3000, [], {}, [[]], {"id": {}})
TRACES = ex.recordings(ex.REFERENCE)


def calls(rng: random.Random) -> None:
    """A recorded trace, broken: whatever comes, nothing raises and reconciliation empties the tracker."""
    lines = [(at, event) for at, event in ex.read(rng.choice(TRACES)) if not isinstance(event, str)]
    if rng.random() < 0.5:
        rng.shuffle(lines)
    tracker = Tracker("voip3")
    facts = []
    for at, event in lines:
        if rng.random() < 0.1:
            continue
        data = json.dumps(_broken(event, rng) if rng.random() < 0.2 else event).encode()
        if rng.random() < 0.02:
            data = data[: rng.randrange(len(data) + 1)]
        try:
            facts += tracker.apply(parse(data), at)
        except MalformedEvent:
            continue
        if rng.random() < 0.01:
            tracker.lost(at)
        if rng.random() < 0.01:
            facts += tracker.resync(Live(0), at)
    end = max((at for at, _ in lines), default=0.0) + 7200
    facts += ex.until(tracker, end)
    tracker.resync(Live(0), end)
    ex.until(tracker, end + 7200)
    assert tracker.size == 0, "something is left behind"
    for fact in facts:
        render(fact, CONTEXT)


def _broken(event: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The event with one value, somewhere in it, of another kind, missing or of another name."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    place: Any = copy
    while isinstance(place, dict) and place:
        key = rng.choice(sorted(place))
        if isinstance(place[key], dict) and rng.random() < 0.7:
            place = place[key]
            continue
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = rng.choice(ODD)
        break
    return copy


def console(rng: random.Random) -> None:
    """Bytes of all kinds in pieces of all sizes: answers or a clear end, never an exception."""
    session = Session(password=rng.choice([None, "fuzz-password"]), banner="fuzz")
    pieces = [
        b"help\r\n",
        b'{"command": "help"}\n',
        b"\xff\xfd\x03",
        b"\xff\xfa\x18\x01\xff\xf0",
        b"x" * 70000,
    ]
    for _ in range(30):
        session.feed(rng.choice(pieces) if rng.random() < 0.5 else rng.randbytes(rng.randrange(200)))
        for _ in range(1000):
            request = session.next()
            if request is None:
                break
            if not isinstance(request, AuthFailed):
                assert isinstance(request.words, tuple)
        else:
            raise AssertionError("the session gives requests without end")
        session.take()


def commands(rng: random.Random) -> None:
    """Words of commands, arguments and noise: an answer that is JSON, or a refusal with a code."""
    registry = House().registry
    names = registry.complete([""])
    known = [*names, *(word for name in names for word in registry.complete([name, ""]))]
    odd = ["", "\x00", "é" * 3000, "-1", "1e999", "%s%n", "../..", "[", "*", "10" * 400, "=", "\ud800"]
    for _ in range(50):
        words = [rng.choice(known if rng.random() < 0.7 else odd) for _ in range(rng.randrange(5))]
        assert all(isinstance(word, str) for word in registry.complete(words))
        try:
            result = registry.run(words, SessionInfo("192.0.2.7:4000", json=True))
        except (CommandError, PermanentError):
            continue
        json.dumps(dict(result.data))
        assert isinstance(result.text, str)


def definitions(rng: random.Random) -> None:
    """Definition files of bytes, mutated from good ones: every table comes back, bad lines are counted."""
    good = (
        b"[101]\nname=Condominio Exemplo\nmq=main\n[main]\nhost=192.0.2.1\nport=5672\n"
        b"#include pjsip/1013010.pjsip ; Endpoint:1013010 CLI:101 TYPE:condominio PW:hidden-word GUID:g\n"
    )
    data = bytearray(good * rng.randrange(1, 4))
    for _ in range(rng.randrange(40)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    directory, bad = assemble(
        parse_clients(bytes(data)), parse_endpoints(bytes(data)), parse_servers(bytes(data))
    )
    assert isinstance(directory, Directory)
    assert "hidden-word" not in " ".join(str(line) for line in bad)


def configuration(rng: random.Random) -> None:
    """The sample configuration with values of other kinds: settings or a list of problems, nothing else."""
    lines = (REPOSITORY / "etc/arimonitor.toml").read_text(encoding="utf-8").splitlines()
    chosen = [line.lstrip("# ") for line in lines if "=" in line and rng.random() < 0.2]
    raw: dict[str, Any] = {}
    for line in chosen:
        try:
            raw.setdefault(rng.choice(["node", "mq", "log", "queue", "manager"]), {}).update(
                tomllib.loads(line)
            )
        except tomllib.TOMLDecodeError:
            continue  # prose with an equals sign in it
    for table in raw.values():
        for key in table:
            if rng.random() < 0.3:
                table[key] = rng.choice(ODD)
    try:
        Draft("fuzz.toml", raw).build()
    except ConfigurationError as error:
        if not error.problems:
            raise AssertionError("refused without a reason") from error


TARGETS: tuple[Callable[[random.Random], None], ...] = (
    calls,
    console,
    commands,
    definitions,
    configuration,
    *fuzz_mail.TARGETS,
)


def round_of(seed: int) -> None:
    """One round of one target; an AssertionError or anything else is a find."""
    rng = random.Random(seed)
    TARGETS[seed % len(TARGETS)](rng)


def main() -> None:
    """Rounds until the time is over."""
    parser = argparse.ArgumentParser(description="fuzz everything that takes what others send")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="run this round only")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        round_of(arguments.seed)
        return
    first = seed = random.SystemRandom().randrange(10**9)
    until = time.monotonic() + arguments.seconds
    while time.monotonic() < until:
        try:
            round_of(seed)
        except BaseException:
            print(f"failed: python -m tests.fuzz --seed {seed}")
            raise
        seed += 1
    print(f"{seed - first} rounds, nothing found")


if __name__ == "__main__":
    main()
