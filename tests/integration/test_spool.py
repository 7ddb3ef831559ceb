"""The queue's folders on a real file system: one file in one folder, and what people drop."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from daemon.errors import TransientError
from daemon.jobs.requestfile import MAX_BYTES
from daemon.jobs.spool import FOLDERS, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "queue")
    made.prepare()
    return made


def files(spool: Spool) -> dict[str, list[str]]:
    found = {folder: sorted(path.name for path in (spool.root / folder).iterdir()) for folder in FOLDERS}
    return {folder: names for folder, names in found.items() if names}


def test_one_file_in_one_folder(spool: Spool) -> None:
    for folder in ("pending", "processing", "completed", "failed", "pending"):
        spool.put("a", folder, folder.encode())  # type: ignore[arg-type]
        spool.put("a", folder, folder.encode())  # type: ignore[arg-type]
        assert files(spool) == {folder: ["a.json"]}
    assert (spool.root / "pending" / "a.json").read_bytes() == b"pending"
    assert stat.S_IMODE((spool.root / "pending" / "a.json").stat().st_mode) == 0o640


def test_a_crash_leaves_no_parts(spool: Spool) -> None:
    (spool.root / "pending" / ".a.json.123.part").write_text("half")
    spool.prepare()
    assert files(spool) == {}


def test_what_was_dropped(spool: Spool) -> None:
    pending = spool.root / "pending"
    spool.put("ours", "pending", b"{}")
    (pending / "good.json").write_text("{}")
    (pending / "big.json").write_bytes(b" " * (MAX_BYTES + 1))
    (pending / "notes.txt").write_text("{}")
    (pending / ".hidden.json").write_text("{}")
    (pending / "link.json").symlink_to("/etc/passwd")
    (pending / "folder.json").mkdir()
    os.mkfifo(pending / "pipe.json")
    found = {each.name: (each.data, each.problem) for each in spool.dropped(["ours"], time.time())}
    assert found == {
        "good.json": (b"{}", ""),
        "big.json": (None, "it has more than 64 KiB"),
        "notes.txt": (None, "its name does not end with .json"),
        "link.json": (None, "it is no plain file"),
        "folder.json": (None, "it is no plain file"),
        "pipe.json": (None, "it is no plain file"),
    }


def test_aside_with_the_reason_and_never_over_another(spool: Spool) -> None:
    for text in ("one", "two"):
        (spool.root / "pending" / "a b\n;.json").write_text(text)
        spool.refuse("a b\n;.json", "it is no request")
    assert files(spool)["failed"] == [
        "1-a_b__.json", "1-a_b__.json.reason.txt", "a_b__.json", "a_b__.json.reason.txt",
    ]  # fmt: skip
    assert (spool.root / "failed" / "a_b__.json.reason.txt").read_text() == "it is no request\n"


def test_taken_only_if_it_is_the_same(spool: Spool) -> None:
    path = spool.root / "pending" / "foo.json"
    path.write_text('{"first": 1}')
    (dropped,) = spool.dropped([], time.time())
    path.write_text('{"second": 2}')
    spool.taken(dropped.source)
    assert path.exists()
    path.write_text('{"first": 1}')
    spool.taken(dropped.source)
    assert not path.exists()


def test_dropped_once_under_its_name(spool: Spool) -> None:
    assert spool.drop("new", b"{}")
    assert not spool.drop("new", b"other")
    assert (spool.root / "pending" / "new.json").read_bytes() == b"{}"


def test_a_free_suffix(spool: Spool) -> None:
    spool.put("a-2", "failed", b"{}")
    assert spool.free_id("a", ["a", "a-3"]) == "a-4"


def test_the_old_ones_go(spool: Spool) -> None:
    spool.put("done", "completed", b"{}")
    spool.put("failed", "failed", b"{}")
    (spool.root / "pending" / "bad.json").write_text("[")
    spool.refuse("bad.json", "why")
    for path in (spool.root / "failed").iterdir():
        os.utime(path, (1, 1))
    assert spool.aged(100.0) == ["failed"], "what was refused is not a request's"
    assert spool.forget(["done"], before=100.0) >= 2
    assert files(spool) == {"failed": ["failed.json"]}


def test_a_folder_that_can_t_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientError, match="can't be used"):
        Spool(tmp_path / "file").prepare()
