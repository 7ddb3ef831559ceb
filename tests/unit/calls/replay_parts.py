"""Files of traces for the tests of the replay."""

from __future__ import annotations

import gzip
import json
from pathlib import Path


def written(tmp_path: Path, *lines: object, zipped: bool = False, name: str = "trace.jsonl") -> Path:
    """A file of these lines: JSON of what is no bytes."""
    raw = b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines)
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    return path
