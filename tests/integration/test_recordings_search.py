"""Searching trees of recordings: with an index, a stale one, a broken one, and none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.errors import PermanentError, TransientError
from daemon.recordings import tree
from daemon.recordings.local import LocalStore
from daemon.recordings.model import LeftOut
from tests.integration.outbox_parts import offload
from tests.integration.recording_parts import SAO_PAULO, moment, write_mp3

BEGIN, END = moment("27/10/2025 08:00"), moment("28/10/2025 18:00")


class Place:
    """Two roots, one dated and one flat, and an index of them."""

    def __init__(self, folder: Path) -> None:
        self.dated, self.flat, self.index = folder / "2p", folder / "gravacoes", folder / "index.sqlite"
        self.dated.mkdir()
        self.flat.mkdir()
        self.store = LocalStore([self.dated, self.flat], self.index, SAO_PAULO, offload())

    def put(self, day: str, name: str) -> Path:
        return write_mp3(self.dated / day / name, 1)

    def sweep(self) -> tree.Swept:
        return tree.sweep(self.index, [str(self.dated), str(self.flat)], lambda *_: None)

    def found(self, *extensions: str) -> list[str]:
        return [each.key for each in self.store.find(extensions, BEGIN, END).recordings]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


ONE = "internal-1121-1130-20251027-090000-1.mp3"
TWO = "internal-1140-1121-20251028-090000-2.mp3"


def test_with_index_and_without_it_is_the_same(place: Place) -> None:
    place.put("2025/10/27", ONE)
    place.put("2025/10/28", TWO)
    place.put("2025/10/29", "internal-1121-1130-20251029-090000-3.mp3")
    place.put("2025/10/27", "internal-1121-1130-20251027-075959-4.mp3")
    place.put("2025/10/27", "internal-11210-21121-20251027-100000-5.mp3")
    write_mp3(place.flat / "q-500-1121-20251027-170000-6.mp3", 1)
    wanted = [f"2025/10/27/{ONE}", "q-500-1121-20251027-170000-6.mp3", f"2025/10/28/{TWO}"]
    assert place.found("1121") == wanted
    assert place.sweep().files == 6
    assert place.found("1121") == wanted
    assert place.found("1130") == [f"2025/10/27/{ONE}"]
    assert place.found("112") == place.found("9999") == []


def test_made_since_the_sweep_gone_since_the_sweep(place: Place) -> None:
    old = place.put("2025/10/27", ONE)
    place.sweep()
    assert place.found("1121") == [f"2025/10/27/{ONE}"]
    place.put("2025/10/28", TWO)  # in a folder that was not there
    place.put("2025/10/27", "internal-1121-1131-20251027-100000-7.mp3")
    write_mp3(place.flat / "in-1121-1122-20251027-110000-8.mp3", 1)
    old.unlink()
    now = [
        "2025/10/27/internal-1121-1131-20251027-100000-7.mp3",
        "in-1121-1122-20251027-110000-8.mp3",
        f"2025/10/28/{TWO}",
    ]
    assert place.found("1121") == now
    swept = place.sweep()
    assert (swept.came, swept.went) == (3, 1)
    assert place.found("1121") == now


def test_a_sweep_of_what_did_not_change_reads_nothing(place: Place) -> None:
    path = place.put("2025/10/27", ONE)
    for folder in (place.flat, *path.parents):
        if folder.is_relative_to(place.flat.parent):
            os.utime(folder, (1_700_000_000, 1_700_000_000))
    assert place.sweep().read == 1
    again = place.sweep()
    assert (again.read, again.files, again.came, again.went) == (0, 1, 0, 0)


@pytest.mark.parametrize("damage", [b"", b"this is no database" * 100])
def test_a_damaged_index_does_no_harm_and_is_made_anew(place: Place, damage: bytes) -> None:
    place.put("2025/10/27", ONE)
    place.index.write_bytes(damage)
    assert place.found("1121") == [f"2025/10/27/{ONE}"]
    assert place.sweep().files == 1
    assert place.found("1121") == [f"2025/10/27/{ONE}"]


def test_a_folder_that_goes_takes_its_files_along(place: Place) -> None:
    path = place.put("2025/10/27", ONE)
    place.sweep()
    path.unlink()
    path.parent.rmdir()
    assert place.found("1121") == []
    assert place.sweep().files == 0


def test_wav_and_mp3_are_one_recording_and_an_empty_mp3_does_not_count(place: Place) -> None:
    place.put("2025/10/27", "internal-1121-1130-20251027-090000-1.mp3")
    (place.flat / "internal-1121-1130-20251027-090000-1.wav").write_bytes(b"RIFF")
    (place.dated / "2025/10/27/internal-1121-1130-20251027-100000-2.mp3").write_bytes(b"")
    (place.flat / "internal-1121-1130-20251027-100000-2.wav").write_bytes(b"RIFF")
    assert place.found("1121") == [
        "2025/10/27/internal-1121-1130-20251027-090000-1.mp3",
        "internal-1121-1130-20251027-100000-2.wav",
    ]


def test_odd_bytes_in_a_name(place: Place) -> None:
    name = os.fsdecode(b"internal-1121-1130-20251027-090000-a\nb\xff c.mp3")
    write_mp3(place.flat / name, 1)
    assert place.found("1121") == [name]
    place.sweep()
    assert place.found("1121") == [name]


def test_links_that_leave_the_roots_are_refused(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "shadow.mp3"
    secret.write_bytes(b"secret")
    (place.flat / ONE).symlink_to(secret)
    (place.flat / TWO).symlink_to(place.put("2025/10/27", "internal-1150-1151-20251027-090000-9.mp3"))
    (place.flat / "elsewhere").symlink_to(tmp_path)
    for _ in range(2):
        found = place.store.find(["1121"], BEGIN, END)
        assert [each.key for each in found.recordings] == [TWO]
        assert found.left_out == (LeftOut(ONE, "outside"),)
        place.sweep()


def test_what_is_fetched_is_looked_at_again(place: Place, tmp_path: Path) -> None:
    path = place.put("2025/10/27", ONE)
    recordings = place.store.find(["1121"], BEGIN, END).recordings
    assert place.store.fetch(recordings, tmp_path) == [path]
    path.unlink()
    assert place.store.fetch(recordings, tmp_path) == [LeftOut(ONE, "gone")]
    path.symlink_to("/etc/passwd")
    assert place.store.fetch(recordings, tmp_path) == [LeftOut(ONE, "outside")]
    path.unlink()
    os.mkfifo(path)
    assert place.store.fetch(recordings, tmp_path) == [LeftOut(ONE, "outside")]


def test_made_anew_under_an_open_reader(place: Place) -> None:
    place.put("2025/10/27", ONE)
    place.sweep()
    assert place.found("1121") == [f"2025/10/27/{ONE}"]
    tree.sweep(place.index, [str(place.dated)], lambda *_: None, rebuild=True)
    place.put("2025/10/28", TWO)
    assert place.found("1121") == [f"2025/10/27/{ONE}", f"2025/10/28/{TWO}"]


def test_a_build_that_was_broken_off_is_begun_anew(place: Place) -> None:
    place.put("2025/10/27", ONE)

    def broken_off(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tree.sweep(place.index, [str(place.dated)], broken_off)
    assert place.found("1121") == [f"2025/10/27/{ONE}"]
    assert place.sweep().files == 1
    assert place.found("1121") == [f"2025/10/27/{ONE}"]


def test_one_sweep_at_a_time(place: Place) -> None:
    def second(*_: int) -> None:
        with pytest.raises(TransientError, match="another process"):
            place.sweep()

    tree.sweep(place.index, [str(place.dated)], second)


def test_near(place: Place) -> None:
    place.put("2025/10/25", "internal-1121-1130-20251025-090000-1.mp3")
    place.put("2025/10/25", "internal-1121-1130-20251025-100000-2.mp3")
    place.put("2025/10/30", "internal-1121-1130-20251030-100000-3.mp3")
    place.put("2025/10/27", "internal-1199-1198-20251027-100000-4.mp3")
    place.sweep()
    near = place.store.near(["1121"], BEGIN, END, ["1199", "1197", "1121"])
    assert [(str(day), count) for day, count in near.days] == [("2025-10-25", 2), ("2025-10-30", 1)]
    assert near.extensions == (("1199", 1),)


def test_a_root_that_is_away(place: Place) -> None:
    place.put("2025/10/27", ONE)
    place.sweep()
    place.flat.rmdir()
    with pytest.raises(TransientError, match="gravacoes"):
        place.found("1121")
    place.dated.rename(place.dated.with_name("unmounted"))
    with pytest.raises(PermanentError, match="roots"):
        place.found("1121")
    # Its rows stay: the disk comes back.
    assert place.sweep().files == 1


def test_without_an_index_a_search_has_an_end(place: Place) -> None:
    for n in range(20_001):
        os.close(os.open(place.flat / f"{n}", os.O_CREAT))
    store = LocalStore([place.flat], place.index, SAO_PAULO, offload(), patience=0.0)
    with pytest.raises(TransientError, match="recordings index"):
        store.find(["1121"], BEGIN, END)
