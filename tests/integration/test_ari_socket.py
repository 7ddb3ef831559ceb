"""EventSocket and AriRest against a server that refuses, hangs, drips and lies."""

from __future__ import annotations

import datetime
import random
import socket as plain_socket
import ssl
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from daemon.ari.address import Address
from daemon.ari.rest import AriRefused, AriRest, AriUnavailable
from daemon.ari.socket import MAX_BATCH, EventSocket
from daemon.ari.wire import ConnectError, Disconnected
from tests.servers.fake_ari import BINARY, CLOSE, PING, FakeAri, Session, encoded, frame
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE, wait_until


@pytest.fixture
def fake() -> Iterator[FakeAri]:
    with FakeAri() as server:
        yield server


def connect(fake: FakeAri, password: str = "secret", app: str = "mon", timeout: float = 10.0) -> EventSocket:
    return EventSocket.connect(Address.parse(fake.url), "monitor", password, app, timeout=timeout)


def connected(fake: FakeAri) -> tuple[EventSocket, Session]:
    events = connect(fake)
    return events, fake.session(1)


def read(events: EventSocket, count: int) -> list[bytes]:
    """`count` messages, or fewer when they do not come in time."""
    got: list[bytes] = []
    until = time.monotonic() + DEADLINE
    while len(got) < count and time.monotonic() < until:
        got += events.read_batch(0.5)
    return got


def lost(events: EventSocket) -> Disconnected:
    """Read until the connection is lost: the error."""
    until = time.monotonic() + DEADLINE
    try:
        while time.monotonic() < until:
            events.read_batch(0.5)
    except Disconnected as gone:
        return gone
    raise AssertionError("the connection was not lost")


def test_the_password_is_in_the_header_only(fake: FakeAri) -> None:
    _, session = connected(fake)
    assert session.request.query == {"app": "mon", "subscribeAll": "false"}
    assert session.request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("fault", "status", "says"),
    [
        ("404", 404, "prefix"),
        ("503", 503, "starting"),
        ("400", 400, "check app"),
        ("302", 302, "redirects"),
        ("500", 500, "500"),
        ("garbage", None, "not as Asterisk's websocket"),
        ("endless", None, "too long"),
        ("drop", None, "broke off"),
        ("reset", None, "broke"),
    ],
)
def test_each_refusal_is_one_clear_sentence(fake: FakeAri, fault: str, status: int | None, says: str) -> None:
    fake.faults.handshake = fault
    with pytest.raises(ConnectError) as error:
        connect(fake)
    assert says in str(error.value)
    assert "secret" not in str(error.value)
    assert len(str(error.value)) < 300
    assert error.value.status == status


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_handshake_that_hangs_has_a_deadline(fake: FakeAri, fault: str) -> None:
    fake.faults.handshake = fault
    with pytest.raises(ConnectError, match="did not answer the websocket handshake"):
        connect(fake, timeout=0.5)


def test_wrong_password_wrong_prefix_no_app(fake: FakeAri) -> None:
    with pytest.raises(ConnectError, match="user name or the password"):
        connect(fake, password="wrong")
    with pytest.raises(ConnectError, match="check app"):
        connect(fake, app="")
    wrong = Address.parse(fake.url + "/elsewhere")
    with pytest.raises(ConnectError, match="prefix"):
        EventSocket.connect(wrong, "monitor", "secret", "mon")
    fake.faults.prefix = "/elsewhere"
    EventSocket.connect(wrong, "monitor", "secret", "mon").close()


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(ConnectError, match="refuses the connection"):
        EventSocket.connect(Address.parse(f"http://127.0.0.1:{port}"), "u", "p", "mon")
    with pytest.raises(AriUnavailable, match="refuses the connection"):
        AriRest(Address.parse(f"http://127.0.0.1:{port}"), "u", "p").get_info()


def test_https_on_a_plain_port(fake: FakeAri) -> None:
    address = Address.parse(fake.url.replace("http", "https"))
    with pytest.raises(ConnectError, match="TLS"):
        EventSocket.connect(address, "monitor", "secret", "mon", timeout=0.5)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pbx.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_https_is_verified(tmp_path: Path) -> None:
    server, trusting = self_signed(tmp_path)
    with FakeAri(tls=server) as fake:
        address = Address.parse(fake.url)
        with pytest.raises(ConnectError, match="not trusted"):
            EventSocket.connect(address, "monitor", "secret", "mon")
        with pytest.raises(AriUnavailable, match="not trusted"):
            AriRest(address, "monitor", "secret").channels()
        assert AriRest(address, "monitor", "secret", context=trusting).channels() == []
        events = EventSocket.connect(address, "monitor", "secret", "mon", context=trusting)
        session = fake.session(1)
        sent = [encoded({"n": n, "filler": "x" * 500}) for n in range(300)]
        session.send(*sent)
        assert read(events, 300) == sent
        events.close()


def test_many_events_in_one_write_come_in_order(fake: FakeAri) -> None:
    events, session = connected(fake)
    sent = [encoded({"type": "T", "n": n, "filler": "x" * (n % 700)}) for n in range(5000)]
    session.send(*sent)
    batches = [events.read_batch(DEADLINE)]
    while sum(map(len, batches)) < len(sent):
        batches.append(events.read_batch(DEADLINE))
    assert [f for batch in batches for f in batch] == sent
    assert max(map(len, batches)) <= MAX_BATCH


def test_events_that_come_with_the_handshake(fake: FakeAri) -> None:
    """Asterisk 16 keeps an application's subscriptions: its events may follow the handshake at once."""
    sent = [encoded({"type": "T", "n": n, "filler": "x" * 600}) for n in range(1000)]
    fake.on_session = lambda session: session.send(*sent)
    assert read(connect(fake), len(sent)) == sent


def test_a_frame_that_arrives_byte_by_byte(fake: FakeAri) -> None:
    events, session = connected(fake)
    message = encoded({"type": "ChannelCreated", "filler": "x" * 200})
    session.sock.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
    got: list[bytes] = []
    for byte in frame(message) + frame(b"{}"):
        session.raw(bytes([byte]))
        got += events.read_batch(0.001)
    got += read(events, 2 - len(got))
    assert got == [message, b"{}"]


def test_fragments_with_a_ping_between_them(fake: FakeAri) -> None:
    events, session = connected(fake)
    session.raw(
        frame(b'{"type":', final=False)
        + frame(b"are you there", PING)
        + frame(b'"Dial"', 0, final=False)
        + frame(b"}", 0)
        + frame(b'{"type":"after"}')
    )
    assert read(events, 2) == [b'{"type":"Dial"}', b'{"type":"after"}']
    wait_until(lambda: (0xA, b"are you there") in session.received, "the pong")


def test_odd_but_legal_frames(fake: FakeAri) -> None:
    events, session = connected(fake)
    giant = b"[" + b"1," * 200_000 + b"1]"
    session.raw(frame(b"") + frame(b"7") + frame(b"{}", BINARY) + frame(giant) + frame(b"end"))
    assert read(events, 5) == [b"", b"7", b"{}", giant, b"end"]


def test_nothing_comes(fake: FakeAri) -> None:
    events, _ = connected(fake)
    assert events.read_batch(0.01) == []


def test_a_pong_is_a_sign_of_life_and_no_message(fake: FakeAri) -> None:
    events, _ = connected(fake)
    before = events.heard_at
    events.ping()
    wait_until(lambda: events.read_batch(0.01) == [] and events.heard_at > before, "the pong")


def test_a_clean_close_is_a_disconnect_with_its_code(fake: FakeAri) -> None:
    events, session = connected(fake)
    session.raw(frame(b"{}"))
    session.close(1001, b"going away")
    assert read(events, 1) == [b"{}"]
    gone = lost(events)
    assert (gone.code, gone.reason) == (1001, "Asterisk closed the websocket (1001: going away)")
    assert session.closed.wait(DEADLINE)


def test_connections_that_end_without_a_word(fake: FakeAri) -> None:
    first, second = connect(fake, app="a"), connect(fake, app="b")
    sessions = {session.app: session for session in (fake.session(1), fake.session(2))}
    sessions["a"].end()
    assert "without a close frame" in lost(first).reason
    sessions["b"].abort()
    assert lost(second).code is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), "1099511627776 bytes"),
        (b"\x81\x7f" + (17 << 20).to_bytes(8, "big"), "17825792 bytes"),
        (frame(b"x" * 1000, final=False) + b"\x80\x7f" + (16 << 20).to_bytes(8, "big"), "16777216 bytes"),
        (frame(b"more", 0), "without a beginning"),
        (frame(b"a", final=False) + frame(b"bb"), "inside another"),
        (frame(b"x" * 200, PING), "longer than 125"),
        (b"\x71\x02{}", "no websocket frame"),
        (b"\x83\x02{}", "no websocket frame"),
        (frame(b"\x00\x01", CLOSE), "no websocket frame"),
    ],
)
def test_what_is_no_websocket_frame_ends_the_connection(fake: FakeAri, data: bytes, says: str) -> None:
    events, session = connected(fake)
    session.raw(frame(b"good") + data)
    assert read(events, 1) == [b"good"]
    assert says in lost(events).reason


def test_random_bytes_never_hang_or_crash(fake: FakeAri) -> None:
    dice = random.Random(42)
    for number in range(1, 41):
        events = connect(fake, app=f"mon{number}")
        session = fake.session(number)
        session.raw(frame(b"{}") + dice.randbytes(dice.randrange(1, 2000)))
        session.end()
        assert lost(events).reason
        events.close()


def test_closing_says_goodbye(fake: FakeAri) -> None:
    events, session = connected(fake)
    session.raw(frame(b"{}") * 10)
    events.close()
    events.close()
    assert session.closed.wait(DEADLINE)
    assert session.received[-1] == (CLOSE, b"\x03\xe8")


# -- REST ------------------------------------------------------------------------


def rest(fake: FakeAri, timeout: float = 10.0) -> AriRest:
    return AriRest(Address.parse(fake.url), "monitor", "secret", timeout=timeout)


def test_rest_calls(fake: FakeAri) -> None:
    fake.replies["/channels"] = [{"id": "1.1"}] * 5000
    fake.replies["/channels/1.1/variable"] = {"value": "x"}
    client = rest(fake)
    assert client.get_info()["system"] == {"version": "22.0.0"}
    assert client.ping() == "2026-11-20T16:05:45.034+0000"
    assert len(client.channels()) == 5000
    assert client.bridges() == []
    assert client.endpoints() == []
    assert client.channel_variable("1.1", "CHANNEL(linkedid)") == "x"
    assert client.channel_variable("9.9", "X") is None
    assert client.application("nobody") is None
    with pytest.raises(AriRefused, match="Application not found") as error:
        client.subscribe("nobody", ["channel:"])
    assert error.value.status == 404


def test_filter_and_subscription_are_what_asterisk_expects(fake: FakeAri) -> None:
    connected(fake)
    client = rest(fake)
    client.set_event_filter("mon", ["Dial", "ChannelCreated"], ["ChannelVarset"])
    client.subscribe("mon", ["channel:", "bridge:"])
    (put,), (post,) = fake.asked("PUT", "/eventFilter"), fake.asked("POST", "/subscription")
    assert put.body == {
        "allowed": [{"type": "Dial"}, {"type": "ChannelCreated"}],
        "disallowed": [{"type": "ChannelVarset"}],
    }
    assert put.headers["content-type"] == "application/json"
    assert post.query == {"eventSource": "channel:,bridge:"}


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("401", AriRefused, "password"),
        ("403", AriRefused, "read_only"),
        ("500", AriUnavailable, "500"),
        ("503", AriUnavailable, "starting"),
        ("garbage", AriUnavailable, "broke off"),
        ("drop", AriUnavailable, "broke off"),
        ("reset", AriUnavailable, "broke"),
        ("hang", AriUnavailable, "did not answer GET /channels within"),
        ("drip", AriUnavailable, "did not answer GET /channels within"),
    ],
)
def test_rest_faults(fake: FakeAri, fault: str, kind: type[Exception], says: str) -> None:
    fake.faults.rest["/channels"] = fault
    with pytest.raises(kind, match=says):
        rest(fake, timeout=0.5 if fault in ("hang", "drip") else 10).channels()


def test_an_answer_of_another_shape(fake: FakeAri) -> None:
    fake.replies["/channels"] = {"not": "a list"}
    with pytest.raises(AriUnavailable, match="expected"):
        rest(fake).channels()
