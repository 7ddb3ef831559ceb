"""All figures of the product, as ratios to a yardstick of the same run.

python -m tests.bench [PART ...]
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

from tests.bench.report import Row, Unavailable, machine, table

PARTS = {
    "pipeline": "From the socket to the committed outbox",
    "publish": "From the outbox to RabbitMQ's confirm",
    "latency": "Latency: from the event's arrival to the confirm, with a real Asterisk 22 and RabbitMQ",
    "memory": "Memory of the daemon",
    "restart": "After a restart of Asterisk: its first event",
    "reconcile": "After a gap: 500 live calls, a real Asterisk 22",
    "endpoints": "A look at all endpoints of a real Asterisk 22",
    "queued": "Asterisk 22's outbound websocket: what it queued while nobody listened",
    "recordings": "Recordings: search, index, MP3, ZIP",
    "sftp": "Files between hosts: put and get of 200 MB over SSH",
    "requests": "Requests by mail: from the mail to the answer",
    "records": "A request's records in ZooKeeper",
    "ha": "One of two, with nothing to do",
}


def main() -> int:
    """Run the parts that are named, or all; print one table."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("part", nargs="*", help=", ".join(PARTS))
    chosen = options.parse_args().part or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        options.error(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    where = machine()
    began = time.monotonic()
    rows: list[Row] = []
    try:
        for name in chosen:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows.append(Row(f"== {PARTS[name]}"))
            try:
                rows += importlib.import_module(f"tests.bench.bench_{name}").part()
            except (Unavailable, subprocess.SubprocessError, AssertionError, RuntimeError, OSError) as error:
                rows.append(Row(f"not run: {type(error).__name__}: {str(error)[:300]}"))
    finally:  # also of a run that broke off: what was measured so far
        print(f"On {where}.\nBelieve the ratios; other work on the machine moves all figures.\n")
        print(table(rows))
        print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
