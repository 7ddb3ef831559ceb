"""The lab's folder: what is made in it, what stays, what is refused."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from random import Random

import pytest

from daemon.directory.loader import load as load_definitions
from daemon.errors import ConfigurationError, FatalError
from daemon.lab import scenery
from daemon.settings.file import load as load_settings
from tests.servers.ports import free_port
from tests.servers.waiting import DEADLINE


def test_the_lab_is_prepared_in_a_folder(tmp_path: Path) -> None:
    lab = scenery.prepare(tmp_path / "é lab", speed=5, console="0")
    folder = tmp_path / "é lab"
    settings = lab.settings
    assert settings.node.name == "LAB"
    assert settings.asterisk[0].name == "lab"
    assert settings.asterisk[0].url == f"http://127.0.0.1:{lab.server.port}"
    assert settings.mq.backend == "file"
    assert settings.node.data_dir == folder / "state"
    assert settings.log.dir == folder / "log"
    assert load_settings(folder / "arimonitor.toml", {}) == settings
    loaded = load_definitions(settings.asterisk[0].definitions)
    assert (dict(loaded.counts), loaded.bad_lines, loaded.missing) == (
        {"clients": 3, "endpoints": 16, "mqservers": 0}, (), (),
    )  # fmt: skip
    assert loaded.directory.clients["101"].name == "Condomínio Exemplo"
    assert len(list((folder / "calls").glob("*.jsonl.gz"))) == 25


def test_the_welcome_can_be_copied(tmp_path: Path) -> None:
    lab = scenery.prepare(tmp_path, speed=1, console=None)
    console = lab.settings.manager.listen
    assert "LAB: nothing here is real" in lab.welcome
    assert f"telnet 127.0.0.1 {console.rpartition(':')[2]}\n" in lab.welcome
    assert f"tail -F {tmp_path}/state/messages/messages-*.jsonl\n" in lab.welcome
    assert f" check -c {tmp_path}/arimonitor.toml\n" in lab.welcome
    assert f" replay {tmp_path}/calls/attended-transfer.jsonl.gz\n" in lab.welcome
    assert f"cp {tmp_path}/mails/recordings.eml {tmp_path}/state/mail/inbox/new/\n" in lab.welcome
    assert f" request -c {tmp_path}/arimonitor.toml --from portaria@example.com " in lab.welcome
    assert max(map(len, lab.welcome.splitlines())) < 240


def test_what_was_edited_stays(tmp_path: Path) -> None:
    scenery.prepare(tmp_path, speed=1, console="0")
    endpoints = tmp_path / "definitions/endpoints_pjsip.def"
    lines = [f"#include x/{n}.pjsip ; Endpoint:{n} CLI:777 TYPE:x" for n in range(7770001, 7770006)]
    endpoints.write_text("\n".join(lines))
    again = scenery.prepare(tmp_path, speed=1, console="0", random=Random(1))
    assert endpoints.read_text().startswith("#include x/7770001")
    phones = {endpoint["resource"] for endpoint in again.server._player.endpoints()}
    assert phones == {"7770001", "7770002", "7770003", "7770004", "7770005", "trunk"}


def test_with_too_few_phones_those_of_the_product_call(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions/endpoints_pjsip.def").write_text("#include x ; Endpoint:1 CLI:2\nwrong\n")
    lab = scenery.prepare(tmp_path, speed=1, console="0")
    assert len(lab.server._player.endpoints()) == 17


def test_a_second_lab_in_the_folder_is_refused(tmp_path: Path) -> None:
    first = scenery.prepare(tmp_path, speed=1, console="0")
    stop = threading.Event()
    thread = threading.Thread(target=first.server.run, args=(stop,), daemon=True)
    thread.start()
    with pytest.raises(FatalError, match=r"runs in .* already"):
        scenery.prepare(tmp_path, speed=1, console="0")
    stop.set()
    thread.join(DEADLINE)
    assert scenery.prepare(tmp_path, speed=1, console="0").server.port


@pytest.mark.parametrize(
    ("speed", "console"),
    [(0, None), (-1, None), (2000, None), (float("nan"), None), (1, "nowhere"), (1, "99999")],
)
def test_unusable_arguments_are_said(tmp_path: Path, speed: float, console: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"--(speed|listen)"):
        scenery.prepare(tmp_path, speed=speed, console=console)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalError, match="--dir"):
        scenery.prepare(tmp_path / "file/lab", speed=1, console="0")


def test_the_console_takes_another_port_where_its_own_is_taken() -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        assert scenery.choose_port(taken) not in (0, taken)
    assert scenery.choose_port(taken) == taken


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/ana"}, "/home/ana/.local/state/arimonitor-lab"),
        ({"HOME": "/home/ana", "XDG_STATE_HOME": "/state"}, "/state/arimonitor-lab"),
        ({"HOME": "/root"}, "/root/.local/state/arimonitor-lab"),
    ],
)
def test_where_it_is_without_dir(environ: dict[str, str], folder: str) -> None:
    assert scenery.default_folder(environ) == Path(folder)
    assert scenery.default_folder({}).name.startswith("arimonitor-lab-")
