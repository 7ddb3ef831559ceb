"""The tables that the call monitor itself needs: node, ha, asterisk, mq, manager, log, http. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import SecretStr

from daemon.settings.base import (
    Address,
    Folder,
    Host,
    Name,
    Number,
    OptionalAddress,
    OptionalPath,
    Port,
    Secret,
    Section,
    Switch,
    Text,
    Timezone,
    Upper,
    Url,
    Whole,
    live,
    restart,
)

DATA_DIR = Path("/var/lib/arimonitor")


class NodeSettings(Section):
    """[node]: this node among the nodes."""

    name: Name = restart("node", "unique among the nodes; unset: the machine's host name")
    mode: Literal["auto", "master", "slave"] = restart(
        "auto", "auto: elected; master: takes the lease whenever it is free; slave: never asks for it"
    )
    priority: Whole = restart(100, "when the lease is free the higher asks first", ge=0, le=1_000_000)
    shadow: Switch = restart(False, "true: watches and tracks, but publishes, answers and changes nothing")
    data_dir: Folder = restart(
        DATA_DIR, "outbox, queue, index; unset and not root: ~/.local/state/arimonitor"
    )
    timezone: Timezone = restart("America/Sao_Paulo", "of dates in subjects, file names, mails and messages")
    language: Literal["pt_BR", "en"] = live("pt_BR", "of mails")


class HaSettings(Section):
    """[ha]: how the nodes elect a master."""

    backend: Literal["zookeeper", "file"] = restart("file", "zookeeper, or file: one host, a lock file")
    hosts: Text = restart("", "ZooKeeper servers, HOST:PORT separated by commas")
    namespace: Text = restart("/arimonitor", "the node of ZooKeeper's tree under which everything is kept")
    session_timeout: Number = restart(
        4.0, "seconds without ZooKeeper after which the lease is lost", ge=1, le=60
    )
    username: Text = restart(
        "", "digest login to ZooKeeper, the same on all nodes; unset: no login, open ACLs"
    )
    password: Secret = restart(None, "of that user")
    takeover_after: Number = restart(
        10.0, "seconds a node must be away before its unfinished requests are taken over", ge=1, le=86_400
    )


class AsteriskSettings(Section):
    """[[asterisk]]: one Asterisk that is watched."""

    name: Name = restart(
        ..., "in messages, console and logs; an Asterisk and a [[server]] of one name are one machine"
    )
    url: Url = live(
        "http://127.0.0.1:8088", "of its HTTP server, with the prefix if it has one; a change reconnects"
    )
    username: Text = live("arimonitor", "the user of ari.conf; a change reconnects", min_length=1)
    password: Secret = live(None, "of that user; a change reconnects")
    app: Name = restart("arimonitor", "the application's name; the node's name is appended")
    websocket: Literal["client", "server"] = restart(
        "client",
        "client: we connect; server: Asterisk 22 connects to `listen` and queues events while we are away",
    )
    listen: OptionalAddress = restart("", 'HOST:PORT to listen on with websocket = "server"')
    subscribe: Literal["sources", "all"] = live(
        "sources", "sources: channel:, bridge:, endpoint:; all: subscribeAll=true; a change reconnects"
    )
    watch: Literal["both", "this"] = restart(
        "both", "both: every node watches it, the master publishes; this: only this node reaches it"
    )
    host: Name = restart(
        "local", "where its files are: local, or the name of a [[server]] to fetch them from over SSH"
    )
    definitions: Folder = restart(
        Path("/etc/asterisk"), "folder of __CLIENTES__.DEF, endpoints_pjsip.def, __MQSERVERS__.DEF"
    )
    recordings: OptionalPath = restart(
        Path("/var/spool/asterisk/monitor"), 'folder of its recordings; "": it has none'
    )
    cdr: OptionalPath = restart(
        Path("/var/log/asterisk/cdr-csv/Master.csv"), 'finds calls missed entirely; "": the site keeps none'
    )
    ami: OptionalAddress = live(
        "", 'HOST:PORT of its manager interface: tells where phones are registered from; "": none'
    )
    ami_username: Text = live("arimonitor", "the user of manager.conf", min_length=1)
    ami_password: Secret = live(None, "the secret of that user")
    connect_timeout: Number = live(5.0, "seconds for a connection and its handshake", gt=0, le=120)
    request_timeout: Number = live(5.0, "seconds for one REST request", gt=0, le=120)
    ping_interval: Number = live(
        10.0, "seconds of silence before a ping; as many again without an answer and it is lost", gt=0, le=600
    )


class MqSettings(Section):
    """[mq]: where the messages go."""

    backend: Literal["rabbitmq", "file"] = restart("file", "rabbitmq, or file: JSON Lines in data_dir")
    host: Host = restart("127.0.0.1", "of RabbitMQ", min_length=1)
    port: Port = restart(5672, "of RabbitMQ; with tls usually 5671")
    vhost: Text = restart("/", "virtual host")
    username: Text = restart("guest", "RabbitMQ lets guest in from its own machine only")
    password: Secret = restart(SecretStr("guest"), "of that user")
    tls: Switch = restart(False, "encrypted, and the server's certificate is checked")
    ca_file: OptionalPath = restart(None, "certificates that are trusted; unset: the system's")
    exchange: Text = restart("arimonitor.calls", "topic exchange, declared passively first", min_length=1)
    queue: Text = restart(
        "", "a durable queue to bind to everything of the exchange; unset: the consumers bind theirs"
    )
    clicktocall_queue: Text = restart(
        "arimonitor.clicktocall", "click to call requests are read from it", min_length=1
    )
    clicktocall_dead: Text = restart(
        "arimonitor.clicktocall.dead", "what is no usable request goes there", min_length=1
    )
    message_format: Literal["v3", "v2.7"] = restart("v3", "v3, or v2.7 for consumers of the old system")
    window: Whole = restart(500, "messages on their way without a confirm yet", ge=1, le=100_000)
    heartbeat: Whole = restart(10, "seconds; a dead connection is noticed after two or three", ge=2, le=600)
    connect_timeout: Number = restart(5.0, "seconds for a connection and its handshake", gt=0, le=120)
    blocked_timeout: Number = restart(
        600.0, "seconds a broker may block (memory alarm) before we reconnect", gt=0, le=3600
    )


class ManagerSettings(Section):
    """[manager]: the console's port."""

    listen: Address = restart("127.0.0.1:1101", "HOST:PORT of the console")
    password: Secret = restart(None, "needed outside loopback, and on the web page for what changes state")
    max_connections: Whole = restart(32, "sessions at a time", ge=1, le=1000)


class LogSettings(Section):
    """[log]: the log files."""

    dir: Folder = restart(Path("/var/log/arimonitor"), "folder; unset and not root: log in data_dir")
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = live(
        "INFO", "the least that is written"
    )
    format: Literal["text", "json"] = restart("text", "text: key=value; json: one JSON object a line")
    keep_days: Whole = live(30, "files older than so many days are deleted; 0: never", ge=0, le=36_500)
    debug: Switch = live(False, "true: every decision is written, and the JSON of every event")
    debug_verbose: Switch = live(False, "true: what the libraries say too")


class HttpSettings(Section):
    """[http]: the web page, health and metrics."""

    listen: tuple[Address, ...] = restart(
        ("127.0.0.1:8080", "127.0.0.1:8081"), "HOST:PORT to serve on; []: not at all"
    )
