"""Two hosts with everything around them: real daemons, real servers, each on a host of its own.

    audio    daemon AUDIO, ZooKeeper 1, sshd       mail      Dovecot, Postfix
    audio2   daemon AUDIO2, ZooKeeper 2, sshd      broker    RabbitMQ
    witness  ZooKeeper 3                           asterisk  recorded calls (exchange.py)

The witness has the highest number, so that it leads where nothing else decides. `Kind(nodes=("AUDIO",))`
is one host on the lock file: what the runner itself is tried on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.servers import dovecot, hosts, postfix, rabbitmq, sshd, zookeeper
from tests.servers.daemon import REPOSITORY, ArimonitorDaemon
from tests.servers.dovecot import Dovecot
from tests.servers.hosts import Host, Hosts
from tests.servers.lifetime import Lifetime
from tests.servers.mails import ADMIN, recordings
from tests.servers.postfix import Postfix
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, Place
from tests.system.consumer import Mailbox
from tests.system.faults.exchange import Exchange, Source
from tests.system.faults.posts import SENDERS, user_of
from tests.system.faults.real_asterisk import RealAsterisk
from tests.system.faults.systemd_hosts import ServiceDaemon

BOTH = ("AUDIO", "AUDIO2")
NAMESPACE = "/arimonitor"
SESSION = 4.0  # seconds
_ZOOKEEPER = (2181, 2888, 3888)  # ports in namespaces that are our own
_LINK_KEY = "f" * 64
_SMALL = "300m"
_BLIND_CLOCK = REPOSITORY / "tests/system/faults/blind_clock.py"
_WRONG_CLOCK = REPOSITORY / "tests/system/faults/wrong_clock.py"


def unavailable_reason() -> str | None:
    """Why there can be no cluster here; None where there can."""
    reasons = (part.unavailable_reason() for part in (hosts, zookeeper, rabbitmq, dovecot, postfix, sshd))
    return next(filter(None, reasons), None)


@dataclass
class Node:
    """A daemon with what else is on its host. `expected`: it is meant to run just now."""

    name: str
    host: Host
    daemon: ArimonitorDaemon
    ssh: Sshd
    expected: bool = True
    frozen: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        process = self.daemon.process
        return process is not None and process.poll() is None


@dataclass(frozen=True)
class Kind:
    """What a cluster is made of. `tree`: the product's packages that its daemons run from.

    `clocks`: "blind" (blind_clock.py) or "wrong" ones (wrong_clock.py, moved by `shift`). `disks`: "small"
    ones for the daemons' data, which can be filled. `hosts`: "systemd" runs the two hosts (systemd_hosts.py).
    `asterisk`: "real" is one with phones (real_asterisk.py), else recorded calls are played.
    `failpoints`: "armed" ones, so that a daemon can be told where to die.
    """

    nodes: tuple[str, ...] = BOTH
    tree: Path = REPOSITORY
    clocks: str = ""
    disks: str = ""
    hosts: str = ""
    asterisk: str = ""
    failpoints: str = ""


class Cluster(Lifetime):
    """All of it, within a `with`."""

    def __init__(self, kind: Kind | None = None) -> None:
        self.kind = kind or Kind()
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-cluster-"))
        self.base.chmod(0o755)
        self.names = self.kind.nodes
        self.hosts = Hosts("audio", "audio2", "witness", "mail", "broker", "asterisk")
        self.nodes: dict[str, Node] = {}
        self.mails = 0  # delivered since it began; senders may send so many an hour
        self.last_master = ""
        self._stack = ExitStack()

    # -- its life ------------------------------------------------------------------
    def start(self) -> Self:
        """Everything runs, and there is a master."""
        self._stack.enter_context(self.hosts)
        self.hosts.enter()
        mail = self.hosts["mail"]
        self.zookeeper = Ensemble(places=[self._place(name) for name in ("audio", "audio2", "witness")])
        self.broker = RabbitMQ(at=self.hosts["broker"])
        self.imap = Dovecot(at=mail)
        self.smtp = Postfix(self.imap, at=mail)
        self.ssh = {name: Sshd(at=self.hosts[name.lower()]) for name in self.names}
        with (self.imap.base / "users").open("a") as users:
            users.writelines(f"{user_of(each)}:{{PLAIN}}x\n" for each in (ADMIN, *SENDERS))
        servers: list[Lifetime] = [self.broker, self.imap, self.smtp, *self.ssh.values()]
        if len(self.names) > 1:
            servers.append(self.zookeeper)
        for server in servers:
            self._stack.callback(server.close)
        source = RealAsterisk if self.kind.asterisk == "real" else Exchange
        self.calls: Source = self._stack.enter_context(source(self.hosts["asterisk"]))
        at_once(*(server.start for server in servers))
        self.mailbox = Mailbox(self.broker, bind="")
        with self.broker.connect() as connection:
            channel = connection.channel()
            channel.queue_declare(self.mailbox.queue, durable=True)
            for name in self.names:
                channel.exchange_declare(self.exchange(name), "topic", durable=True)
                channel.queue_bind(self.mailbox.queue, self.exchange(name), "call.#")
        for name in self.names:
            self.nodes[name] = self._node(name)
        at_once(*(node.daemon.start for node in self.nodes.values()))
        self.ready()
        return self

    def close(self) -> None:
        """End everything; nothing is left."""
        self._stack.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def ready(self, seconds: float = 60.0) -> None:
        """Wait until every node is connected to everything and one of them is the master."""
        wait_until(self.sound, "all nodes are connected, one of them is master", seconds, every=0.1)

    def sound(self) -> bool:
        """Whether all nodes are connected to everything and agree on the master."""
        words = [self.ask(node) for node in self.nodes.values()]
        return (
            all(words)
            and sum(word["role"] == "master" for word in words) == 1
            and len({word["ha"]["master"] for word in words}) == 1
            and all(each["connected"] for word in words for each in (*word["asterisk"], word["ha"]))
            # The standby has no connection to the broker.
            and all(each["connected"] or each.get("standby") for word in words for each in word["brokers"])
        )

    # -- who is who ----------------------------------------------------------------
    def ask(self, node: Node) -> dict[str, Any]:
        """A node's status; {} where it does not answer within a moment."""
        if node.alive and not node.frozen:
            with suppress(OSError, ValueError, KeyError):
                status = node.daemon.status()
                node.status = status
                return status
        return {}

    def master(self) -> Node:
        """Who is master now; where nobody says so, who was it last."""
        words = {node.name: self.ask(node) for node in self.nodes.values()}
        masters = [name for name, word in words.items() if word.get("role") == "master"]
        if masters:
            self.last_master = max(masters, key=lambda name: int(words[name]["epoch"]))
        return self.nodes[self.last_master or self.names[0]]

    def standby(self) -> Node:
        """The other."""
        master = self.master()
        return next((node for node in self.nodes.values() if node is not master), master)

    def zookeepers(self) -> dict[str, zookeeper.Server]:
        """The servers by host."""
        return dict(zip(("audio", "audio2", "witness"), self.zookeeper.servers, strict=True))

    def leader(self) -> str:
        """The host of ZooKeeper's leader; "" where there is none."""
        return next((name for name in self.zookeepers() if self.mode(name) == "leader"), "")

    def mode(self, host: str) -> str:
        """What ZooKeeper on that host says it is, asked from there; "" where it serves nobody."""
        answer = b""
        with (
            suppress(OSError),
            self.hosts[host].connect((self.hosts[host].address, _ZOOKEEPER[0]), 1.0) as link,
        ):
            link.sendall(b"srvr")
            while piece := link.recv(65536):
                answer += piece
        _, found, rest = answer.decode().partition("Mode: ")
        return rest.split()[0] if found else ""

    # -- what it is made of ----------------------------------------------------------
    def _place(self, name: str) -> Place:
        return Place(self.hosts[name].address, *_ZOOKEEPER, self.hosts[name].prefix)

    def _node(self, name: str) -> Node:
        host = self.hosts[name.lower()]
        if self.kind.hosts == "systemd":
            readable = (self.imap.base, self.smtp.base, *(ssh.base for ssh in self.ssh.values()))
            service = ServiceDaemon(self.base / name, self.settings(name), host, readable)
            self._stack.callback(service.booted.close)
            return Node(name, host, service, self.ssh[name])
        launchers = {"blind": (str(_BLIND_CLOCK),), "wrong": (str(_WRONG_CLOCK),)}
        launcher = launchers.get(self.kind.clocks, ("-m", "daemon"))
        made = ArimonitorDaemon(
            self.base / name, self.settings(name), at=host, tree=self.kind.tree, launcher=launcher
        )
        self._stack.callback(made.kill)
        if self.kind.failpoints == "armed":
            self.failpoint(name).write_text("")
            made.environ["ARIMONITOR_TEST_FAILPOINTS"] = "1"
            made.environ["ARIMONITOR_FAILPOINT"] = f"@{self.failpoint(name)}"
        if self.kind.clocks == "wrong":
            made.environ["ARIMONITOR_TEST_CLOCK"] = str(self.base / f"{name}.clock")
            self.shift(name, 0.0)
        if self.kind.disks == "small":
            made.data.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "tmpfs", str(made.data)]
            subprocess.run(mount, check=True, timeout=30)
            self._stack.callback(subprocess.run, ["umount", "-l", str(made.data)], check=True, timeout=30)
        return Node(name, host, made, self.ssh[name])

    def exchange(self, name: str) -> str:
        """A node's own, by which the consumer knows who published: a message says only who saw the fact."""
        return f"{self.mailbox.exchange}.{name}"

    def failpoint(self, name: str) -> Path:
        """The file that names the point at which a node's daemon dies next."""
        return self.base / f"{name}.failpoint"

    def shift(self, name: str, by: float) -> None:
        """The wall clock of a node is wrong by so many seconds from now on."""
        told = self.base / f"{name}.clock.new"
        told.write_text(f"{by}")
        told.rename(self.base / f"{name}.clock")

    def settings(self, name: str) -> dict[str, Any]:
        """The tables of a node's configuration."""
        place = self.base / name
        access = {"host": self.imap.host, "username": self.imap.username, "password": self.imap.password}
        tables: dict[str, Any] = {
            "node": {"name": name, "priority": 110 if name == "AUDIO2" else 100},
            "ha": {"backend": "file"},
            "asterisk": [
                {
                    "name": "voip3",
                    **self.calls.settings,
                    "definitions": str(REPOSITORY / "daemon/lab/definitions"),
                    "recordings": "",
                    "cdr": "",
                    "ping_interval": 2.0,
                    "connect_timeout": 2.0,
                    "request_timeout": 2.0,
                }
            ],
            "mq": self.mailbox.mq(exchange=self.exchange(name), heartbeat=4, connect_timeout=2.0),
            "mail": {
                "inbox": "imap",
                "outbox": "smtp",
                "admin": ADMIN,
                "whitelist": ["@example.com"],
                "confirmation": 86_400,
                "require_token": "never",
                "alerts": False,
            },
            "mail.imap": {**access, "port": self.imap.port, "ca_file": str(self.imap.ca), "timeout": 5.0},
            "mail.smtp": {
                **access,
                "port": self.smtp.port,
                "ca_file": str(self.smtp.ca),
                "from": "monitor@example.com",
                "timeout": 5.0,
            },
            "recordings": {
                "roots": [str(recordings(place / "recordings"))],
                "publish_dir": str(place / "audios"),
                "public_url": "https://audio.example.com/audios",
                "link_key": _LINK_KEY,
            },
        }
        if len(self.names) > 1:
            tables["ha"] = {
                "backend": "zookeeper",
                "hosts": self.zookeeper.hosts,
                "namespace": NAMESPACE,
                "session_timeout": SESSION,
            }
            tables["peer"] = [self._peer(other) for other in self.names if other != name]
        return tables

    def _peer(self, name: str) -> dict[str, Any]:
        ssh, place = self.ssh[name], self.base / name
        known = {key: value for key, value in ssh.settings(name).items() if key != "name"}
        return {
            "name": name,
            **known,
            "audios_from": "audio",
            "queue_dir": str(place / "data" / "queue"),
            "publish_dir": str(place / "audios"),
        }


def at_once(*functions: Callable[[], object]) -> None:
    """Run all of them beside one another; raise what one of them raised."""
    with ThreadPoolExecutor(max(1, len(functions))) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result()


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
