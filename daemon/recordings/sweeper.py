"""`python -m daemon.recordings.sweeper INDEX ROOT...`: one sweep in a process of its own, gently. Entry.

Prints what it did as one JSON object. Exit status 1: it could not, stderr says why.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from daemon.errors import TransientError
from daemon.recordings import tree


def main() -> int:
    """Sweep; the last line of the output is the result."""
    os.nice(10)
    index, *roots = sys.argv[1:]
    try:
        swept = tree.sweep(Path(index), roots, lambda *_: None)
    except TransientError as error:
        print(error, file=sys.stderr)
        return 1
    print(msgspec.json.encode(swept).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
