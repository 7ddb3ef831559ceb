"""The end of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.console.logtail import MAX_BYTES, tail
from daemon.errors import PermanentError


@pytest.mark.parametrize(
    ("content", "wanted", "lines"),
    [
        (b"", 5, []),
        (b"a\nb\nc\n", 2, ["b", "c"]),
        (b"a\nb", 5, ["a", "b"]),
        (b"\xff\n\n", 5, ["\ufffd", ""]),
        (b"x" * MAX_BYTES + b"\nlast\n", 5, ["last"]),
    ],
)
def test_tail(tmp_path: Path, content: bytes, wanted: int, lines: list[str]) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    assert tail(str(path), wanted) == lines


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="can't be read: No such file"):
        tail(str(tmp_path / "none"), 5)
