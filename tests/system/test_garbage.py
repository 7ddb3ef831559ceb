"""Garbage from every side at a daemon that works: never a crash, never a hang, a clear line in the log."""

from __future__ import annotations

import json
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from daemon.console.lines import MAX_LINE
from tests.servers.daemon import ArimonitorDaemon, CommandFailed
from tests.servers.fake_ari import BINARY, FakeAri, frame
from tests.servers.waiting import wait_until
from tests.system.played import Playing
from tests.system.sites import asterisk, config, folder, has_told, told

CLIENTS = "[101]\nname=Condominio Exemplo\n"
ENDPOINT = "#include pjsip/{0}.pjsip ; Endpoint:{0} CLI:101 TYPE:condominio PW:secret\n"


class Site:
    """A daemon on a fake Asterisk, with definition files."""

    def __init__(self, place: Path, fake: FakeAri) -> None:
        self.fake = fake
        self.definitions = folder(place / "definitions")
        self.write("__CLIENTES__.DEF", CLIENTS)
        self.write("endpoints_pjsip.def", ENDPOINT.format("1013010"))
        self.write("__MQSERVERS__.DEF", "")
        self.config = config([asterisk(fake, definitions=str(self.definitions))])
        self.daemon = ArimonitorDaemon(place / "site", self.config)
        self.playing = Playing(fake)

    def write(self, name: str, text: str) -> None:
        (self.definitions / name).write_text(text, encoding="utf-8")

    def works(self) -> None:
        """Ten more calls are told, and it has never restarted a service."""
        self.playing.play(10)
        has_told(self.daemon, self.playing.expected())
        status = self.daemon.status()
        assert {service["state"] for service in status["services"]} <= {"starting", "running"}
        assert sum(service["restarts"] for service in status["services"]) == 0

    def next_call(self, origin: str = "1013010") -> dict[str, Any]:
        """The received-call of a call that is played now."""
        playing = Playing(self.fake, origin=origin, first=random.randrange(10**6, 10**8))
        playing.play(1)
        key = (playing.calls[0], "received-call")
        found = wait_until(lambda: told(self.daemon).get(key), "the call is told")
        self.playing.calls += playing.calls
        data: dict[str, Any] = found["data"]
        return data


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with FakeAri() as fake:
        place = Site(tmp_path, fake)
        with place.daemon:
            place.daemon.connected()
            yield place
            place.works()
            assert "Traceback" not in place.daemon.log_text() + place.daemon.output()


def test_random_bytes_to_the_console(site: Site) -> None:
    noise = random.Random(2)
    for number in range(40):
        with site.daemon.connect() as link, suppress(ConnectionError):
            link.settimeout(5)
            link.sendall(noise.randbytes(noise.choice((1, 100, 5000))) + b"\r\n" * (number % 2))
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
    for text in (
        b'{"command": ',
        b'{"command": 7}',
        b"[]",
        b'{"command": "status", "args": {"a": 1}}',
        b"\x00",
    ):
        with site.daemon.connect() as link, link.makefile("rwb") as stream:
            stream.write(text + b"\n")
            stream.flush()
            link.shutdown(socket.SHUT_WR)
            assert stream.read()  # an answer, then the end
    assert site.daemon.status()["node"] == "AUDIO"


def test_a_line_without_end_to_the_console(site: Site) -> None:
    """Over 64 KiB it is refused and the connection closed; others go on meanwhile."""
    with site.daemon.connect() as link:
        received = b""
        link.sendall(b"x" * (MAX_LINE + 1))
        while chunk := link.recv(65536):
            received += chunk
        assert b"(too-long)" in received
    with site.daemon.connect() as link, suppress(ConnectionError):  # reset: the rest of it is not read
        while True:
            link.sendall(b"x" * MAX_LINE)
    idle = [site.daemon.connect() for _ in range(20)]  # say nothing, and hold the connection
    assert site.daemon.status()["node"] == "AUDIO"
    for link in idle:
        link.close()


def test_garbage_from_asterisk(site: Site) -> None:
    session = site.fake.session(1)
    noise = random.Random(3)
    good = site.playing.events(0, 10**6)[0]
    bad: list[Any] = [
        b"",
        b"not json",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"type": null}',
        b'{"type": 5, "channel": []}',
        b'{"type": "NoSuchEvent", "channel": {"id": "1.1"}}',
        b"\xff\xfe\x00",
        {**good, "channel": None},
        {**good, "channel": {"id": 7}},
        {**good, "channel": "x" * 200_000},
        {**good, "type": "ChannelDialplan", "timestamp": "yesterday"},
        {"type": "ChannelDestroyed", "channel": {"id": "no-such-channel"}},
        {"type": "Dial", "peer": {"id": {}}, "dialstatus": []},
        json.dumps(good).encode()[:-20],
        b'{"a":' * 50_000,
        *(noise.randbytes(200) for _ in range(50)),
    ]
    for event in bad:
        session.send(event)
    session.raw(frame(noise.randbytes(500), BINARY))
    site.works()
    site.daemon.says("sent something that is no event")
    assert len(site.fake.sessions) == 1, "garbage in an event is no reason to give the connection up"
    # Bytes that are no websocket frame: the connection is given up, and made anew.
    session.raw(b"\xff" * 1000)
    site.fake.session(2)
    site.daemon.connected()


def test_definitions_broken_and_mended(site: Site) -> None:
    """A reload that fails keeps the old tables and says so; a good one is in force with the next message."""
    assert site.next_call()["client"] == "101"
    site.write("endpoints_pjsip.def", "\x00\x01 garbage\n#include\n" * 50)
    kept = "the definitions of voip3 stay as they are"
    assert kept in json.dumps(site.daemon.ask("reload", "endpoints"))
    assert site.next_call()["client"] == "101"
    said = site.daemon.lines(kept)
    assert said >= 1
    site.daemon.send(signal.SIGHUP)
    wait_until(lambda: site.daemon.lines(kept) > said, "it is said again after SIGHUP")
    assert site.next_call()["client"] == "101"
    assert site.next_call("1013099")["client"] is None
    site.write("endpoints_pjsip.def", ENDPOINT.format("1013010") + "nonsense\n" + ENDPOINT.format("1013099"))
    site.daemon.ctl("reload", "endpoints")
    assert site.next_call("1013099")["client"] == "101"
    assert len(site.fake.sessions) == 1, "no reconnect for a reload"


def test_configuration_broken_and_mended(site: Site) -> None:
    good = site.daemon.file.read_text()
    site.daemon.file.write_text(good + '\n[log]\nlevel = "LOUD"\n[nonsense')
    site.daemon.send(signal.SIGHUP)
    site.daemon.says("the configuration is not read again")
    site.daemon.says("the old configuration stays in force")
    assert site.daemon.ctl("get", "log.debug") is not None
    site.works()
    site.daemon.configure({**site.config, "log": {"debug": True}, "mq": {"backend": "file", "window": 7}})
    site.daemon.send(signal.SIGHUP)
    site.daemon.says("the setting log.debug was changed")
    site.daemon.says("1 keys changed")
    with pytest.raises(CommandFailed):
        site.daemon.ctl("set", "mq.window", "7")
    assert len(site.fake.sessions) == 1


def test_every_problem_of_a_bad_configuration_at_once(tmp_path: Path) -> None:
    daemon = ArimonitorDaemon(
        tmp_path,
        {
            "node": {"name": "a b", "priority": -1},
            "asterisk": [{"name": "voip3", "url": "ftp://nowhere", "password": "do-not-show-me"}],
            "mq": {"port": "5672", "colour": "red"},
        },
    )
    for words in (("run", "-c", str(daemon.file)), ("check", "-c", str(daemon.file))):
        done = daemon.command(*words)
        assert done.returncode == 1
        for problem in ("node.name", "node.priority", "asterisk.voip3.url", "mq.port", "mq.colour"):
            assert problem in done.stderr
        assert str(daemon.file) in done.stderr
        assert "do-not-show-me" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_check(site: Site) -> None:
    """0 and a table where all is well; 1, what is wrong and the mend where not."""
    good = site.daemon.command("check", "-c", str(site.daemon.file))
    assert good.returncode == 0, good.stdout + good.stderr
    assert "voip3" in good.stdout
    bad = ArimonitorDaemon(
        site.daemon.folder.parent / "bad",
        config(
            [asterisk(site.fake, password="wrong"), asterisk(site.fake, "gone", url="http://127.0.0.1:9")],
            mq={"backend": "rabbitmq", "host": "127.0.0.1", "port": 9},
        ),
    )
    done = bad.command("check", "-c", str(bad.file), "--json")
    assert done.returncode == 1
    failed = [each for each in json.loads(done.stdout)["checks"] if not each["ok"]]
    assert len(failed) >= 3, done.stdout
    assert "Traceback" not in done.stderr
