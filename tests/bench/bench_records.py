"""What a request costs in ZooKeeper: writes from the mail to its end, their milliseconds, reading them all.

Three servers on this machine, without fsync (what a disk adds is the disk's). The yardstick of the
milliseconds is as many plain changes of a node of the same size.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.bench.report import ROOT, Row, Unavailable, aim
from tests.servers.zookeeper import Ensemble, unavailable_reason

REQUESTS = 200
MAILS = 20
KNOWN = 5000
AIM_WRITES = 8.0


def part() -> list[Row]:
    """The rows of this part."""
    if (reason := unavailable_reason()) is not None:
        raise Unavailable(reason)
    with Ensemble(3) as zookeeper, tempfile.TemporaryDirectory(prefix="arimonitor-bench-records-") as folder:
        argv = [sys.executable, "-m", "tests.bench.bench_records", zookeeper.hosts, folder]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    found = json.loads(done.stdout.splitlines()[-1])
    steps, plain = found["steps_ms"], found["plain_ms"]
    return [
        aim(
            "one request, mail to done: writes to ZooKeeper (a multi is one)",
            f"{found['writes']:.1f}",
            reached=found["writes"] <= AIM_WRITES,
            ratio="",
            against=f"aim {AIM_WRITES:g}",
        ),
        Row(
            "the same, its writes one after another, median",
            f"{steps:.1f} ms",
            f"{steps / plain:.1f}x",
            f"{found['steps']} plain changes {plain:.1f} ms",
        ),
        Row("of these the slowest hundredth", f"{found['slow_ms']:.1f} ms"),
        Row(f"{KNOWN} records read at the start", f"{found['load_s']:.2f} s"),
        Row("one record: bytes in ZooKeeper", f"{found['bytes']:.0f}"),
    ]


def _measure(hosts: str, folder: Path) -> dict[str, float]:
    from tests.integration.record_beds import ZooKeeperBed

    bed = ZooKeeperBed(hosts, "/bench", folder).begin()
    try:
        return {**_steps(bed), **_load(bed), **_mails(bed, folder)}
    finally:
        bed.close()


def _steps(bed: object) -> dict[str, float]:
    """Each write of a request, by the store alone."""
    from daemon.jobs import policy
    from daemon.jobs.model import NothingFound, Record
    from ha.claims import Claims
    from tests.integration.record_beds import ZooKeeperBed
    from tests.integration.test_records import record

    assert isinstance(bed, ZooKeeperBed)
    store, tree = bed.open(), bed.tree()
    chain: list[Callable[[Record], Record]] = [
        lambda r: policy.assigned(r, "AUDIO", time.time()),
        lambda r: policy.running(r, "AUDIO", time.time()),
        lambda r: policy.produced(r, NothingFound(), time.time()),
        lambda r: policy.replying(r, time.time()),
        lambda r: policy.replied(r, time.time()),
        lambda r: policy.finished(r, time.time()),
    ]
    took = []
    for number in range(REQUESTS):
        began = time.perf_counter()
        store.attempt(f"1.{number}")
        now = record(bed.epoch, f"steps-{number}", uid=f"1.{number}", changed_at=time.time())
        store.create(now)
        for step in chain:
            now = store.change(step(now), now.version)
        took.append((time.perf_counter() - began) * 1000)
    data = msgspec.json.encode(now)
    plain, claims = [], Claims(tree, "/plain")
    claims.create("one", data)
    version = 0
    for _ in range(REQUESTS):
        began = time.perf_counter()
        for _step in range(len(chain) + 2):
            version = claims.change("one", data, version)
        plain.append((time.perf_counter() - began) * 1000)
    return {
        "steps": len(chain) + 2,
        "steps_ms": statistics.median(took),
        "slow_ms": sorted(took)[int(len(took) * 0.99)],
        "plain_ms": statistics.median(plain),
        "bytes": len(data),
    }


def _mails(bed: object, folder: Path) -> dict[str, float]:
    """Mails into a maildir, to their end, by the real services; what was asked of ZooKeeper meanwhile."""
    from tests.integration.node_parts import Cluster, Lease, NodeParts, put, reading
    from tests.integration.record_beds import ZooKeeperBed
    from tests.servers.waiting import wait_until

    assert isinstance(bed, ZooKeeperBed)
    store = bed.open("AUDIO")
    claims, tries = bed.claims, bed.tries
    for number in range(1500):  # all of the 256 folders are there, as after some days
        store.attempt(f"2.{number}")
        store.attempted(f"2.{number}")
    node = NodeParts("AUDIO", folder / "node", store, Cluster(AUDIO=("audio",)), lease=Lease(bed.epoch))
    inbox = folder / "inbox"
    with reading(node, inbox):
        put(inbox, "first")
        before = store.counts()["done"]
        wait_until(lambda: store.counts()["done"] > before, "the first is done")
        writes = claims.writes + tries.writes
        for number in range(MAILS):
            put(inbox, f"m{number}")
        wait_until(lambda: store.counts()["done"] > before + MAILS, "all are done")
        return {"writes": (claims.writes + tries.writes - writes) / MAILS}


def _load(bed: object) -> dict[str, float]:
    """A node that starts: all records into its copy."""
    from tests.integration.record_beds import ZooKeeperBed
    from tests.integration.test_records import record

    assert isinstance(bed, ZooKeeperBed)
    store = bed.open()
    for number in range(KNOWN - REQUESTS):
        store.create(record(bed.epoch, f"known-{number}", state="done", changed_at=time.time()))
    began = time.perf_counter()
    bed.open()
    return {"load_s": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
