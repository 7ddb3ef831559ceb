"""The ways out, built: a publisher for the `[mq]` and one for each message server. Root."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daemon.directory.model import Directory, MessageServer
from daemon.outbox.filesink import FileSink
from daemon.outbox.publisher import Publisher
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.outbox.sink import Sink
from daemon.outbox.store import Outbox
from daemon.settings import MqSettings, Settings

log = logging.getLogger("arimonitor.outbox")

DEFAULT = ""
"""The broker name of messages that go to the `[mq]` of the configuration."""
_ITS_SINKS = ("mq", "file")  # as which that one appears in status, counters and log


def default_publisher(settings: Settings, outbox: Outbox, offload: Callable[..., Any]) -> Publisher:
    """The way out of what no client's `mq=` sends elsewhere."""
    mq = settings.mq
    sink: Sink
    if mq.backend == "file":
        sink = FileSink(settings.node.data_dir / "messages", offload)
    else:
        sink = RabbitSink(_address(mq), exchange=mq.exchange, queue=mq.queue)
    return Publisher(DEFAULT, outbox, sink, window=mq.window)


def server_publisher(settings: Settings, server: MessageServer, outbox: Outbox) -> Publisher:
    """The way out to one section of __MQSERVERS__.DEF."""
    address = RabbitAddress(
        host=server.host,
        port=server.port,
        vhost=server.vhost,
        username=server.user,
        password=server.password,
        heartbeat=settings.mq.heartbeat,
        connect_timeout=settings.mq.connect_timeout,
        blocked_timeout=settings.mq.blocked_timeout,
    )
    name = f"[{server.name}]" if server.name in _ITS_SINKS else server.name
    sink = RabbitSink(address, exchange=server.exchange or settings.mq.exchange, name=name)
    return Publisher(server.name, outbox, sink, window=settings.mq.window)


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
