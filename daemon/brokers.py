"""The ways out, built: a publisher for the `[mq]` and one for each message server. Root.

Messages of an Asterisk that only this node reaches (`watch = "this"`) have
publishers of their own, since this node publishes them whatever its role.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from daemon.directory.model import Directory, MessageServer
from daemon.outbox.filesink import FileSink
from daemon.outbox.message import Message
from daemon.outbox.publisher import Publisher
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.outbox.sink import Sink
from daemon.outbox.store import Outbox
from daemon.settings import AsteriskSettings, MqSettings, Settings

log = logging.getLogger("arimonitor.outbox")

DEFAULT = ""
"""The broker name of messages that go to the `[mq]` of the configuration."""
OWN = "this/"
"""In front of the broker name of messages that this node publishes whatever its role."""
_ITS_SINKS = ("mq", "file")  # as which that one appears in status, counters and log


class Brokers:
    """What publishes, by broker name; made anew each time that one begins.

    `may` says whether the master may begin something new, `told` gets the ids of
    what is published for both nodes; `epoch` gives the header of that name (None:
    one host has none). `keep` and `forget`
    are given services by name: roles decide when they run. `secret` is told
    each password.
    """

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        offload: Callable[..., Any],
        *,
        may: Callable[[], bool],
        told: Callable[[Sequence[str]], None],
        epoch: Callable[[], int] | None,
        keep: Callable[[str, Callable[[], Publisher]], None],
        forget: Callable[[str], None],
        secret: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._offload = offload
        self._may = may
        self._told = told
        self._epoch = epoch
        self._keep = keep
        self._forget = forget
        self._secret = secret
        self._servers: dict[str, MessageServer] = {}  # as their publishers know them
        self._own = settings.ha.backend != "file" and any(a.watch == "this" for a in settings.asterisk)
        self.publishers: dict[str, Publisher] = {}
        """The last made of each broker; whether it runs is its role's."""

    def addressed(self, asterisk: AsteriskSettings, messages: Sequence[Message]) -> Sequence[Message]:
        """Messages of that Asterisk, in the line of who publishes them."""
        if not self._own or asterisk.watch != "this":
            return messages
        return [replace(each, broker=OWN + each.broker) for each in messages]

    def begin(self, directories: Iterable[tuple[str, Directory]]) -> None:
        """Those of the configuration and of the definition files."""
        self._take(DEFAULT)
        self.look(directories)

    def look(self, directories: Iterable[tuple[str, Directory]]) -> list[str]:
        """A publisher for each message server that is new or has moved; their names."""
        fresh = new_or_moved(self._servers, message_servers(directories))
        for server in fresh:
            self._secret(server.password)
            self._take(server.name)
        return [server.name for server in fresh]

    def _take(self, broker: str) -> None:
        for name in (broker, OWN + broker) if self._own else (broker,):
            made = self._make(name)  # its name is needed now; it is made again when it begins
            if name in self.publishers:
                self._forget(self.publishers[name].name)
            self.publishers[name] = made
            self._keep(made.name, partial(self._again, name))

    def _again(self, broker: str) -> Publisher:
        self.publishers[broker] = self._make(broker)
        return self.publishers[broker]

    def _make(self, broker: str) -> Publisher:
        own, name = broker.startswith(OWN), broker.removeprefix(OWN)
        sink = self._server_sink(self._servers[name], own) if name else self._default_sink(own)
        window = self._settings.mq.window
        if not own:
            return Publisher(broker, self._outbox, sink, window=window, may=self._may, told=self._told)
        publisher = Publisher(broker, self._outbox, sink, window=window)
        publisher.name = f"own-{publisher.name}"
        return publisher

    def _default_sink(self, own: bool) -> Sink:
        mq = self._settings.mq
        if mq.backend == "file":
            folder = self._settings.node.data_dir / "messages"
            return FileSink(folder / "own" if own else folder, self._offload)
        name = "mq (own)" if own else "mq"
        return RabbitSink(_address(mq), exchange=mq.exchange, queue=mq.queue, name=name, epoch=self._epoch)

    def _server_sink(self, server: MessageServer, own: bool) -> Sink:
        mq = self._settings.mq
        address = RabbitAddress(
            host=server.host,
            port=server.port,
            vhost=server.vhost,
            username=server.user,
            password=server.password,
            heartbeat=mq.heartbeat,
            connect_timeout=mq.connect_timeout,
            blocked_timeout=mq.blocked_timeout,
        )
        name = f"[{server.name}]" if server.name in _ITS_SINKS else server.name
        return RabbitSink(
            address,
            exchange=server.exchange or mq.exchange,
            name=f"{name} (own)" if own else name,
            epoch=self._epoch,
        )


def message_servers(directories: Iterable[tuple[str, Directory]]) -> dict[str, MessageServer]:
    """All message servers by name; where two Asterisks' files differ the first counts, and it is said."""
    servers: dict[str, MessageServer] = {}
    for asterisk, directory in directories:
        for name, server in directory.servers.items():
            known = servers.setdefault(name, server)
            if known != server:
                log.warning(
                    "message server [%s] of %s differs from another Asterisk's of that name: %s is used",
                    name,
                    asterisk,
                    known.host,
                )
    return servers


def new_or_moved(
    known: dict[str, MessageServer], servers: Mapping[str, MessageServer]
) -> list[MessageServer]:
    """Those of `servers` that `known` does not have as they are now; it has them then."""
    fresh = [server for name, server in servers.items() if known.get(name) != server]
    known.update(servers)
    return fresh


def _address(mq: MqSettings) -> RabbitAddress:
    return RabbitAddress(
        host=mq.host,
        port=mq.port,
        vhost=mq.vhost,
        username=mq.username,
        password=mq.password.get_secret_value() if mq.password is not None else "",
        tls=mq.tls,
        ca_file=str(mq.ca_file) if mq.ca_file else None,
        heartbeat=mq.heartbeat,
        connect_timeout=mq.connect_timeout,
        blocked_timeout=mq.blocked_timeout,
    )
