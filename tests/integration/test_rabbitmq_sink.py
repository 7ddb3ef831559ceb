"""The RabbitMQ sink against a real RabbitMQ: what it sends, what it declares, what it says of refusals."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.outbox.entry import Entry
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.outbox.sink import Outcome, SinkLost, SinkRefused, Verdict
from tests.integration.rabbit_parts import Site, call_message
from tests.servers.ports import free_port
from tests.servers.rabbitmq import RabbitMQ, unavailable_reason
from tests.servers.waiting import DEADLINE

reason = unavailable_reason()
pytestmark = [pytest.mark.rabbitmq, pytest.mark.skipif(reason is not None, reason=reason or "")]


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A CA, and a server certificate for localhost signed by it: (CA, certificate, key)."""
    ca, ca_key, cert, key, csr = (folder / n for n in ("ca.pem", "ca.key", "cert.pem", "key.pem", "csr.pem"))
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    new, signs = ("-newkey", "rsa:2048", "-nodes"), ("-addext", "keyUsage=keyCertSign")
    serial = ("-CAcreateserial", "-days", "30", "-extfile", extensions)
    for argv in (
        ["req", "-x509", *new, "-keyout", ca_key, "-out", ca, "-subj", "/CN=test CA", *signs],
        ["req", *new, "-keyout", key, "-out", csr, "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, *serial, "-out", cert],
    ):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)
    return ca, cert, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate for RabbitMQ's TLS listener")
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def broker(certificates: tuple[Path, Path, Path]) -> Iterator[RabbitMQ]:
    with RabbitMQ(tls=certificates) as server:
        yield server


def address(broker: RabbitMQ, **changed: object) -> RabbitAddress:
    values = {"host": broker.host, "port": broker.port, **changed}
    return RabbitAddress(**values)  # type: ignore[arg-type]


def outcomes(sink: RabbitSink, count: int) -> list[Outcome]:
    found: list[Outcome] = []
    deadline = time.monotonic() + DEADLINE
    while len(found) < count:
        found += sink.poll(0.5)
        assert time.monotonic() < deadline, found
    return found


def test_properties_and_topology(broker: RabbitMQ) -> None:
    sink = RabbitSink(address(broker), exchange="props.calls", queue="props.queue")
    sink.open()
    message = call_message("props", "1", 1)
    sink.publish([Entry(7, message)])
    assert outcomes(sink, 1) == [Outcome(7, Verdict.CONFIRMED)]
    sink.close()
    with broker.connect() as connection:
        channel = connection.channel()
        method, properties, body = channel.basic_get("props.queue", auto_ack=True)
    assert method.routing_key == "call.dtmf.101.voip3"
    assert body == message.body
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    assert properties.type == "dtmf"
    assert properties.message_id == message.id
    assert properties.timestamp == 1_761_562_800
    assert properties.app_id == "arimonitor"
    properties.headers.pop("x-delivery-count", None)  # a quorum queue's own
    assert properties.headers == {
        "server": "voip3",
        "client": "101",
        "node": "AUDIO2",
        "x-deduplication-header": message.id,
    }
    exchanges = broker.rabbitmqctl("list_exchanges", "name", "type", "durable")
    assert "props.calls\ttopic\ttrue" in exchanges
    queues = broker.rabbitmqctl("list_queues", "name", "type", "durable")
    assert "props.queue\tquorum\ttrue" in queues
    bindings = broker.rabbitmqctl("list_bindings", "source_name", "destination_name", "routing_key")
    assert "props.calls\tprops.queue\tcall.#" in bindings


def test_what_is_there_is_used_as_it_is(broker: RabbitMQ) -> None:
    with broker.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare("theirs.calls", "fanout", durable=False)
        channel.queue_declare("theirs.queue", durable=True)
    sink = RabbitSink(address(broker), exchange="theirs.calls", queue="theirs.queue")
    sink.open()
    sink.publish([Entry(1, call_message("theirs", "1", 1))])
    assert outcomes(sink, 1)[0].verdict is Verdict.CONFIRMED
    sink.close()
    assert "theirs.calls\tfanout\tfalse" in broker.rabbitmqctl("list_exchanges", "name", "type", "durable")


def test_unroutable_is_returned_the_rest_confirmed(broker: RabbitMQ) -> None:
    sink = RabbitSink(address(broker), exchange="some.calls")
    sink.open()
    with broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("some.queue", durable=True)
        channel.queue_bind("some.queue", "some.calls", "call.dtmf.#")
    entries = [
        Entry(i, call_message("some", str(i), 1, "dtmf" if i % 3 else "ended-call")) for i in range(1, 31)
    ]
    sink.publish(entries)
    got = {o.seq: o for o in outcomes(sink, 30)}
    assert {seq for seq, o in got.items() if o.verdict is Verdict.RETURNED} == set(range(3, 31, 3))
    assert got[3].reason == "exchange some.calls has no queue"
    assert sum(o.verdict is Verdict.CONFIRMED for o in got.values()) == 20
    sink.close()


def test_refusals_in_words(broker: RabbitMQ) -> None:
    def refused(exchange: str = "x.calls", **changed: object) -> str:
        sink = RabbitSink(address(broker, **changed), exchange=exchange)
        with pytest.raises(SinkRefused) as caught:
            sink.open()
        sink.close()
        return str(caught.value)

    assert refused(password="wrong-1234") == "user name or password refused (user guest)"
    assert refused(vhost="nowhere") == "virtual host nowhere unknown or not allowed to user guest"
    broker.rabbitmqctl("add_user", "reader", "secret-1234")
    broker.rabbitmqctl("set_permissions", "reader", "^$", "^$", ".*")
    text = refused(username="reader", password="secret-1234")
    assert text.startswith("refused (permission): 403 ACCESS_REFUSED")
    assert "secret-1234" not in text
    assert "secret-1234" not in repr(address(broker, password="secret-1234"))


def test_a_permission_that_is_missing_only_for_publishing(broker: RabbitMQ) -> None:
    with broker.connect() as connection:
        connection.channel().exchange_declare("readonly.calls", "topic", durable=True)
    broker.rabbitmqctl("add_user", "noter", "secret-1234")
    broker.rabbitmqctl("set_permissions", "noter", ".*", "^$", ".*")
    sink = RabbitSink(address(broker, username="noter", password="secret-1234"), exchange="readonly.calls")
    sink.open()
    sink.publish([Entry(1, call_message("noter", "1", 1))])
    with pytest.raises(SinkRefused, match="permission"):
        outcomes(sink, 1)
    sink.close()


def test_nobody_listens_and_nobody_answers(broker: RabbitMQ) -> None:
    sink = RabbitSink(RabbitAddress("127.0.0.1", free_port()))
    with pytest.raises(SinkLost, match="Connection refused"):
        sink.open()
    sink.close()
    sink = RabbitSink(RabbitAddress("no-such-host.invalid", 5672))
    with pytest.raises(SinkLost):
        sink.open()
    sink.close()
    broker.freeze()
    began = time.monotonic()
    try:
        sink = RabbitSink(address(broker))
        with pytest.raises(SinkLost):
            sink.open()
        sink.close()
    finally:
        broker.thaw()
    assert time.monotonic() - began < 20


def test_tls(broker: RabbitMQ, certificates: tuple[Path, Path, Path]) -> None:
    ca = str(certificates[0])
    good = RabbitAddress("localhost", broker.tls_port or 0, tls=True, ca_file=ca)
    sink = RabbitSink(good, exchange="tls.calls", queue="tls.queue")
    sink.open()
    sink.publish([Entry(i, call_message("tls", str(i), 1)) for i in range(1, 101)])
    assert all(o.verdict is Verdict.CONFIRMED for o in outcomes(sink, 100))
    sink.close()
    for bad, words in (
        (RabbitAddress("localhost", good.port, tls=True), "certificate is not trusted"),
        (RabbitAddress("127.0.0.1", good.port, tls=True, ca_file=ca), "certificate is not trusted"),
        (RabbitAddress("localhost", good.port, tls=True, ca_file="/nonexistent.pem"), "CA file"),
    ):
        sink = RabbitSink(bad)
        with pytest.raises(SinkRefused, match=words):
            sink.open()
        sink.close()


_CHILD = """
import sys
from pathlib import Path
from tests.integration.rabbit_parts import Site
from tests.servers.rabbitmq import RabbitMQ
import tests.integration.rabbit_parts as parts
from types import SimpleNamespace
folder, port, name, first, rounds = sys.argv[1:]
folder, port, first, rounds = Path(folder), int(port), int(first), int(rounds)
site = Site(SimpleNamespace(host="127.0.0.1", port=port, username="guest", password="guest"), folder)
site.name, site.sink._exchange = name, name + ".calls"
site.start()
for number in range(first, first + rounds):
    site.store(20, number, 1)
    print(number + 1, flush=True)
print("empty" if not site.outbox.counts().get("") else "waits", flush=True)
if rounds == 0:
    site.settled()
    site.close()
    print("closed", flush=True)
else:
    site.stop.wait()
"""


def test_the_daemon_killed_between_publish_and_confirm(broker: RabbitMQ, tmp_path: Path) -> None:
    """kill -9 at ten random moments: nothing lost, repeats have the same id, order holds."""
    dice = random.Random(11)
    site = Site(broker, tmp_path / "parent")
    site.topology()
    child_folder = tmp_path / "child"
    argv = [sys.executable, "-m", "gevent.monkey", str(tmp_path / "child.py")]
    (tmp_path / "child.py").write_text(_CHILD)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    rounds = 0

    def spawn(first: int, count: int) -> subprocess.Popen[bytes]:
        arguments = [str(child_folder), str(broker.port), site.name, str(first), str(count)]
        return subprocess.Popen([*argv, *arguments], stdout=subprocess.PIPE, env=environment)

    for _ in range(10):
        # Begun again at the round it may have stored but not told: the same ids are kept once.
        child = spawn(rounds, 100_000)
        assert child.stdout is not None
        for _ in range(dice.randrange(5, 120)):
            line = child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        rest = [word for word in child.stdout.read().split() if word.isdigit()]
        child.wait(DEADLINE)
        rounds = int(rest[-1]) if rest else int(line)
    child = spawn(rounds, 0)
    assert child.stdout is not None
    assert child.stdout.read().split()[-1] == b"closed"
    child.wait(DEADLINE)
    site.sent = [call_message(site.name, str(call), n) for n in range(rounds) for call in range(20)]
    got = site.consume()
    # One round more may have been stored just before the last kill.
    extra = {call_message(site.name, str(call), rounds).id for call in range(20)}
    assert got.ids - extra == {m.id for m in site.sent}
    got.check_order(without_repeats=True)
    assert got.total >= len(got.ids)
    site.close()
