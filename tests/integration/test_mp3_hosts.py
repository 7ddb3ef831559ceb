"""mp3 = "ssh": primary, then backup, then here; real sshds, real lame."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import TransientError
from daemon.preflight.recordings import recordings
from tests.integration.mp3_parts import ID, Hosts, made, warnings
from tests.integration.mp3_parts import hosts as hosts
from tests.integration.mp3_parts import local as local
from tests.integration.mp3_parts import said as said
from tests.integration.mp3_parts import servers as servers
from tests.servers import sshd

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)
if shutil.which("lame") is None:
    pytest.skip("lame is not installed (Debian package lame)", allow_module_level=True)

GATE = Path(__file__).parents[2] / "etc/ssh/arimonitor-gate"


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    yield port


def test_primary_makes_them(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    outcome = hosts.send()
    assert [row.seconds for row in outcome.rows] == [2.0, 3.0, 4.0, 5.0]
    assert hosts.contents() == local
    assert (made(caplog), warnings(caplog)) == ("4 by audio", [])
    assert hosts.left() == []


def test_through_the_gate(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    gate = hosts.folder / "gate"
    gate.write_text(GATE.read_text().replace("MP3=/var/tmp/arimonitor", f"MP3={hosts.there}"))
    gate.chmod(0o755)
    hosts.servers["audio"].restrict(f'restrict,command="{gate}"')
    hosts.send()
    assert (hosts.contents(), made(caplog), warnings(caplog)) == (local, "4 by audio", [])


def test_primary_is_down(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with nobody() as port:
        hosts.send(audio={"port": port})
    assert (hosts.contents(), made(caplog)) == (local, "4 by audio2")
    (line,) = warnings(caplog)
    assert line.startswith(f"MP3s of {ID}.1: audio (")
    assert line.endswith("; audio2 does the rest")
    assert "can't be reached" in line


def test_both_are_down(hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with nobody() as port:
        hosts.send(audio={"port": port}, audio2={"port": port})
    assert (hosts.contents(), made(caplog)) == (local, "4 by this host")
    assert [line.rpartition("; ")[2] for line in warnings(caplog)] == [
        "audio2 does the rest", "this host does the rest",
    ]  # fmt: skip


def test_nobody_can(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be back later: it is tried again."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with nobody() as port, pytest.raises(TransientError, match=r"no host can make MP3s now: audio .*; lame"):
        hosts.send(audio={"port": port}, audio2={"port": port})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            'restrict,command="internal-sftp"',
            "lame can't be run there: This service allows sftp connections only",
        ),
        ('restrict,command="{gate}"', "lame can't be run there: arimonitor-gate: not allowed"),
        ('restrict,command="env PATH=/nonexistent {sh}"', "lame can't be run there"),
    ],
)
def test_no_lame_there(
    hosts: Hosts, options: str, why: str, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    sh = hosts.folder / "sh"
    sh.write_text(
        "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in internal-sftp*) exec /usr/lib/openssh/sftp-server ;; esac\n"
        "eval $SSH_ORIGINAL_COMMAND\n"
    )
    sh.chmod(0o755)
    hosts.servers["audio"].restrict(
        options.format(gate=shutil.copy(GATE, hosts.folder / "gate"), sh=f"/bin/sh {sh}")
    )
    hosts.send()
    assert (hosts.contents(), made(caplog)) == (local, "4 by audio2")
    (line,) = warnings(caplog)
    assert why in line
    assert hosts.left() == []


def test_one_that_lame_there_refuses_is_made_elsewhere(
    hosts: Hosts, local: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The second is refused there; the others count."""
    picky = hosts.folder / "picky"
    picky.write_text(
        "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in"
        " internal-sftp*) exec /usr/lib/openssh/sftp-server ;;"
        " lame*/1.mp3) echo no such rate >&2; exit 1 ;; esac\neval $SSH_ORIGINAL_COMMAND\n"
    )
    picky.chmod(0o755)
    hosts.servers["audio"].restrict(f'restrict,command="{picky}"')
    hosts.send()
    assert (hosts.contents(), made(caplog)) == (local, "3 by audio, 1 by audio2")
    assert any("no such rate" in line for line in warnings(caplog))


def test_check_tries_both(hosts: Hosts) -> None:
    hosts.servers["audio2"].restrict('restrict,command="internal-sftp"')

    def found(**changed: dict[str, Any]) -> list[tuple[str, bool, str, str]]:
        checks = [each for each in recordings(hosts.settings(**changed)) if each.what == "MP3 host"]
        return [(each.where, each.ok, each.reason, each.mend) for each in checks]

    primary, backup = found()
    assert primary == (f"audio:{hosts.there}", True, "lame there has made an MP3", "")
    assert backup[:2] == (f"audio2:{hosts.there}", False)
    assert "lame can't be run there" in backup[2]
    assert backup[3] == f"see to lame there, and that {hosts.there} is {hosts.servers['audio2'].user}'s"
    assert hosts.left() == []
    stranger = {"key_file": str(hosts.servers["audio"].stranger)}
    (_, well, why, mend), _ = found(audio=stranger)
    assert not well
    assert "does not accept the key" in why
    assert mend.startswith("set server.audio.key_file")
