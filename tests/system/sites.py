"""Small sites: Asterisks, fake and real, and a daemon with the file sink."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.servers.asterisk.ari import PASSWORD, USER
from tests.servers.asterisk.outbound import OutboundAsterisk
from tests.servers.asterisk.server import Asterisk
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.waiting import DEADLINE, wait_until


def asterisk(fake: FakeAri, name: str = "voip3", **other: Any) -> dict[str, Any]:
    """The [[asterisk]] of a fake."""
    return {
        "name": name,
        "url": fake.url,
        "username": fake.username,
        "password": fake.password,
        **other,
    }


def real(server: Asterisk, name: str = "voip3", **other: Any) -> dict[str, Any]:
    """The [[asterisk]] of a real one."""
    return {
        "name": name,
        "url": server.url,
        "username": USER,
        "password": PASSWORD,
        "cdr": str(server.home / "var/log/asterisk/cdr-csv/Master.csv"),
        **other,
    }


def connecting(server: OutboundAsterisk, port: int, name: str = "voip3", **other: Any) -> dict[str, Any]:
    """The [[asterisk]] of a real one that connects to this port of ours."""
    return {
        "name": name,
        "websocket": "server",
        "listen": f"127.0.0.1:{port}",
        "username": server.username,
        "password": server.password,
        "cdr": str(server.home / "var/log/asterisk/cdr-csv/Master.csv"),
        **other,
    }


def config(asterisks: Iterable[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """One node on the file sink."""
    return {"node": {"name": "AUDIO"}, "asterisk": list(asterisks), "mq": {"backend": "file"}, **other}


def told(daemon: ArimonitorDaemon, server: str = "voip3") -> dict[tuple[str, str], dict[str, Any]]:
    """(call, type) -> body of everything about calls in the file sink; no fact may be there twice."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    ids = set()
    for line in daemon.messages():
        body = line["body"]
        if body["operation"]["server"] == server and "call" in body["data"]:
            key = (body["data"]["call"], line["type"])
            assert key not in found, f"{key} is there twice"
            assert line["message_id"] not in ids
            ids.add(line["message_id"])
            found[key] = body
    return found


def gaps(daemon: ArimonitorDaemon) -> list[dict[str, Any]]:
    """The data of each monitor-gap in the file sink."""
    return [line["body"]["data"] for line in daemon.messages() if line["type"] == "monitor-gap"]


def has_told(
    daemon: ArimonitorDaemon, expected: set[tuple[str, str]], server: str = "voip3", seconds: float = DEADLINE
) -> None:
    """Wait until exactly this is in the file sink."""
    wait_until(lambda: expected <= told(daemon, server).keys(), f"{len(expected)} messages", seconds)
    assert told(daemon, server).keys() == expected


def folder(path: Path) -> Path:
    """A folder, made."""
    path.mkdir(parents=True, exist_ok=True)
    return path
