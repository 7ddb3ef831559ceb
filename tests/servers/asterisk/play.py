"""Play scenarios against an Asterisk of the tests and record them.

    python -m tests.servers.asterisk.play list
    python -m tests.servers.asterisk.play record --version 22 --out DIR NAME... | all
    python -m tests.servers.asterisk.play serve --version 22       (until Ctrl-C)

The root directory is the cached one (built when missing), or --root.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from . import scenarios_basic, scenarios_pickup, scenarios_queue, scenarios_transfer, scenarios_various  # noqa: F401
from .bed import SCENARIOS, STORY_FAILURES, Bed, log
from .roots import root_for
from .server import Asterisk
from .summary import summary


def record(server: Asterisk, work: Path, out: Path, names: list[str]) -> list[str]:
    """Record the scenarios; the names of those that did not go as told."""
    bed = Bed(server, work)
    failed = []
    for name in names:
        began = time.monotonic()
        log(f"{name}: {SCENARIOS[name].story}")
        try:
            SCENARIOS[name].record(bed, out)
        except STORY_FAILURES:
            failed.append(name)
            log(f"  FAILED {traceback.format_exc(limit=-4)}")
        else:
            log(summary(out, name) + f"\n  {time.monotonic() - began:.1f} s")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("list", "record", "serve"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--version", choices=("22", "16"), default="22")
    parser.add_argument("--root", type=Path, help="a root directory built by bootstrap")
    parser.add_argument("--work", type=Path, help="where the copy of the root goes (same file system)")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_intermixed_args()
    if options.what == "list":
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:28} {scenario.story}")
        return 0
    names = [s.name for s in SCENARIOS.values() if s.calls] if options.names == ["all"] else options.names
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as work, contextlib.ExitStack() as stack:
        server = Asterisk(options.root or root_for(options.version), Path(work), options.version)
        stack.callback(server.close)
        if options.what == "record":
            failed = record(server, Path(work), options.out, names)
            log(f"{len(names) - len(failed)} recorded, failed: {' '.join(failed) or 'none'}")
            return 1 if failed else 0
        Bed(server, Path(work))
        print(
            f"ARI {server.url}, SIP port {server.sip}, AMI port {server.ami_port}, phones {server.net}.NN",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
