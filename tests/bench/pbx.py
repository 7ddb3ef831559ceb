"""What the parts with a real Asterisk share: the server, a daemon that watches it, what its log tells."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from tests.bench.report import Unavailable, definitions
from tests.servers.asterisk.ari import PASSWORD, USER
from tests.servers.asterisk.load import LoadFailed, load
from tests.servers.asterisk.server import Asterisk, root_for
from tests.servers.asterisk.server import Unavailable as NoAsterisk
from tests.servers.daemon import ArimonitorDaemon

SERVER = "voip3"
Kind = TypeVar("Kind", bound=Asterisk)
_RTP_PORTS = 4000  # of 1,000 legs; more than the slot's own, which Asterisk tries one by one
_STAMP = re.compile(r"^ts=(\S+) ")


@contextmanager
def asterisk(kind: type[Kind], version: str = "22") -> Iterator[Kind]:
    """An Asterisk of its own, not started. Unavailable where there can be none."""
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name:
        try:
            server = kind(root_for(version), Path(name), version)
        except NoAsterisk as reason:
            raise Unavailable(f"no Asterisk {version}: {reason}") from reason
        try:
            yield server
        finally:
            server.close()


def site(server: Asterisk, folder: Path, name: str, **other: Any) -> ArimonitorDaemon:
    """A daemon, not started, on the file sink; `other` belongs into its [[asterisk]]. One folder for each."""
    place = folder / name
    place.mkdir()
    return ArimonitorDaemon(
        place,
        {
            "node": {"name": name},
            "mq": {"backend": "file"},
            "asterisk": [
                {
                    "name": SERVER,
                    "username": USER,
                    "password": PASSWORD,
                    "definitions": definitions(place),
                    "recordings": "",
                    "cdr": str(server.home / "var/log/asterisk/cdr-csv/Master.csv"),
                    **({} if "websocket" in other else {"url": server.url}),
                    **other,
                }
            ],
        },
    )


def many_ports(server: Asterisk) -> None:
    """Let it have as many calls as it likes; before its start, after its configuration."""
    config = server.home / "etc/asterisk/rtp.conf"
    text = config.read_text()
    first = int(re.findall(r"(?m)^rtpstart = (\d+)$", text)[0])
    config.write_text(re.sub(r"(?m)^rtpend = \d+$", f"rtpend = {first + _RTP_PORTS}", text))


@contextmanager
def talking(server: Asterisk, calls: int, rate: float) -> Iterator[None]:
    """So many calls going on, two legs each; hung up at the end."""
    thread = threading.Thread(target=_load, args=(server, calls, rate), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.cli("channel request hangup all")
        thread.join(60)


def _load(server: Asterisk, calls: int, rate: float) -> None:
    try:
        load(server, calls, rate, talk=120.0)
    except LoadFailed:
        return  # SIPp did not expect to be hung up on; what is measured is what there was until then


def logged(daemon: ArimonitorDaemon, text: str) -> float:
    """When the last line with this text was logged, in seconds since the epoch."""
    lines = [line for line in daemon.log_text().splitlines() if text in line]
    found = _STAMP.match(lines[-1]) if lines else None
    if found is None:
        raise RuntimeError(f"the log does not say {text!r}")
    return datetime.fromisoformat(found[1]).timestamp()


def lag(numbers: Mapping[str, float]) -> str:
    """The hub's lag over the daemon's last minute, from its `stats`."""
    return f"hub lag p99 {numbers['hub.p99_ms']:.1f} max {numbers['hub.max_ms']:.1f} ms"
