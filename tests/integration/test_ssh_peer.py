"""Two nodes by the lines of etc/ssh: everything that one does on the other passes, and nothing else does."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.errors import TransientError
from daemon.jobs.courier import Courier
from daemon.jobs.spool import Spool
from daemon.recordings.desk import Recordings
from daemon.settings import Settings
from ssh.connection import Connection
from ssh.errors import SshError
from ssh.transfer import Files
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import request, write_wav
from tests.integration.test_courier import record
from tests.servers import sshd
from tests.servers.sshd import Sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if not Path("/usr/lib/openssh/sftp-server").exists():
    pytest.skip("no sftp-server where Debian has it", allow_module_level=True)

KEY = "k" * 32
ETC = Path(__file__).parents[2] / "etc/ssh"


def line(gate: Path) -> str:
    """The gate's line of etc/ssh/authorized_keys, up to the key, as it is installed here."""
    (found,) = [each for each in (ETC / "authorized_keys").read_text().splitlines() if "-gate" in each]
    options = found.partition(" ssh-ed25519")[0]
    return options.replace("/usr/local/sbin/arimonitor-gate", str(gate)).replace("192.0.2.10", "127.0.0.1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    match = (
        (ETC / "sshd_config-arimonitor").read_text().replace("User arimonitor", f"User {getpass.getuser()}")
    )
    match = match.replace("    AuthorizedKeysFile .ssh/authorized_keys\n", "")
    gate = tmp_path / "gate"
    gate.write_text(
        (ETC / "arimonitor-gate").read_text().replace("MP3=/var/tmp/arimonitor", f"MP3={tmp_path}/mp3")
    )
    gate.chmod(0o755)
    with Sshd(match) as running:
        running.restrict(line(gate))
        yield running


def settings(folder: Path, server: Sshd) -> Settings:
    """This node; the other's folders are below there/."""
    there = folder / "there"
    peer = server.settings(
        "audio2",
        queue_dir=str(there / "queue"), publish_dir=str(there / "audios"), data_dir=str(there / "data"),
    )  # fmt: skip
    return Settings.model_validate(
        {
            "node": {"name": "audio", "data_dir": str(folder / "data")},
            "peer": [peer],
            "recordings": {
                "roots": [str(folder / "calls")], "public_url": "https://audio.example.com", "link_key": KEY,
                "mp3": "ssh", "primary": "audio2", "remote_dir": str(folder / "mp3"),
            },
        }
    )  # fmt: skip


def test_what_a_node_does_on_the_other_passes(
    server: Sshd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if shutil.which("lame") is None:
        pytest.skip("lame is not installed (Debian package lame)")
    chosen = settings(tmp_path, server)
    there = tmp_path / "there"
    Spool(there / "queue").prepare()
    Courier(chosen).send(record(), "audio2")
    assert [each.name for each in (there / "queue/pending").iterdir()] == [
        f"{record().request.request_id}.json"
    ]
    write_wav(tmp_path / "calls/internal-1121-1130-20251027-090000-1.wav")
    other = Settings.model_validate(
        {
            "node": {"data_dir": str(there / "data")},
            "peer": [{"name": "audio", "host": "audio.example.com"}],
            "recordings": {"publish_dir": str(there / "audios"), "link_key": KEY},
        }
    )
    Recordings(other, offload(), clock=Clock(1_800_000_000.0)).open()
    desk = Recordings(chosen, offload(), clock=Clock(1_800_000_000.0), reserve=1 << 20)
    with caplog.at_level("INFO", "arimonitor"):
        desk.send(request("1121"), tmp_path / "work/20251027_110000_1a2b3c4d.1")
    assert desk.sharer.status() == {"waiting": 0, "shared": 1, "problem": ""}
    assert any("MP3s made: 1 by audio2" in r.getMessage() for r in caplog.records)
    assert len(list((there / "audios").glob("*.zip"))) == 1


def test_a_big_file_passes_with_its_sha256(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789" * 4_000_000)
    with Connection.open(server.place()) as connection:
        files = Files(connection)
        files.put(tmp_path / "source", str(tmp_path / "target"), deadline=60, replace=False)
        files.get(str(tmp_path / "target"), tmp_path / "back", deadline=60, verify=True)
        assert files.tells_digests
    assert (tmp_path / "back").read_bytes() == (tmp_path / "source").read_bytes()


def test_no_link_is_made(server: Sshd, tmp_path: Path) -> None:
    with Connection.open(server.place()) as connection:
        files = Files(connection)
        with pytest.raises(SshError), files._step("a link") as client:
            client.symlink("/etc/passwd", str(tmp_path / "link"))
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "words",
    [
        ["-tt", "gv1p", "date +%z"],
        ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:9", "gv1p"],
        ["-W", "127.0.0.1:22", "gv1p"],
        ["gv1p"],
        ["gv1p", "id"],
    ],
)
def test_no_terminal_no_forwarding_no_shell(server: Sshd, words: list[str]) -> None:
    options = {
        "UserKnownHostsFile": server.known_hosts, "IdentityFile": server.key, "IdentitiesOnly": "yes",
        "BatchMode": "yes", "Port": server.port, "User": server.user, "HostName": server.host,
        "HostKeyAlias": f"[127.0.0.1]:{server.port}",
    }  # fmt: skip
    given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    done = subprocess.run(
        ["ssh", "-F", "/dev/null", *given, *words], input=b"", capture_output=True, timeout=30, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert (
        "not allowed" in said
        or "PTY allocation request failed" in said
        or "prohibited" in said
        or ("forwarding failed" in said)
    ), said


def test_from_elsewhere_it_is_not_let_in(server: Sshd, tmp_path: Path) -> None:
    keys = server.base / "authorized_keys"
    keys.write_text(keys.read_text().replace('from="127.0.0.1"', 'from="192.0.2.10"'))
    Spool(tmp_path / "there/queue").prepare()
    with pytest.raises(TransientError, match="does not accept the key"):
        Courier(settings(tmp_path, server)).send(record(), "audio2")
