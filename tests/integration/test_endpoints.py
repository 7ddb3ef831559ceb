"""Endpoints against real Asterisks, 22 and 16: phones that come, go, expire and move; looks; AMI's faults."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC

import pytest

from daemon.ari.address import Address
from daemon.ari.events import parse
from daemon.ari.rest import AriRest
from daemon.calls.messages import Context, render_endpoint
from daemon.directory.ami import AmiClient, AmiUnavailable
from daemon.directory.endpoints import EndpointChange, EndpointTable
from daemon.directory.looker import AmiSource, CliSource, Looker, Source, local_cli
from daemon.directory.model import Directory
from daemon.preflight import Check, run
from daemon.settings import Settings
from tests.servers.asterisk.ari import Events, request, until
from tests.servers.asterisk.own import own_asterisk
from tests.servers.asterisk.phone import Phone
from tests.servers.asterisk.server import Asterisk

USER, PASSWORD = "monitor", "monitor-secret"
MANY = 1378
DEADLINE = 60.0


@pytest.fixture(scope="module", params=["22", "16"])
def asterisk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with own_asterisk(request.param, tmp_path_factory.mktemp("pbx")) as server:
        server.start()
        yield server


def rest(asterisk: Asterisk) -> AriRest:
    return AriRest(Address.parse(asterisk.url), USER, PASSWORD)


def ami(asterisk: Asterisk, secret: str = PASSWORD) -> AmiClient:
    return AmiClient("127.0.0.1", asterisk.ami_port, USER, secret)


def cli(asterisk: Asterisk) -> CliSource:
    return CliSource(("chroot", str(asterisk.home), "asterisk"))


def looker(asterisk: Asterisk, source: Source | None) -> Looker:
    return Looker("voip3", rest(asterisk), source)


def come(asterisk: Asterisk, *numbers: str) -> None:
    """Register. Asterisk answers REGISTER before it says that the endpoint is online."""
    asterisk.register(*numbers)
    wait_online(asterisk, *numbers)


def wait_online(asterisk: Asterisk, *numbers: str) -> None:
    def all_are() -> bool:
        states = {each["resource"]: each["state"] for each in rest(asterisk).endpoints()}
        return all(states[number] == "online" for number in numbers)

    until(all_are, DEADLINE, "not all are online")


class Node:
    """A table that follows the Asterisk over a socket of its own, as a node does."""

    def __init__(self, asterisk: Asterisk, app: str) -> None:
        self.table = EndpointTable("voip3")
        self.changes: list[EndpointChange] = []
        self.frames: queue.Queue[str] = queue.Queue()
        self.events = Events(asterisk.url, app, subscribe_all=False)
        path = f"/applications/{app}/subscription"
        assert request(asterisk.url, "POST", path, eventSource="endpoint:")[0] == 200
        threading.Thread(target=self._read, name=f"node {app}", daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (text := self.events.read()) is not None:
                self.frames.put(text)

    def until(self, count: int) -> list[EndpointChange]:
        """The changes so far, when there are `count` of them."""
        end = time.monotonic() + DEADLINE
        while len(self.changes) < count:
            assert time.monotonic() < end, f"{count} changes did not come: {self.changes}"
            self._step(0.1)
        return self.changes

    def quiet(self) -> list[EndpointChange]:
        """The changes so far, after a second and a half in which everything has settled."""
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self._step(0.1)
        return self.changes

    def _step(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self.changes += self.table.apply(parse(self.frames.get(timeout=seconds)), time.time())
        self.changes += self.table.tick(time.time())


@pytest.fixture
def nodes(asterisk: Asterisk) -> Iterator[tuple[Node, Node]]:
    pair = Node(asterisk, "one"), Node(asterisk, "two")
    yield pair
    for node in pair:
        node.events.close()


def ids(changes: list[EndpointChange]) -> list[str]:
    context = Context("voip3", "AUDIO", Directory(), UTC, "v3", 0)
    messages = [render_endpoint(change, context) for change in changes]
    return [message.id for message in messages if message is not None]


def told(changes: list[EndpointChange]) -> list[tuple[str, str, str | None]]:
    return [(change.endpoint, change.state, change.ip) for change in changes]


def test_phones_come_refresh_move_go_and_expire(asterisk: Asterisk, nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    look = looker(asterisk, AmiSource(ami(asterisk)))
    one.table.take(look.look(), time.time())
    assert one.quiet() == []
    net = asterisk.net
    phone = asterisk.phone("1013013")
    phone.register()
    phone.register()  # a refresh
    expected = [("1013013", "online", f"{net}.13")]
    assert told(one.until(1)) == expected
    moved = Phone("1013013", f"{net}.77", ("127.0.0.1", asterisk.sip))
    try:
        moved.register()
        expected.append(("1013013", "online", f"{net}.77"))
        assert told(one.until(2)) == expected
        assert one.table.view("1013013").address == f"{net}.77:5060"
        moved.register(0)
        expected.append(("1013013", "offline", f"{net}.77"))
        assert told(one.until(3)) == expected
    finally:
        moved.close()
    asterisk.phone("1013014").register(5)
    expected += [("1013014", "online", f"{net}.14"), ("1013014", "offline", f"{net}.14")]
    assert told(one.until(5)) == expected
    assert told(one.quiet()) == expected
    two.until(5)
    assert ids(two.quiet()) == ids(one.changes)
    assert len(set(ids(one.changes))) == 5
    # The look agrees with what was followed, so it changes nothing.
    for node in nodes:
        node.table.take(look.look(), time.time())
        assert told(node.quiet()) == expected
    assert [seen.ip for seen in one.table.view("1013013").addresses] == [f"{net}.13", f"{net}.77"]


def test_with_qualify_it_is_one_change_too(asterisk: Asterisk) -> None:
    asterisk.stop()
    asterisk.start(qualify=2)
    one, two = Node(asterisk, "one"), Node(asterisk, "two")
    try:
        expected = []
        for number in ("1013010", "1013011", "1013012"):
            phone = asterisk.phone(number)
            phone.register()
            address = f"{asterisk.net}.{number[-2:]}"
            one.until(len(expected) + 1)
            phone.register(0)
            expected += [(number, "online", address), (number, "offline", address)]
            one.until(len(expected))
        silent = Phone("1013015", f"{asterisk.net}.78", ("127.0.0.1", asterisk.sip))
        silent.register()
        one.until(7)
        silent.close()  # it no longer answers, so Asterisk finds it unreachable
        expected += [("1013015", state, f"{asterisk.net}.78") for state in ("online", "offline")]
        one.until(8)
        assert told(one.quiet()) == expected
        two.until(8)
        assert ids(two.quiet()) == ids(one.changes)
        again = Phone("1013015", f"{asterisk.net}.78", ("127.0.0.1", asterisk.sip))
        again.register(0)
        again.close()
    finally:
        one.events.close()
        two.events.close()
        asterisk.stop()
        asterisk.start()


@pytest.mark.parametrize("which", ["ami", "cli"])
def test_one_look_finds_who_was_there_before(asterisk: Asterisk, which: str) -> None:
    come(asterisk, "1013010", "1013011")
    source: Source = AmiSource(ami(asterisk)) if which == "ami" else cli(asterisk)
    eye = looker(asterisk, source)
    before = time.time() * 1000
    look = eye.look()
    assert eye.problem == ""
    assert look.states["1013010"] == "online"
    assert look.states["1013012"] == "offline"
    assert look.started is not None
    assert before - 1 <= look.begun <= time.time() * 1000
    table = EndpointTable("voip3")
    table.take(look, time.time())
    assert table.tick(time.time() + 1) == []
    view = table.view("1013011")
    assert (view.state, view.address, view.how) == ("online", f"{asterisk.net}.11:5060", which)
    assert table.view("1013012").address is None


def test_a_look_without_anybody_to_tell_the_addresses(
    asterisk: Asterisk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "arimonitor.directory")
    eye = looker(asterisk, None)
    assert eye.look().contacts is None
    assert eye.look().states["1013012"] == "offline"
    assert [record.getMessage() for record in caplog.records] == [
        "addresses of endpoints that are registered already on voip3 are not known: ami is not configured, "
        "and this Asterisk's command line is not on this machine"
    ]


def test_check_tries_ami(asterisk: Asterisk) -> None:
    def found(secret: str) -> Check:
        site = {"name": "voip3", "url": asterisk.url, "ami": f"127.0.0.1:{asterisk.ami_port}"}
        site |= {"ami_username": USER, "ami_password": secret, "cdr": "", "recordings": ""}
        settings = Settings.model_validate({"asterisk": [site]})
        checks = run(settings, websocket=lambda *_: None, broker=lambda _: None)
        return next(each for each in checks if each.what == "asterisk AMI")

    assert found(PASSWORD).reason.endswith("registrations")
    wrong = found("not-the-secret")
    assert (wrong.ok, "refuses the user monitor" in wrong.reason) == (False, True)


def test_ami_without_any_contact(asterisk: Asterisk) -> None:
    for number in ("1013010", "1013011"):
        asterisk.phone(number).register(0)
    assert ami(asterisk).contacts() == []


def test_a_wrong_secret_is_said_once_and_shown_never(
    asterisk: Asterisk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    eye = looker(asterisk, AmiSource(ami(asterisk, "not-the-secret")))
    for _ in range(2):
        look = eye.look()
        assert look.contacts is None
        assert look.states["1013012"] == "offline"
    assert eye.problem.startswith(
        f"AMI 127.0.0.1:{asterisk.ami_port} refuses the user monitor (Authentication"
    )
    ours = [record.getMessage() for record in caplog.records if record.name == "arimonitor.directory"]
    assert len(ours) == 1
    assert "not-the-secret" not in caplog.text + eye.problem


def test_the_command_line_of_an_asterisk_that_is_down(asterisk: Asterisk) -> None:
    asterisk.stop()
    try:
        eye = Looker("voip3", rest(asterisk), cli(asterisk))
        with pytest.raises(Exception, match="Unable to connect to remote asterisk"):
            cli(asterisk).contacts()
        with pytest.raises(Exception, match="refuses the connection"):
            eye.look()
        with pytest.raises(AmiUnavailable, match="enabled in manager"):
            ami(asterisk).contacts()
    finally:
        asterisk.restart()


def test_a_restart_of_asterisk_is_found_by_a_look_with_one_id_on_both_nodes(asterisk: Asterisk) -> None:
    """Its database lost: who was registered is so no more, and no event says it."""
    come(asterisk, "1013010")
    eye = looker(asterisk, AmiSource(ami(asterisk)))
    tables = [EndpointTable("voip3") for _ in range(2)]
    for table in tables:
        table.take(eye.look(), time.time())
        assert table.tick(time.time() + 1) == []
    asterisk.stop()
    (asterisk.home / "var/lib/asterisk/astdb.sqlite3").unlink()
    time.sleep(0.01)
    asterisk.restart()
    found = []
    for table in tables:
        table.take(eye.look(), time.time())
        found.append(table.tick(time.time() + 1))
    assert told(found[0]) == [("1013010", "offline", f"{asterisk.net}.10")]
    assert found[0][0].recovered
    assert ids(found[0]) == ids(found[1])


def test_a_look_at_1378_endpoints(asterisk: Asterisk) -> None:
    numbers = [str(2000000 + number) for number in range(MANY)]
    config = asterisk.home / "etc/asterisk/pjsip.conf"
    before = config.read_text()
    place = "type = aor\nmax_contacts = 1\nremove_existing = yes\n"
    config.write_text(
        before
        + "".join(f"\n[{n}](phone)\naors = {n}\nidentify_by = username\n[{n}]\n{place}" for n in numbers)
    )
    phone = Phone(numbers[0], f"{asterisk.net}.60", ("127.0.0.1", asterisk.sip))
    try:
        asterisk.cli("module reload res_pjsip.so")
        for number in numbers:
            phone.number = number
            phone.register()
        eye = looker(asterisk, AmiSource(ami(asterisk)))
        wait_online(asterisk, *numbers)
        began = time.monotonic()
        look = eye.look()
        table = EndpointTable("voip3")
        table.take(look, time.time())
        assert table.tick(time.time() + 1) == []
        taken = time.monotonic() - began
        views = [table.view(number) for number in numbers]
        assert {(view.state, view.address) for view in views if view} == {
            ("online", f"{asterisk.net}.60:5060")
        }
        assert None not in views
        print(f"a look at {len(table.views())} endpoints of Asterisk {asterisk.version}: {taken:.3f} s")
        assert taken < 20
    finally:
        phone.close()
        config.write_text(before)
        asterisk.cli("module reload res_pjsip.so")


def test_the_local_program_is_named_by_its_path() -> None:
    found = local_cli()
    assert found is None or found[0].startswith("/")
