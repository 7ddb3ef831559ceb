"""mp3 = "ssh" when it breaks off or meets others: nobody's recordings mix, nothing is left there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.errors import TransientError
from daemon.recordings.desk import Recordings
from daemon.recordings.mp3host import STALE
from tests.integration.mp3_parts import ID, Hosts, made, warnings
from tests.integration.mp3_parts import hosts as hosts
from tests.integration.mp3_parts import local as local
from tests.integration.mp3_parts import said as said
from tests.integration.mp3_parts import servers as servers
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_wav
from tests.servers import sshd
from tests.servers.disk import fill, small_disk
from tests.servers.relay import Relay
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("lame") is None:
    pytest.skip("lame is not installed (Debian package lame)", allow_module_level=True)


def test_its_disk_is_full(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(hosts.there, "1m") as disk:
        fill(disk)
        hosts.send()
        assert [path.name for path in disk.iterdir()] == ["ballast"]
    assert (hosts.contents(), made(caplog)) == (local, "4 by this host")
    assert all("is its disk full" in line for line in warnings(caplog))


def test_cut_in_the_middle_what_was_done_counts(
    hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    server = hosts.servers["audio"]
    known = hosts.folder / "known_hosts"
    with Relay(server.port) as relay:
        key = (server.base / "host_key.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{relay.port} {' '.join(key)}\n")
        own = hosts.there / f"{ID}.1"

        def cut() -> None:
            wait_until(lambda: list(own.glob("1.mp3")), "the second is being made", every=0.002)
            relay.cut()

        threading.Thread(target=cut, daemon=True).start()
        hosts.send(audio={"port": relay.port, "known_hosts": str(known)})
    assert hosts.contents() == local
    assert "audio2" in made(caplog)
    assert hosts.left() == [], "the next host's use has removed what the cut left"


def test_a_recording_that_grows_is_not_the_hosts_fault(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    wav = hosts.folder / "calls/internal-1121-1130-20251027-090002-2.wav"
    own = hosts.there / f"{ID}.1"

    def grow() -> None:
        wait_until(lambda: list(own.glob("0.wav")), "the first is being sent", every=0.001)
        with wav.open("ab") as file:
            file.write(b"\0" * 16000)

    growing = threading.Thread(target=grow, daemon=True)
    growing.start()
    outcome = hosts.send(audio={"bandwidth": 800})
    growing.join(10)
    assert [(each.name, each.reason) for each in outcome.left_out] == [(wav.name, "growing")]
    assert made(caplog) == "3 by audio"


def test_what_crashes_left_is_removed(hosts: Hosts) -> None:
    """Other tries of the same request at once; anybody else's after a day; what is not ours never."""
    for name in (f"{ID}.1", f"{ID}.0", "20251026_100000_aaaaaaaa.1", "20251020_100000_bbbbbbbb.1", "other"):
        (hosts.there / name).mkdir(parents=True)
        (hosts.there / name / "0.wav").write_bytes(b"another's")
    old = hosts.there / "20251020_100000_bbbbbbbb.1"
    stale = old.stat().st_mtime - STALE - 60
    os.utime(old, (stale, stale))
    (hosts.there / "file").write_text("x")
    hosts.send()
    assert hosts.left() == [
        "20251026_100000_aaaaaaaa.1", "20251026_100000_aaaaaaaa.1/0.wav", "file", "other", "other/0.wav",
    ]  # fmt: skip


def test_a_folder_of_another_user_is_not_used(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    hosts.there.mkdir(mode=0o777)
    os.chown(hosts.there, 65534, 65534)
    hosts.send()
    assert made(caplog) == "4 by this host"
    assert all("is another user's" in line for line in warnings(caplog))
    assert hosts.left() == []


def test_two_requests_at_once_do_not_mix(hosts: Hosts, tmp_path: Path) -> None:
    """The same names there but for the folder; each gets its own."""
    failed: list[Exception] = []
    others = []
    for number in range(2):
        folder = tmp_path / f"other{number}"
        folder.mkdir()
        other = Hosts(folder, *hosts.servers.values())
        other.there = hosts.there
        for n in range(4):
            write_wav(
                folder / f"calls/internal-1121-1130-20251027-09000{n}-{n}.wav", 3, 300 + 50 * n + 400 * number
            )
        others.append(other)

    def send(number: int, other: Hosts) -> None:
        desk = Recordings(other.settings(), offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
        rid = f"20251027_11000{number}_1a2b3c4d"
        try:
            desk.send(request("1121", number=rid), other.folder / f"work/{rid}.1")
        except (TransientError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=each) for each in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    for other in others:
        expected = []
        for wav in sorted((other.folder / "calls").iterdir()):
            target = tmp_path / "expected.mp3"
            subprocess.run(
                ["lame", "--quiet", "--cbr", "-b", "64", "--resample", "8", wav, target], check=True
            )
            expected.append(target.read_bytes())
        assert other.contents() == expected
    assert hosts.left() == []


_KILLED = """
import gevent.monkey
gevent.monkey.patch_all()
import sys
from pathlib import Path
from daemon.preflight.recordings import recordings
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request
settings, folder = sys.argv[1:]
settings = Settings.model_validate_json(settings)
desk = Recordings(settings, offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
desk.send(request("1121"), Path(folder))
"""


def test_killed_in_the_middle_nothing_is_mixed(hosts: Hosts, local: list[bytes], tmp_path: Path) -> None:
    settings = hosts.settings(audio={"bandwidth": 800})
    text = json.dumps(
        {
            "node": {"data_dir": str(settings.node.data_dir)},
            "recordings": settings.recordings.model_dump(
                mode="json", include={"roots", "mp3", "primary", "backup", "remote_dir"}
            ),
            "server": [each.model_dump(mode="json", exclude_defaults=True) for each in settings.server],
        }
    )
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, text, str(tmp_path / f"work/{ID}.1")], cwd=Path(__file__).parents[2]
    )
    wait_until(lambda: list(hosts.there.glob(f"{ID}.1/1.wav")), "the second is there")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert hosts.left() != []
    desk = Recordings(hosts.settings(), offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
    desk.send(request("1121"), tmp_path / f"work/{ID}.2")
    assert hosts.contents() == local
    assert hosts.left() == []
