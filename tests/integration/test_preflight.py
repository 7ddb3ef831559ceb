"""`arimonitor check` against small real servers on this machine: what it finds, and what it says to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import PermanentError
from daemon.preflight import Broker, Check, as_json, as_table, run
from daemon.preflight.local import (
    free_port,
    open_port,
    program,
    readable_file,
    readable_folder,
    writable_folder,
)
from daemon.settings import AsteriskSettings, Settings
from tests.servers import ports, sshd
from tests.servers.sshd import Sshd
from tests.servers.waiting import DEADLINE

PASSWORD = "xyzzy-plugh"
needs_sshd = pytest.mark.skipif(sshd.unavailable_reason() is not None, reason=str(sshd.unavailable_reason()))


class Ari(BaseHTTPRequestHandler):
    """GET /ari/asterisk/info and /ari/channels; `status` other than 200 for a refusal."""

    status = 200
    channels: list[dict[str, Any]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        known = {
            "/pbx/ari/asterisk/info": {"system": {"version": "22.5.1"}},
            "/pbx/ari/channels": type(self).channels,
        }
        status = type(self).status if self.path in known else 404
        body = json.dumps(known[self.path]).encode() if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Silent."""


@contextmanager
def serving(status: int = 200, channels: list[dict[str, Any]] | None = None) -> Iterator[int]:
    handler = type("Handler", (Ari,), {"status": status, "channels": channels or []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(5)
        yield sock


@pytest.fixture
def closed_port() -> int:
    return ports.free_port()


def settings(tmp_path: Path, port: int, **tables: Any) -> Settings:
    (tmp_path / "defs").mkdir(exist_ok=True)
    asterisk = {
        "name": "voip3",
        "url": f"http://127.0.0.1:{port}/pbx",
        "password": PASSWORD,
        "definitions": str(tmp_path / "defs"),
        "recordings": str(tmp_path),
        "cdr": str(tmp_path / "Master.csv"),
        "connect_timeout": 30.0,
        "request_timeout": 30.0,
    }
    return Settings.model_validate(
        {
            "node": {"name": "AUDIO2", "data_dir": str(tmp_path / "data")},
            "log": {"dir": str(tmp_path / "log")},
            "manager": {"listen": "127.0.0.1:0"},
            "asterisk": [asterisk | tables.pop("voip3", {})],
            **tables,
        }
    )


class Probes:
    """Stand-ins for the adapters: they note what they are asked and refuse if told to."""

    def __init__(self, refuse: str = "") -> None:
        self.apps: list[str] = []
        self.brokers: list[Broker] = []
        self.refuse = refuse

    def websocket(self, asterisk: AsteriskSettings, app: str) -> None:
        self.apps.append(app)
        self._answer()

    def broker(self, broker: Broker) -> None:
        self.brokers.append(broker)
        self._answer()

    def _answer(self) -> None:
        if self.refuse:
            raise PermanentError(self.refuse)


def check(found: Settings, probes: Probes | None = None) -> dict[str, Check]:
    probes = probes or Probes()
    checks = run(found, websocket=probes.websocket, broker=probes.broker)
    for text in (as_table(checks), as_json(checks)):
        assert PASSWORD not in text
    return {each.what: each for each in checks}


def test_all_well(tmp_path: Path) -> None:
    probes = Probes()
    channel = {"id": "1.1", "channelvars": {"CHANNEL(linkedid)": "1.1", "MIXMONITOR_FILENAME": ""}}
    (tmp_path / "Master.csv").write_text("x")
    with serving(channels=[channel]) as port:
        found = check(settings(tmp_path, port), probes)
    assert {what: each.reason for what, each in found.items() if what.startswith("asterisk")} == {
        "asterisk REST": "Asterisk 22.5.1",
        "asterisk channelvars": "CHANNEL(linkedid) is in the events",
        "asterisk websocket": "opened and closed again",
    }
    assert probes.apps == ["arimonitor-AUDIO2-check"]
    assert probes.brokers == []
    assert all(each.ok for each in found.values())
    assert (tmp_path / "data").exists() is False  # a check changes nothing
    assert found["CDR"].reason == "readable"
    assert found["console port"].reason == "free"


def test_calls_without_linkedid_are_an_advice(tmp_path: Path) -> None:
    for channels, reason in (
        ([], "unknown: no call just now"),
        ([{"id": "1"}], "CHANNEL(linkedid) is not in the events: calls are worked out without it"),
    ):
        with serving(channels=channels) as port:
            found = check(settings(tmp_path, port))["asterisk channelvars"]
        assert (found.ok, found.result, found.reason) == (True, "advice", reason)
        assert "channelvars = CHANNEL(linkedid),MIXMONITOR_FILENAME" in found.mend


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (401, "correct asterisk.voip3.username and asterisk.voip3.password"),
        (403, "read_only = no"),
        (404, "correct the prefix in asterisk.voip3.url"),
        (503, "wait until Asterisk has started"),
    ],
)
def test_what_asterisk_refuses(tmp_path: Path, status: int, mend: str) -> None:
    with serving(status) as port:
        found = check(settings(tmp_path, port))
    assert not found["asterisk REST"].ok
    assert str(status) in found["asterisk REST"].reason
    assert found["asterisk REST"].mend.startswith(mend)
    assert not found["asterisk websocket"].ok


def test_its_manager_interface_is_not_there(tmp_path: Path, closed_port: int) -> None:
    site = {"ami": f"127.0.0.1:{closed_port}", "ami_password": PASSWORD}
    with serving() as port:
        found = check(settings(tmp_path, port, voip3=site))["asterisk AMI"]
    assert found.ok is False
    assert "refuses the connection: is it enabled in manager.conf" in found.reason
    assert "asterisk.voip3.ami" in found.mend


def test_asterisk_is_not_there(tmp_path: Path, closed_port: int) -> None:
    found = check(settings(tmp_path, closed_port))
    assert not found["asterisk REST"].ok
    assert "asterisk.voip3.url" in found["asterisk REST"].mend


def test_asterisk_hangs(tmp_path: Path, listener: socket.socket) -> None:
    found = check(settings(tmp_path, listener.getsockname()[1], voip3={"request_timeout": 0.3}))
    assert not found["asterisk REST"].ok


def test_the_websocket_is_refused(tmp_path: Path) -> None:
    with serving() as port:
        found = check(settings(tmp_path, port), Probes("not for you"))
    assert (found["asterisk websocket"].ok, found["asterisk websocket"].reason) == (False, "not for you")


def test_asterisk_comes_to_us(tmp_path: Path, listener: socket.socket) -> None:
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    with serving() as port:
        found = check(settings(tmp_path, port, voip3={"websocket": "server", "listen": place}))
        assert found["asterisk websocket"].reason == "taken by another program"
        found = check(settings(tmp_path, port, voip3={"websocket": "server", "listen": "127.0.0.1:0"}))
        assert found["asterisk websocket"].ok


def test_definition_files_and_their_brokers(tmp_path: Path) -> None:
    probes = Probes()
    defs = tmp_path / "defs"
    defs.mkdir()
    (defs / "__CLIENTES__.DEF").write_text("[101]\nmq=main\nrubbish\n")
    (defs / "__MQSERVERS__.DEF").write_text(f"[main]\nhost=mq.example.com\npassword={PASSWORD}\n")
    with serving() as port:
        found = check(settings(tmp_path, port, mq={"backend": "rabbitmq", "exchange": "e"}), probes)
    assert found["definitions"].reason == "1 clients, 0 endpoints, 1 mqservers, 1 bad lines skipped"
    assert found["definitions"].mend == (
        "endpoints_pjsip.def is not there; __CLIENTES__.DEF, line 3: not key=value"
    )
    assert [(b.name, b.host, b.port, b.exchange, b.username) for b in probes.brokers] == [
        ("", "127.0.0.1", 5672, "e", "guest"),
        ("main", "mq.example.com", 5672, "e", "guest"),
    ]
    assert probes.brokers[1].password == PASSWORD
    assert PASSWORD not in repr(probes.brokers)


def test_a_broker_that_refuses(tmp_path: Path) -> None:
    with serving() as port:
        found = check(settings(tmp_path, port, mq={"backend": "rabbitmq"}), Probes("wrong password"))
    assert found["RabbitMQ"] == Check(
        "RabbitMQ", "127.0.0.1:5672", False, "wrong password", "correct [mq], or the broker"
    )


@needs_sshd
def test_files_on_another_machine(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "__CLIENTES__.DEF").write_text("[101]\n")
    site = {
        "host": "gv1p",
        "definitions": str(there),
        "recordings": str(there),
        "cdr": str(there / "no/c.csv"),
    }
    with serving() as port, Sshd() as server:
        found = check(settings(tmp_path, port, voip3=site, server=[server.settings()]))
        assert found["SSH server gv1p"].reason == "host key and login are well"
        assert found["definitions"].reason == "1 clients, 0 endpoints, 0 mqservers"
        assert found["definitions"].where == str(there)
        assert found["recordings"] == Check("recordings", str(there), True, "there, over SSH")
        assert found["CDR"].mend == 'correct asterisk.voip3.cdr, or set it to ""'


@needs_sshd
def test_another_machine_that_is_not_let_in_or_not_trusted(tmp_path: Path) -> None:
    with serving() as port, Sshd() as server:
        stranger = server.settings(key_file=str(server.stranger))
        found = check(settings(tmp_path, port, voip3={"host": "gv1p"}, server=[stranger]))
        for what in ("SSH server gv1p", "files over SSH"):
            assert not found[what].ok
            assert "does not accept the key" in found[what].reason
            assert found[what].mend.startswith("set server.gv1p.key_file")
        assert "definitions" not in found
        server.new_host_key()
        server.restart()
        found = check(settings(tmp_path, port, voip3={"host": "gv1p"}, server=[server.settings()]))
        assert "ITS HOST KEY HAS CHANGED" in found["SSH server gv1p"].reason
        assert found["SSH server gv1p"].mend.startswith("compare the fingerprint")
        server.stop()
        found = check(settings(tmp_path, port, voip3={"host": "gv1p"}, server=[server.settings()]))
        assert "can't be reached" in found["SSH server gv1p"].reason
        assert found["SSH server gv1p"].mend.startswith("correct server.gv1p.host and port")


def test_what_can_t_be_logged_in_to_yet(tmp_path: Path, listener: socket.socket, closed_port: int) -> None:
    answering = listener.getsockname()[1]
    found = check(
        Settings.model_validate(
            {
                "node": {"data_dir": str(tmp_path)},
                "log": {"dir": str(tmp_path)},
                "manager": {"listen": "127.0.0.1:0"},
                "ha": {"backend": "zookeeper", "hosts": f"127.0.0.1:{closed_port}"},
                "mail": {
                    "inbox": "imap",
                    "outbox": "smtp",
                    "imap": {"host": "127.0.0.1", "port": answering, "username": "u", "timeout": 1},
                    "smtp": {"host": "127.0.0.1", "port": closed_port, "from": "a@example.com"},
                },
                "peer": [{"name": "AUDIO", "host": "127.0.0.1", "port": closed_port}],
                "recordings": {
                    "s3": {"bucket": "b", "endpoint_url": f"http://127.0.0.1:{answering}"},
                    "roots": [str(tmp_path / "none")],
                },
            }
        )
    )
    said = {what: each.reason for what, each in found.items()}
    assert said["ZooKeeper"] == "Connection refused"
    assert said["ZooKeeper session"] == "no session within 5 s"
    assert said["IMAP"] == f"IMAP 127.0.0.1:{answering} did not answer within 1 s (connecting)"
    assert not found["S3"].ok
    assert not found["SSH peer AUDIO"].ok
    assert said["SMTP"] == f"SMTP 127.0.0.1:{closed_port} refuses the connection: is it running there?"
    assert found["SMTP"].mend.startswith("correct [mail.smtp]")
    assert (found["recordings"].ok, said["recordings"]) == (False, "no such file or directory")


def test_an_unknown_host() -> None:
    found = open_port("IMAP", "nowhere.invalid", 993, "mail.imap.host")
    assert (found.ok, found.reason, found.mend) == (False, "no such host", "correct mail.imap.host")


def test_folders_and_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert writable_folder("w", tmp_path, "k").ok
    assert writable_folder("w", tmp_path / "a/b", "k").reason.startswith("will be made; ")
    assert writable_folder("w", file / "a", "k").reason == f"{file} is no folder"
    assert not writable_folder("w", Path("/proc"), "k").ok
    assert readable_folder("r", tmp_path, "k").ok
    assert readable_folder("r", file, "k").reason == "not a directory"
    assert readable_file("f", file, "k").reason == "readable"
    assert readable_file("f", tmp_path / "none", "k") == Check(
        "f", str(tmp_path / "none"), True, "not there yet"
    )
    assert not readable_file("f", tmp_path / "none/none", "k").ok
    assert readable_file("f", tmp_path, "k").reason == "is a directory"


def test_programs() -> None:
    assert program("shell", "sh", True, "").ok
    found = program("MP3", "no-such-program", True, "install it")
    assert (found.ok, found.mend) == (False, "install it")
    assert program("MP3", "no-such-program", False, "install it").result == "advice"


def test_our_own_daemon_may_have_the_port(listener: socket.socket) -> None:
    def greet() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"ARIMONITOR> ")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    assert (
        free_port("console port", place, "manager.listen", b"ARIMONITOR").reason == "a running daemon has it"
    )
    thread.join(DEADLINE)
    found = free_port("console port", "192.0.2.1:1101", "manager.listen")
    assert (found.ok, found.mend) == (False, "correct manager.listen")


def test_the_table() -> None:
    checks = [Check("MP3", "lame", True, "found"), Check("RabbitMQ", "h:1", False, "refused", "start it")]
    assert as_table(checks) == (
        "what      where  result  reason\n"
        "MP3       lame   ok      found\n"
        "RabbitMQ  h:1    FAILS   refused\n"
        "                         -> start it\n"
        "\n"
        "2 checks: 1 failed, 0 with advice"
    )
    assert as_table(checks[:1]).endswith("\n\nall well")
    assert json.loads(as_json(checks)) == {
        "ok": False,
        "checks": [
            {"what": "MP3", "where": "lame", "ok": True, "reason": "found", "mend": ""},
            {"what": "RabbitMQ", "where": "h:1", "ok": False, "reason": "refused", "mend": "start it"},
        ],
    }
