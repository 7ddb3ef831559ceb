"""Which files of a spool belong to a gap: of its days only, whatever folders a site has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.directory.recorded import recorded_since

BEGAN = 1761562800  # 2025-10-27 08:00 in Sao Paulo


def put(folder: Path, name: str, size: int = 44) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes(size))
    os.utime(folder / name, (BEGAN + 60, BEGAN + 60.25))


def test_in_whatever_folders_a_site_has(tmp_path: Path) -> None:
    for number, folder in enumerate(("", "2025/10/27", "2025-10-27", "20251026", "2025/10/24", "other")):
        put(tmp_path / folder, f"internal-1-2-20251027-080000-{BEGAN}.{number}.wav")
    put(tmp_path, f"internal-1-2-20251027-080000-{BEGAN - 100}.9.wav")
    put(tmp_path, f"internal-1-2-20251027-080000-{BEGAN + 100}.9.wav")
    put(tmp_path, "something else")
    (tmp_path / f"internal-1-2-20251027-080000-{BEGAN}.8.wav").mkdir()
    found = recorded_since(str(tmp_path), (BEGAN - 50) * 1000, (BEGAN + 50) * 1000)
    assert sorted(file.uniqueid for file in found) == [f"{BEGAN}.{number}" for number in range(4)]
    assert {(file.modified, file.talked) for file in found} == {((BEGAN + 60) * 1000 + 250, 0)}


def test_a_spool_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        recorded_since(str(tmp_path / "none"), 0, 1)
