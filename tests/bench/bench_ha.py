"""What it costs to be one of two: CPU time of daemons that have nothing to do.

    python -m tests.bench ha

Three daemons at one time, with an Asterisk that says nothing: one alone on its lock file (the yardstick), and
the two nodes of a cluster with three ZooKeepers and a session of 4 s. What the two need more is the lease,
the board, the records' copies, the journal of what is published, and looking for the other's questions.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.report import Row, Unavailable, aim, cpu_seconds, definitions
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.fake_ari import FakeAri
from tests.servers.waiting import wait_until
from tests.servers.zookeeper import Ensemble, unavailable_reason
from tests.system.sites import asterisk

SETTLE, SECONDS = 15.0, 60.0
AIM = 0.01  # of a core


def part() -> list[Row]:
    """The rows of this part."""
    if (reason := unavailable_reason()) is not None:
        raise Unavailable(reason)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arimonitor-bench-ha-")))
        ensemble = stack.enter_context(Ensemble(3))
        fake = stack.enter_context(FakeAri())
        nodes = {name: _daemon(folder / name, name, fake, ensemble) for name in ("ALONE", "AUDIO", "AUDIO2")}
        for node in nodes.values():
            stack.enter_context(node)
            node.wait_for(lambda status: status["asterisk"][0]["connected"], "it hears the Asterisk")
        cluster = [node for name, node in nodes.items() if name != "ALONE"]
        roles = wait_until(lambda: _roles(cluster), "one of the two is master")
        time.sleep(SETTLE)
        before = {name: cpu_seconds(node.pid) for name, node in nodes.items()}
        time.sleep(SECONDS)
        share = {name: (cpu_seconds(node.pid) - before[name]) / SECONDS for name, node in nodes.items()}
    alone = share["ALONE"]
    rows = [Row("a daemon alone, idle: CPU", f"{alone:.2%} of a core", "", "the yardstick")]
    for role in ("master", "slave"):
        used = share[roles[role]]
        rows.append(
            aim(
                f"the {role} of two, idle: CPU",
                f"{used:.2%} of a core",
                reached=used - alone < AIM,
                ratio=f"{used / alone:.1f}x",
                against=f"{used - alone:.2%} more; aim: below {AIM:.0%}",
            )
        )
    return rows


def _roles(nodes: list[ArimonitorDaemon]) -> dict[str, str]:
    found = {status["role"]: status["node"] for status in (node.status() for node in nodes)}
    return found if len(found) == len(nodes) else {}


def _daemon(folder: Path, name: str, fake: FakeAri, ensemble: Ensemble) -> ArimonitorDaemon:
    folder.mkdir()
    heard = asterisk(fake, app=f"mon-{name}", definitions=definitions(folder), recordings="", cdr="")
    two: dict[str, Any] = {"backend": "zookeeper", "hosts": ensemble.hosts, "session_timeout": 4.0}
    return ArimonitorDaemon(
        folder,
        {
            "node": {"name": name},
            "ha": {"backend": "file"} if name == "ALONE" else two,
            "asterisk": [heard],
        },
    )
