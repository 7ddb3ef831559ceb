"""What one key of the configuration says about another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from daemon.settings import Settings, is_loopback, split_address

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """`at` is the key that doesn't fit, `right` what would; `needs` the keys that were compared."""

    at: Location
    right: str
    needs: tuple[Location, ...] = ()


def conflicts(settings: Settings) -> Iterator[Conflict]:
    """Everything in `settings` that contradicts something else in it."""
    for rule in _RULES:
        yield from rule(settings)


def _unique(settings: Settings) -> Iterator[Conflict]:
    arrays: tuple[tuple[Location, tuple[str, ...], str], ...] = (
        (("asterisk",), tuple(a.name for a in settings.asterisk), "name"),
        (("peer",), tuple(p.name for p in settings.peer), "name"),
        (("server",), tuple(s.name for s in settings.server), "name"),
        (("mail", "sender"), tuple(s.address.casefold() for s in settings.mail.sender), "address"),
    )
    for at, names, key in arrays:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Conflict((*at, index, key), f"a {key} that no other [[{'.'.join(map(str, at))}]] has")
    for index, peer in enumerate(settings.peer):
        if peer.name == settings.node.name:
            yield Conflict(
                ("peer", index, "name"), "the other node's name, not this node's", (("node", "name"),)
            )


def _asterisks(settings: Settings) -> Iterator[Conflict]:
    servers = {server.name: server for server in settings.server}
    for index, asterisk in enumerate(settings.asterisk):
        at = ("asterisk", index)
        server = servers.get(asterisk.host)
        if asterisk.host != "local" and server is None:
            known = ", ".join(f'"{name}"' for name in sorted(servers)) or "none is configured"
            yield Conflict((*at, "host"), f'"local" or the name of a [[server]] ({known})', (("server",),))
        elif asterisk.host != "local" and server is not None and not server.host:
            place = ("server", settings.server.index(server), "host")
            yield Conflict(
                place, f'a host, because the files of [[asterisk]] "{asterisk.name}" are fetched from it'
            )
        if asterisk.websocket == "server" and not asterisk.listen:
            yield Conflict(
                (*at, "listen"),
                'HOST:PORT to listen on, needed with websocket = "server"',
                ((*at, "websocket"),),
            )


def _cluster(settings: Settings) -> Iterator[Conflict]:
    if settings.ha.backend == "zookeeper":
        at = ("ha", "hosts")
        right = 'HOST:PORT of each ZooKeeper server separated by commas, needed with backend = "zookeeper"'
        hosts = settings.ha.hosts.split(",") if settings.ha.hosts.strip() else []
        if not hosts or any(not _is_server(host.strip()) for host in hosts):
            yield Conflict(at, right, (("ha", "backend"),))
    if not settings.ha.namespace.startswith("/") or "//" in settings.ha.namespace:
        yield Conflict(("ha", "namespace"), 'a path of ZooKeeper\'s tree, such as "/arimonitor"')
    if settings.ha.username and not _text(settings.ha.password):
        yield Conflict(("ha", "password"), "needed with ha.username", (("ha", "username"),))
    if _text(settings.ha.password) and not settings.ha.username:
        yield Conflict(("ha", "username"), "needed with ha.password", (("ha", "password"),))
    if ":" in settings.ha.username:
        yield Conflict(("ha", "username"), "a name without a colon, as ZooKeeper's digest login has it")


def _mail(settings: Settings) -> Iterator[Conflict]:
    mail = settings.mail
    if mail.inbox == "imap":
        for key, value in (("host", mail.imap.host), ("username", mail.imap.username)):
            if not value:
                yield Conflict(("mail", "imap", key), 'needed with inbox = "imap"', (("mail", "inbox"),))
    if mail.outbox == "smtp":
        for key, value in (("host", mail.smtp.host), ("from", mail.smtp.from_)):
            if not value:
                yield Conflict(("mail", "smtp", key), 'needed with outbox = "smtp"', (("mail", "outbox"),))
    servers = {server.name for server in settings.server}
    for index, sender in enumerate(mail.sender):
        for number, name in enumerate(sender.servers):
            if name not in servers:
                yield Conflict(
                    ("mail", "sender", index, "servers", number), "the name of a [[server]]", (("server",),)
                )


def _recordings(settings: Settings) -> Iterator[Conflict]:
    recordings = settings.recordings
    if recordings.audios_from == "s3" and not recordings.s3.bucket:
        yield Conflict(
            ("recordings", "s3", "bucket"), 'needed with audios_from = "s3"', (("recordings", "audios_from"),)
        )
    if recordings.mp3 == "ssh":
        hosts = {peer.name for peer in settings.peer} | {
            server.name for server in settings.server if server.host
        }
        needs: tuple[Location, ...] = (("recordings", "mp3"), ("peer",), ("server",))
        if recordings.primary not in hosts:
            yield Conflict(
                ("recordings", "primary"),
                'the name of a [[peer]] or of a [[server]] with host, for mp3 = "ssh"',
                needs,
            )
        if recordings.backup not in hosts and recordings.backup != "backup":
            yield Conflict(
                ("recordings", "backup"), "the name of a [[peer]] or of a [[server]] with host", needs
            )


def _sockets(settings: Settings) -> Iterator[Conflict]:
    host, _ = split_address(settings.manager.listen)
    if not is_loopback(host) and settings.manager.password is None:
        yield Conflict(
            ("manager", "password"),
            "needed where the console listens outside loopback",
            (("manager", "listen"),),
        )
    taken: dict[str, str] = {}
    places: list[tuple[Location, str, str]] = [
        (("manager", "listen"), settings.manager.listen, "manager.listen")
    ]
    places += [(("http", "listen", i), text, "http.listen") for i, text in enumerate(settings.http.listen)]
    places += [
        (("asterisk", i, "listen"), a.listen, f"asterisk.{a.name}.listen")
        for i, a in enumerate(settings.asterisk)
        if a.websocket == "server" and a.listen
    ]
    for at, address, name in places:
        if split_address(address)[1] and address in taken:
            yield Conflict(at, f"another address: {taken[address]} has this one")
        taken.setdefault(address, name)


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _is_server(text: str) -> bool:
    try:
        return split_address(text if ":" in text else text + ":2181")[1] > 0
    except ValueError:
        return False


_RULES: tuple[Callable[[Settings], Iterator[Conflict]], ...] = (
    _unique,
    _asterisks,
    _cluster,
    _mail,
    _recordings,
    _sockets,
)
