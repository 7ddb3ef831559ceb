"""What is left of a run when it is over: logs, ZooKeeper's writes, records, files, resources."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.standby.questions import OF_A_NODE
from tests.system.faults import zktxn
from tests.system.faults.cluster import NAMESPACE, Cluster, Node, descriptors
from tests.system.faults.history import Logged, Published, Resources, Stored, Write
from tests.system.faults.posts import bare

_LINE = re.compile(
    r'ts=(?P<ts>\S+) level=(?P<level>\S+) logger=(?P<logger>\S+) message="(?P<text>(?:[^"\\]|\\.)*)"'
    r'(?: exception="(?P<exception>(?:[^"\\]|\\.)*)")?'
)
_WORTH = re.compile(r"master|epoch|lease|takes? over|taken over|hand(s|ed)? over|switchover|deposed|standby")


def logged(node: Node, since: float) -> Iterator[Logged]:
    """The lines of a node's log that are worth keeping."""
    for line in node.daemon.log_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        at = datetime.fromisoformat(match["ts"]).timestamp()
        worth = match["level"] not in ("INFO", "DEBUG") or match["exception"] or _WORTH.search(match["text"])
        if at >= since and worth:
            yield Logged(
                at, node.name, match["level"], match["logger"], match["text"], match["exception"] or ""
            )


# -- ZooKeeper -------------------------------------------------------------------------------------
class Chronicle:
    """ZooKeeper's own history, over the lives that it had: `before_wipe` keeps what a wipe takes away."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._past: list[list[bytes]] = []

    def before_wipe(self) -> None:
        """Its servers are about to lose their data."""
        self._past.append(self._logs())

    def _logs(self) -> list[bytes]:
        base = self._cluster.zookeeper.base
        return [path.read_bytes() for path in sorted(base.glob("*/data/version-2/log.*"))]

    def writes(self) -> list[Write]:
        """Every change below the namespace so far."""
        found = []
        for life, logs in enumerate([*self._past, self._logs()]):
            for write in zktxn.writes(zktxn.merged(logs), NAMESPACE):
                found.append(_write(life, write))
        return found

    def records(self) -> list[Stored]:
        """The requests as they are in the end, and how many other nodes the tree has."""
        latest: dict[str, bytes] = {}
        for write in zktxn.writes(zktxn.merged(self._logs()), NAMESPACE):
            if _is_record(write.path):
                if write.kind == "delete":
                    latest.pop(write.path, None)
                else:
                    latest[write.path] = write.data
        return [stored for data in latest.values() if (stored := _stored(data)) is not None]

    def znodes(self) -> int:
        """How many nodes there are below the namespace, without what grows up to a bound."""
        paths: set[str] = set()
        for write in zktxn.writes(zktxn.merged(self._logs()), NAMESPACE):
            if not write.path.startswith(_GROWING):
                (paths.discard if write.kind == "delete" else paths.add)(write.path)
        return len(paths)


_GROWING = ("/req/", "/mails/", "/pub/journal/")


def _is_record(path: str) -> bool:
    return path.startswith("/req/") and path.count("/") == 3


def _write(life: int, write: zktxn.Write) -> Write:
    token, holder, state = None, "", ""
    if write.path == "/lease":
        holder = write.data.decode("utf-8", "replace")
    elif write.path == "/epoch":
        told = _json(write.data)
        token, holder = _token(told, write.version), str(told.get("node", ""))
    elif _is_record(write.path):
        told = _json(write.data)
        holder, state = str(told.get("owner", "")), str(told.get("state", ""))
        token = told.get("epoch")
    return Write(
        life,
        write.zxid,
        write.at,
        write.node,
        write.kind,
        write.path,
        write.version,
        write.checks.get("/epoch"),
        token,
        holder,
        state,
    )


def _token(told: dict[str, Any], version: int) -> int:
    """As the nodes make it: (generation << 32) | data version of /epoch."""
    token = told.get("token")
    return int(token) if token is not None else (int(told.get("generation", 0)) << 32) | version


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _stored(data: bytes) -> Stored | None:
    told = _json(data)
    asked = told.get("request")
    if not isinstance(asked, dict):
        return None
    outcome = told.get("outcome") or {}
    return Stored(
        asked["request_id"],
        bare(asked.get("message_id", "")),
        told.get("state", ""),
        told.get("owner", ""),
        told.get("kind", "request"),
        outcome.get("type", "") if isinstance(outcome, dict) else "",
    )


def records_of_file(node: Node) -> list[Stored]:
    """The same of the one-host store."""
    base = sqlite3.connect(f"file:{node.daemon.data / 'requests.sqlite'}?mode=ro", uri=True)
    try:
        rows = base.execute("SELECT body FROM records").fetchall()
    finally:
        base.close()
    return [stored for (body,) in rows if (stored := _stored(body)) is not None]


# -- files and processes ---------------------------------------------------------------------------
def published(cluster: Cluster) -> list[Published]:
    """The final files of requests on all nodes, by the notes beside them."""
    found = []
    for node in cluster.nodes.values():
        for note in sorted((node.daemon.data / "published").glob("*.json")):
            file = cluster.base / node.name / "audios" / f"{note.stem}.zip"
            if file.exists():
                request = str(_json(note.read_bytes()).get("request_id", ""))
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found.append(Published(node.name, request, file.name, digest))
    return found


def kept(node: Node) -> int:
    """Messages that wait in a node's outbox, but those about itself, which a standby keeps for a while."""
    base = sqlite3.connect(f"file:{node.daemon.data / 'outbox.sqlite'}?mode=ro", uri=True, timeout=10)
    try:
        types = ", ".join(f"'{each}'" for each in sorted(OF_A_NODE))
        (number,) = base.execute(f"SELECT count(*) FROM messages WHERE type NOT IN ({types})").fetchone()
    finally:
        base.close()
    return int(number)


def resources(node: Node, when: str) -> Resources:
    """A node's process as it is now; its status was just asked for."""
    status, pid = node.status, node.daemon.pid
    threads = re.search(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    queue = status.get("queue") or {}
    down = [s["name"] for s in status.get("services", ()) if s["state"] not in ("running", "starting")]
    return Resources(
        node.name,
        str(status.get("role", "")),
        when,  # type: ignore[arg-type]
        pid,
        descriptors(pid),
        int(threads[1]) if threads else 0,
        memory=node.daemon.memory(),
        outbox=kept(node),
        queue=int(queue.get("pending", 0)) + int(queue.get("processing", 0)),
        services_down=tuple(down),
    )
