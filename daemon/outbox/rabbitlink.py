"""One connection and channel to RabbitMQ, driven by its user's own turns (pika's SelectConnection).

pika's callbacks are turned inside out here: `ask` starts an operation and takes
turns of the connection's loop until its answer is there, the connection is lost
or its time is over. Nothing runs in the background: whoever owns the link must
take a `turn` now and then, within the heartbeat.

SelectConnection with a loop of our own measures as fast as GeventConnection
(which pika 2 drops), with smaller gaps on the hub, and needs no gevent here.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pika
from pika import exceptions
from pika.adapters.select_connection import IOLoop, SelectConnection

from daemon.errors import TransientError
from daemon.outbox.sink import SinkLost, SinkRefused

log = logging.getLogger("arimonitor.outbox")

_STACK = 10.0  # seconds for TLS and AMQP beyond those for TCP
_ASK = 10.0  # seconds for one answer of the broker
_REFUSALS = {403: "permission", 530: "virtual host or permission", 406: "it exists with other properties"}


@dataclass(frozen=True, slots=True)
class RabbitAddress:
    """Where a broker is and who we are there; the password never shows in a repr.

    Times in seconds: `blocked_timeout` is how long a memory or disk alarm may
    last before the connection is made anew.
    """

    host: str
    port: int = 5672
    vhost: str = "/"
    username: str = "guest"
    password: str = field(default="guest", repr=False)
    tls: bool = False
    ca_file: str | None = None
    heartbeat: int = 10
    connect_timeout: float = 5.0
    blocked_timeout: float = 600.0

    @property
    def place(self) -> str:
        """For people: the address without its password."""
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.username}@{self.host}:{self.port}/{self.vhost.lstrip('/')}"


class RabbitLink:
    """An open connection with one channel. Every method may raise SinkLost or SinkRefused."""

    def __init__(self, address: RabbitAddress) -> None:
        # pika logs each of its own steps as an error; what matters is said by us, once.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._address = address
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._error: BaseException | None = None
        self._heard_bytes = 0
        self._heard_at = time.monotonic()
        self._closed = self._woken = self._open = False
        self._connection: Any = None
        self.blocked = ""
        self.channel: Any = None

    def open(self) -> None:
        """Connect and open the channel, within a deadline; `close` must follow also if it raises."""
        try:
            parameters = _parameters(self._address)
        except OSError as error:
            raise SinkRefused(f"the CA file {self._address.ca_file} can't be used: {error}") from error
        self._connection = SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._failed,
            on_close_callback=self._failed,
            custom_ioloop=self._loop,
        )
        # A little later than pika's own: it must not be closed in the middle of its workflow.
        limit = self._address.connect_timeout + _STACK
        deadline = time.monotonic() + limit + 2.0
        while not self._open:
            self.turn(0.5)
            if time.monotonic() > deadline:
                raise SinkLost(f"no AMQP connection within {limit:.0f} s")
        self._connection.add_on_connection_blocked_callback(self._now_blocked)
        self._connection.add_on_connection_unblocked_callback(self._now_unblocked)
        self.new_channel()

    def _opened(self, _connection: object) -> None:
        self._open = True

    def _failed(self, _connection: object, error: BaseException) -> None:
        self._error = self._error or error

    def _now_blocked(self, _connection: object, frame: Any) -> None:
        self.blocked = str(frame.method.reason) or "blocked"

    def _now_unblocked(self, _connection: object, _frame: object) -> None:
        self.blocked = ""

    def new_channel(self) -> None:
        """A fresh channel: the broker closes one that asked for what isn't there."""
        self._error = None
        self.channel = self.ask("a channel", lambda done: self._connection.channel(on_open_callback=done))
        self.channel.add_on_close_callback(self._failed)

    def ask(self, what: str, start: Callable[[Callable[[Any], None]], object]) -> Any:
        """Start an operation that calls back with its answer, and take turns until it does."""
        answer: list[Any] = []
        start(answer.append)
        deadline = time.monotonic() + _ASK
        while not answer:
            self.turn(0.5)
            if time.monotonic() > deadline:
                raise SinkLost(f"no answer within {_ASK:.0f} s ({what})")
        return answer[0]

    def asked_for_nothing(self, what: str, start: Callable[[Callable[[Any], None]], object]) -> bool:
        """`ask` for something that may not exist: True if it doesn't. The channel is new then."""
        try:
            self.ask(what, start)
        except SinkLost:
            if isinstance(self._error, exceptions.ChannelClosedByBroker) and self._error.reply_code == 404:
                self.new_channel()
                return True
            raise
        return False

    def turn(self, timeout: float) -> None:
        """Let the connection read, write and call back; waits up to `timeout` seconds for something."""
        self.raise_if_lost()
        self._spin(timeout)
        self._listen()

    def _spin(self, timeout: float) -> None:
        handle = self._loop.call_later(timeout, _nothing)
        self._loop.poll()
        self._woken = False
        self._loop.remove_timeout(handle)
        self._loop.process_timeouts()

    def _listen(self) -> None:
        """A broker that says nothing for three of its heartbeats is frozen or out of reach.

        pika itself takes twice its heartbeat and 10 s to see that. Whatever had
        come while our own process stood still was read in this turn.
        """
        now = time.monotonic()
        received = self._connection.bytes_received
        if received != self._heard_bytes:
            self._heard_bytes, self._heard_at = received, now
            return
        silence = self._address.heartbeat * 1.5
        if self._open and self._error is None and now - self._heard_at > silence:
            self._error = SinkLost(
                f"the broker has not been heard for {silence:.0f} s: frozen or out of reach"
            )

    def raise_if_lost(self) -> None:
        """Raise what ended the connection or the channel, if something did."""
        if self._error is not None:
            raise _translated(self._error, self._address) from self._error

    def wake(self) -> None:
        """Let a `turn` that waits return; may be called from any greenlet."""
        if not self._closed and not self._woken:
            self._woken = True
            self._loop.add_callback_threadsafe(_nothing)

    def close(self) -> None:
        """Close politely within a second, else cut it. Never raises."""
        if self._closed:
            return
        self._closed = True
        connection = self._connection
        if connection is not None and connection.is_open and not isinstance(self._error, SinkLost):
            connection.close()
            deadline = time.monotonic() + 1.0
            while not connection.is_closed and time.monotonic() < deadline:
                self._spin(0.1)
        if connection is not None and not connection.is_closed:
            # pika has no public way to drop a connection that doesn't answer any more.
            try:
                connection._terminate_stream(exceptions.ConnectionOpenAborted("given up"))
                self._spin(0.0)
            except AssertionError as error:  # in the middle of pika's own opening
                log.debug("the connection could only be left behind: %r", error)
        self._loop.close()


def _nothing() -> None:
    """Only there to end a wait."""


def _parameters(address: RabbitAddress) -> pika.ConnectionParameters:
    options = None
    if address.tls:
        context = ssl.create_default_context(cafile=address.ca_file)
        options = pika.SSLOptions(context, address.host)
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.username, address.password),
        heartbeat=address.heartbeat,
        blocked_connection_timeout=address.blocked_timeout,
        socket_timeout=address.connect_timeout,
        stack_timeout=address.connect_timeout + _STACK,
        connection_attempts=1,
        ssl_options=options,
        client_properties={"connection_name": "arimonitor"},
    )


def _wrapped_by(error: BaseException) -> BaseException | None:
    """What lies under it: pika wraps by attribute (its connection workflow) and by argument."""
    several = getattr(error, "exceptions", None)
    for below in (several[-1] if several else None, getattr(error, "exception", None), *error.args[:1]):
        if isinstance(below, BaseException):
            return below
    return None


def _translated(error: BaseException, address: RabbitAddress) -> TransientError:
    """pika's exceptions as ours, in words that say who must act."""
    if isinstance(error, TransientError):
        return error
    deepest = error
    while (below := _wrapped_by(deepest)) is not None:
        deepest = below
    if isinstance(deepest, exceptions.ProbableAuthenticationError):
        return SinkRefused(f"user name or password refused (user {address.username})")
    if isinstance(deepest, exceptions.ProbableAccessDeniedError):
        return SinkRefused(f"virtual host {address.vhost} unknown or not allowed to user {address.username}")
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return SinkRefused(f"the server's certificate is not trusted: {deepest.verify_message}")
    if isinstance(deepest, ssl.SSLError):
        return SinkRefused(f"no TLS with this port: {deepest.reason or deepest}")
    if isinstance(deepest, exceptions.ConnectionClosedByBroker | exceptions.ChannelClosedByBroker):
        text = f"{deepest.reply_code} {deepest.reply_text}"
        if deepest.reply_code in _REFUSALS:
            return SinkRefused(f"refused ({_REFUSALS[deepest.reply_code]}): {text}")
        return SinkLost(f"closed by the broker: {text}")
    if isinstance(deepest, exceptions.ConnectionBlockedTimeout):
        return SinkLost("the broker has taken nothing for longer than mq.blocked_timeout")
    if isinstance(deepest, OSError) and deepest.strerror:
        return SinkLost(f"no connection: {deepest.strerror}")
    return SinkLost(f"connection lost: {deepest!r}")
