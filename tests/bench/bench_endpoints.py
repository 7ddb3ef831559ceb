"""A look at 1,378 endpoints of a real Asterisk 22, by AMI and by its command line.

    python -m tests.bench endpoints
    python -m tests.bench.bench_endpoints {look|raw} {ami|cli} HOME HTTP AMI      one contestant

A look is ARI's list of the endpoints with their states, the list of contacts,
and Asterisk's clock and start. The yardstick asks for the two lists only, and
reads them to their end.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.pbx import asterisk, lag, site
from tests.bench.report import Row, Ticker, contestant
from tests.servers.asterisk.ari import BASIC, PASSWORD, USER, until
from tests.servers.asterisk.phone import Phone
from tests.servers.asterisk.server import Asterisk

MANY = 1378
ROUNDS = 5
FIRST = 2_000_000
_TITLES = {"ami": "AMI", "cli": "asterisk -rx"}
_DEADLINE = 20.0  # seconds
_PIECE = 256 * 1024


def part() -> list[Row]:
    """The rows of this part."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name, asterisk(Asterisk) as server:
        server.start()
        with _registered(server):
            raw = {how: _contestant("raw", how, server)["wall"] for how in _TITLES}
            for how, title in _TITLES.items():
                ours = _contestant("look", how, server)
                rows.append(
                    Row(
                        f"a look at {MANY:,} endpoints, contacts by {title}",
                        f"{ours['wall'] * 1000:.0f} ms",
                        f"{ours['wall'] / raw[how]:.2f}x",
                        f"against the two lists asked raw and read to their end: {raw[how] * 1000:.0f} ms; "
                        f"hub lag p99 {ours['lag_p99']:.1f} max {ours['lag_max']:.1f} ms",
                    )
                )
            rows.append(_daemon(server, Path(name), raw["ami"]))
    return rows


def _contestant(who: str, how: str, server: Asterisk) -> dict[str, float]:
    return contestant("bench_endpoints", who, how, server.home, server.http, server.ami_port)


def _daemon(server: Asterisk, folder: Path, raw: float) -> Row:
    nothing = folder / "no-definitions"
    nothing.mkdir()
    ami = {"ami": f"127.0.0.1:{server.ami_port}", "ami_username": USER, "ami_password": PASSWORD}
    with site(server, folder, "BENCH", **ami, definitions=str(nothing)) as daemon:
        daemon.connected()
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = daemon.ctl("endpoints")
            seconds.append(time.perf_counter() - began)
        if answer["active"] < MANY:
            raise RuntimeError(f"{answer['active']} endpoints are online instead of {MANY}")
        ours = statistics.median(seconds)
        return Row(
            "the daemon's `endpoints` by AMI, until its whole answer is read",
            f"{ours * 1000:.0f} ms",
            f"{ours / raw:.2f}x",
            f"against the same; {lag(daemon.ctl('stats'))}, its start in it",
        )


@contextmanager
def _registered(server: Asterisk) -> Iterator[None]:
    """So many endpoints beside its own, all registered, from one phone."""
    numbers = [str(FIRST + number) for number in range(MANY)]
    place = "type = aor\nmax_contacts = 1\nremove_existing = yes\n"
    with (server.home / "etc/asterisk/pjsip.conf").open("a") as config:
        for n in numbers:
            config.write(f"\n[{n}](phone)\naors = {n}\nidentify_by = username\n[{n}]\n{place}")
    server.cli("module reload res_pjsip.so")
    phone = Phone(numbers[0], f"{server.net}.60", ("127.0.0.1", server.sip))
    try:
        for number in numbers:
            phone.number = number
            phone.register()
        until(lambda: _online(server) >= MANY, _DEADLINE, "not all endpoints are online")
        yield
    finally:
        phone.close()


def _online(server: Asterisk) -> int:
    _, found = server.ari("GET", "/endpoints")
    return sum(each["state"] == "online" for each in found)


# -- the contestants, each in a process of its own -----------------------------


def raw(how: str, home: Path, http: int, ami: int) -> dict[str, float]:
    """The yardstick: both lists, asked without looking at what they say but for their end."""

    def both() -> None:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{http}/ari/endpoints", headers={"Authorization": BASIC}
        )
        with urllib.request.urlopen(asked, timeout=_DEADLINE) as answer:
            if len(json.load(answer)) < MANY:
                raise RuntimeError("endpoints are missing")
        if (_raw_ami(ami) if how == "ami" else _raw_cli(home)) < MANY:
            raise RuntimeError("contacts are missing")

    return {"wall": _median(both)}


def _raw_ami(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), _DEADLINE) as link:
        link.sendall(
            f"Action: Login\r\nUsername: {USER}\r\nSecret: {PASSWORD}\r\nEvents: off\r\n\r\n"
            "Action: PJSIPShowContacts\r\n\r\n".encode()
        )
        data = b""
        while b"Event: ContactListComplete" not in data[-2 * _PIECE :]:
            piece = link.recv(_PIECE)
            if not piece:
                raise ConnectionError("AMI closed")
            data += piece
    return data.count(b"Event: ContactList\r\n")


def _raw_cli(home: Path) -> int:
    done = subprocess.run([*_program(home), "-rx", "pjsip show contacts"], capture_output=True, check=True)
    return done.stdout.count(b"Contact:")


def _program(home: Path) -> tuple[str, ...]:
    return ("chroot", str(home), "asterisk")


def look(how: str, home: Path, http: int, ami: int) -> dict[str, float]:
    """Ours, with a ticker that says how late the hub is meanwhile."""
    from daemon.ari.address import Address
    from daemon.ari.rest import AriRest
    from daemon.directory.ami import AmiClient
    from daemon.directory.looker import AmiSource, CliSource, Looker

    client = AmiClient("127.0.0.1", ami, USER, PASSWORD)
    source = AmiSource(client) if how == "ami" else CliSource(_program(home))
    looker = Looker("voip3", AriRest(Address.parse(f"http://127.0.0.1:{http}"), USER, PASSWORD), source)

    def once() -> None:
        found = looker.look()
        if len(found.states) < MANY or len(found.contacts or ()) < MANY:
            raise RuntimeError(f"something is missing: {looker.problem}")

    ticker = Ticker()
    wall = _median(once)
    return {"wall": wall, **ticker.end()}


def _median(work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main() -> None:
    """One contestant; prints JSON."""
    who, how, home, http, ami = sys.argv[1:]
    contestants = {"raw": raw, "look": look}
    print(json.dumps(contestants[who](how, Path(home), int(http), int(ami))))


if __name__ == "__main__":
    if sys.argv[1] == "look":
        from gevent import monkey

        monkey.patch_all()
    main()
