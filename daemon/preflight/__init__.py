"""What `arimonitor check` tries: every connection and place that the configuration names. Service.

Nothing is changed: no folder made, nothing declared, no application left
behind. What this version can't log in to yet is connected to at least, and
the reason says so. Everything has a deadline; one after the other, so that
what fails is not an effect of the check itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.ari.address import Address
from daemon.ari.rest import AriRest
from daemon.directory.ami import ami_of
from daemon.directory.definitions import SERVERS_FILE
from daemon.directory.loader import load
from daemon.directory.model import MessageServer
from daemon.errors import ArimonitorError, TransientError
from daemon.preflight import machines
from daemon.preflight.local import (
    free_port,
    readable_file,
    readable_folder,
    writable_folder,
)
from daemon.preflight.mail import mail_checks
from daemon.preflight.recordings import recordings
from daemon.preflight.report import Check, as_json, as_table
from daemon.preflight.zookeeper import zookeeper_checks
from daemon.settings import AsteriskSettings, Settings

__all__ = ["Broker", "Check", "as_json", "as_table", "run"]

CHANNELVARS = "channelvars = CHANNEL(linkedid),MIXMONITOR_FILENAME"
_LINKEDID = "CHANNEL(linkedid)"


@dataclass(frozen=True, slots=True)
class Broker:
    """A RabbitMQ to try: the `[mq]` of the configuration (name "") or a section of __MQSERVERS__.DEF."""

    name: str
    host: str
    port: int
    vhost: str
    username: str
    password: str = field(repr=False)
    exchange: str
    tls: bool
    ca_file: Path | None
    timeout: float


BrokerProbe = Callable[[Broker], None]
"""Log in and declare the exchange passively, then leave. Raises ArimonitorError with reason and mend."""

WebsocketProbe = Callable[[AsteriskSettings, str], None]
"""Open the event websocket under that application's name and close it. Raises ArimonitorError."""


def run(settings: Settings, *, websocket: WebsocketProbe, broker: BrokerProbe) -> list[Check]:
    """Try everything and say what came of it. Never raises for what it finds."""
    checks: list[Check] = []
    brokers: dict[tuple[str, int, str], Broker] = {}
    if settings.mq.backend == "rabbitmq":
        _remember(brokers, _default_broker(settings))
    for asterisk in settings.asterisk:
        checks += _asterisk(settings, asterisk, websocket)
        checks += _ami(asterisk)
        checks += _files(settings, asterisk, brokers)
    checks += [_broker(each, broker) for each in brokers.values()]
    checks += _elsewhere(settings)
    checks += _here(settings)
    return checks


def _asterisk(settings: Settings, asterisk: AsteriskSettings, websocket: WebsocketProbe) -> Iterator[Check]:
    where = f"{asterisk.name} {asterisk.url}"
    key = f"asterisk.{asterisk.name}"
    if asterisk.websocket == "server":  # what it says, REST included, comes over the websocket that it opens
        yield free_port("asterisk websocket", asterisk.listen, f"{key}.listen")
        return
    password = asterisk.password.get_secret_value() if asterisk.password is not None else ""
    try:
        rest = AriRest(
            Address.parse(asterisk.url), asterisk.username, password, timeout=asterisk.request_timeout
        )
        info = rest.get_info()
        channels = rest.channels()
    except (ArimonitorError, ValueError) as error:
        status = getattr(error, "status", None)
        yield Check("asterisk REST", where, False, str(error), _mend(status, key))
        yield Check("asterisk websocket", where, False, "not tried: REST does not work", "")
        return
    system = info.get("system")
    version = system.get("version", "") if isinstance(system, dict) else ""
    yield Check("asterisk REST", where, True, f"Asterisk {version}".strip())
    yield _linkedid(asterisk, channels)
    try:
        websocket(asterisk, f"{asterisk.app}-{settings.node.name}-check")
    except ArimonitorError as error:
        yield Check("asterisk websocket", where, False, str(error), _mend(None, key))
    else:
        yield Check("asterisk websocket", where, True, "opened and closed again")


def _ami(asterisk: AsteriskSettings) -> Iterator[Check]:
    ami = ami_of(asterisk)
    if ami is None:
        return
    try:
        contacts = ami.contacts()
    except ArimonitorError as error:
        mend = f"correct asterisk.{asterisk.name}.ami, ami_username and ami_password, or manager.conf there"
        yield Check("asterisk AMI", asterisk.ami or "", False, str(error), mend)
    else:
        yield Check("asterisk AMI", asterisk.ami or "", True, f"{len(contacts)} registrations")


def _mend(status: int | None, key: str) -> str:
    match status:
        case 401:
            return f"correct {key}.username and {key}.password: they are those of a user of ari.conf"
        case 403:
            return "read_only = no for this user in ari.conf"
        case 404:
            return f"correct the prefix in {key}.url (prefix in http.conf), and enabled = yes in ari.conf"
        case 503:
            return "wait until Asterisk has started, then check again"
        case _:
            return f"correct {key}.url, or start Asterisk with enabled = yes in http.conf and ari.conf"


def _linkedid(asterisk: AsteriskSettings, channels: list[object]) -> Check:
    """Only a channel shows what ari.conf puts into events: without one it is unknown."""
    advice = f"in [general] of ari.conf: {CHANNELVARS}"
    what, where = "asterisk channelvars", asterisk.name
    snapshots = [channel for channel in channels if isinstance(channel, dict)]
    if not snapshots:
        return Check(what, where, True, "unknown: no call just now", f"see to it that it is {advice}")
    names = snapshots[0].get("channelvars")
    if isinstance(names, dict) and _LINKEDID in names:
        return Check(what, where, True, f"{_LINKEDID} is in the events")
    return Check(
        what, where, True, f"{_LINKEDID} is not in the events: calls are worked out without it", advice
    )


def _only_a_guess(found: Check) -> Check:
    """A default path that nobody configured: what is not there is worth an advice, no failure."""
    return replace(found, ok=True)


def _files(
    settings: Settings, asterisk: AsteriskSettings, brokers: dict[tuple[str, int, str], Broker]
) -> Iterator[Check]:
    key = f"asterisk.{asterisk.name}"
    server = next((each for each in settings.server if each.name == asterisk.host), None)
    if server is not None:
        yield from machines.files(
            asterisk, server, lambda copies: _definitions(settings, asterisk, brokers, copies)
        )
        return
    yield _definitions(settings, asterisk, brokers, asterisk.definitions)
    if asterisk.recordings is not None:
        found = readable_folder("recordings", asterisk.recordings, f"{key}.recordings")
        yield found if "recordings" in asterisk.model_fields_set else _only_a_guess(found)
    if asterisk.cdr is not None:
        found = readable_file("CDR", asterisk.cdr, f"{key}.cdr")
        yield found if "cdr" in asterisk.model_fields_set else _only_a_guess(found)


def _definitions(
    settings: Settings,
    asterisk: AsteriskSettings,
    brokers: dict[tuple[str, int, str], Broker],
    folder: Path,
) -> Check:
    """`folder` has the files, or copies of them."""
    what, where = "definitions", str(asterisk.definitions)
    mend = f"correct asterisk.{asterisk.name}.definitions, or let the daemon's user read it"
    if not folder.is_dir():
        return Check(what, where, False, "no such folder", mend)
    try:
        loaded = load(folder)
    except TransientError as error:
        return Check(what, where, False, str(error), mend)
    if settings.mq.backend == "rabbitmq":
        for server in loaded.directory.servers.values():
            _remember(brokers, _definition_broker(settings, server))
    counted = ", ".join(f"{number} {which}" for which, number in loaded.counts.items())
    advice = [f"{file} is not there" for file in loaded.missing if file != SERVERS_FILE]
    if loaded.bad_lines:
        counted += f", {len(loaded.bad_lines)} bad lines skipped"
        advice += [str(line) for line in loaded.bad_lines[:5]]
    return Check(what, where, True, counted, "; ".join(advice))


def _default_broker(settings: Settings) -> Broker:
    mq = settings.mq
    password = mq.password.get_secret_value() if mq.password is not None else ""
    return Broker(
        "",
        mq.host,
        mq.port,
        mq.vhost,
        mq.username,
        password,
        mq.exchange,
        mq.tls,
        mq.ca_file,
        mq.connect_timeout,
    )


def _definition_broker(settings: Settings, server: MessageServer) -> Broker:
    return Broker(
        server.name,
        server.host,
        server.port,
        server.vhost,
        server.user,
        server.password,
        server.exchange or settings.mq.exchange,
        tls=False,
        ca_file=None,
        timeout=settings.mq.connect_timeout,
    )


def _remember(brokers: dict[tuple[str, int, str], Broker], broker: Broker) -> None:
    brokers.setdefault(
        (broker.host, broker.port, f"{broker.vhost} {broker.username} {broker.exchange}"), broker
    )


def _broker(broker: Broker, probe: BrokerProbe) -> Check:
    what, where = (
        "RabbitMQ",
        f"{broker.host}:{broker.port}{'' if broker.vhost == '/' else ' ' + broker.vhost}",
    )
    key = f"[{broker.name}] in {SERVERS_FILE}" if broker.name else "[mq]"
    try:
        probe(broker)
    except ArimonitorError as error:
        return Check(what, where, False, str(error), f"correct {key}, or the broker")
    return Check(what, where, True, f"login and exchange {broker.exchange} are well")


def _elsewhere(settings: Settings) -> Iterator[Check]:
    """Other machines: logged in to, looked at, left."""
    yield from zookeeper_checks(settings)
    yield from mail_checks(settings)
    for peer in settings.peer:
        yield machines.login("peer", peer)
        yield from machines.peer_folders(settings, peer)
    for server in settings.server:
        if server.host:
            yield machines.login("server", server)


def _here(settings: Settings) -> Iterator[Check]:
    yield writable_folder("data folder", settings.node.data_dir, "node.data_dir")
    yield writable_folder("queue folder", settings.queue.dir, "queue.dir")
    yield writable_folder("log folder", settings.log.dir, "log.dir")
    yield from recordings(settings)
    yield free_port("console port", settings.manager.listen, "manager.listen", banner=b"ARIMONITOR")
