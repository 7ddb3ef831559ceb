"""What `arimonitor check` uses to try a websocket and a broker: the adapters themselves. Root."""

from __future__ import annotations

from daemon.ari.address import Address
from daemon.ari.socket import EventSocket
from daemon.outbox.rabbitlink import RabbitAddress
from daemon.outbox.rabbitmq import RabbitSink
from daemon.preflight import Broker
from daemon.settings import AsteriskSettings


def try_websocket(asterisk: AsteriskSettings, app: str) -> None:
    """Connect under that application's name and leave again. Raises ConnectError."""
    password = asterisk.password.get_secret_value() if asterisk.password is not None else ""
    socket = EventSocket.connect(
        Address.parse(asterisk.url),
        asterisk.username,
        password,
        app,
        timeout=asterisk.connect_timeout,
    )
    socket.close()


def try_broker(broker: Broker) -> None:
    """Log in and see to the exchange as the daemon would. Raises SinkLost or SinkRefused."""
    address = RabbitAddress(
        host=broker.host,
        port=broker.port,
        vhost=broker.vhost,
        username=broker.username,
        password=broker.password,
        tls=broker.tls,
        ca_file=str(broker.ca_file) if broker.ca_file else None,
    )
    sink = RabbitSink(address, exchange=broker.exchange, name=broker.name or "mq")
    sink.open()
    sink.close()
