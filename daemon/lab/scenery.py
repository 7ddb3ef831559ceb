"""Everything the lab needs, in one folder. Adapter of the file system.

DIR/arimonitor.toml   made anew at each start, so that `-c` works with the others' commands
DIR/definitions/      made once: edit it
DIR/calls/            the recorded calls, for `arimonitor replay`
DIR/recordings/       tones as recordings, DIR/mails/ requests to drop into DIR/state/mail/inbox/new
DIR/state, DIR/log    the daemon's own
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from daemon.ari.address import Address
from daemon.ari.rest import AriRefused, AriRest, AriUnavailable
from daemon.directory.loader import load
from daemon.errors import ConfigurationError, FatalError, PermanentError, TransientError
from daemon.lab import post
from daemon.lab.people import Company, companies
from daemon.lab.player import Player
from daemon.lab.recordings import make_samples
from daemon.lab.server import LabServer
from daemon.lab.story import Story, read
from daemon.lab.welcome import welcome
from daemon.settings import Settings, split_address
from daemon.settings.file import load as load_settings

USERNAME: Final = "lab"
PASSWORD: Final = "lab"  # noqa: S105 - of recorded calls on loopback, printed in the manual
CONSOLE: Final = "127.0.0.1:1101"

_RECORDING: Final = ".jsonl.gz"
_TOML: Final = """\
# The LAB: recorded calls, nothing real. `arimonitor lab` makes this file anew at each start.

[node]
name = "LAB"
data_dir = {state}

[ha]
backend = "file"

[[asterisk]]
name = "lab"
url = "http://127.0.0.1:{port}"
username = "{username}"
password = "{password}"
definitions = {definitions}
recordings = {recordings}
cdr = ""

[mq]
backend = "file"

[mail]
admin = "admin@example.com"
whitelist = ["@example.com"]
require_token = "never"

[mail.smtp]
from = "arimonitor@example.com"

[recordings]
roots = [{recordings}]
public_url = "http://127.0.0.1:{web}"

[manager]
listen = {console}

[log]
dir = {log}

[http]
listen = ["127.0.0.1:{web}"]
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is ready to run. `server` listens already. `welcome` is for the terminal."""

    settings: Settings
    server: LabServer
    welcome: str


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where the lab is without --dir: in the user's state folder, else in /tmp."""
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return Path(state) / "arimonitor-lab"
    if home.startswith("/") and home != "/":
        return Path(home) / ".local/state/arimonitor-lab"
    return Path("/tmp") / f"arimonitor-lab-{os.geteuid()}"  # noqa: S108 - named by user; nothing secret in it


def prepare(
    folder: Path | None, *, speed: float, console: str | None, random: Random | None = None, port: int = 0
) -> Lab:
    """Make what is missing in `folder` (None: `default_folder`), and the lab in it.

    `console`: HOST:PORT, or a port alone; None: 1101, or any free port.
    Raises ConfigurationError, FatalError.
    """
    if not 0.1 <= speed <= 100:
        raise ConfigurationError((f"--speed {speed:g}: a number from 0.1 to 100",))
    folder = (folder or default_folder(os.environ)).absolute()
    file = folder / "arimonitor.toml"
    _refuse_a_second(file)
    places = {name: folder / name for name in ("definitions", "calls", "recordings", "state", "log")}
    package = files("daemon.lab")
    try:
        for place in places.values():
            place.mkdir(parents=True, exist_ok=True)
        _copy(package / "definitions", places["definitions"])
        _copy(package / "calls", places["calls"])
        people = _people(places["definitions"], package / "definitions")
        now = datetime.now(ZoneInfo("America/Sao_Paulo"))
        make_samples(places["recordings"], people, now)
        post.mails(folder / "mails", people, now)
    except OSError as error:
        raise FatalError(
            f"the lab can't be made in {folder} ({error.strerror or error}): give another with --dir"
        ) from error
    player = Player(stories(), people, random or Random(), speed=speed)  # noqa: S311 - no secrets
    server = LabServer(port, player, USERNAME, PASSWORD)
    server.open()
    address = _console(console)
    _replace(
        file,
        _TOML.format(
            port=server.port,
            username=USERNAME,
            password=PASSWORD,
            console=_quoted(address),
            web=choose_port(8080),
            **{name: _quoted(str(place)) for name, place in places.items()},
        ),
    )
    # The environment is another daemon's: the lab is what its file says.
    settings = load_settings(file, {})
    wish = post.subject(people, now)
    text = welcome(settings, folder, speed=speed, usual_console=CONSOLE, wish=wish, program=_program())
    return Lab(settings, server, text)


def choose_port(usual: int) -> int:
    """A service's usual port if it is free on 127.0.0.1, else any free one."""
    for port in (usual, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise FatalError("no port of 127.0.0.1 is free")


def stories() -> list[Story]:
    """The recorded calls that come with the product. Raises PermanentError."""
    recordings = sorted((files("daemon.lab") / "calls").iterdir(), key=lambda recording: recording.name)
    return [
        read(recording.name.removesuffix(_RECORDING), recording.read_bytes())
        for recording in recordings
        if recording.name.endswith(_RECORDING)
    ]


def _refuse_a_second(file: Path) -> None:
    """Two labs in one folder would take the configuration from each other."""
    try:
        before = re.search(r'url = "(http://127\.0\.0\.1:[0-9]+)"', file.read_text(encoding="utf-8"))
        if before is None:
            return
        AriRest(Address.parse(before[1]), USERNAME, PASSWORD, timeout=1.0).get_info()
    except (OSError, ValueError, AriUnavailable, AriRefused):
        return
    raise FatalError(f"a lab runs in {file.parent} already: end it, or give this one another --dir")


def _people(ours: Path, packaged: Traversable) -> tuple[Company, ...]:
    """Who calls: the phones of the folder's own definitions, else those that come with the product."""
    try:
        people = companies(load(ours).directory)
    except (TransientError, PermanentError):
        people = ()
    return people or companies(load(Path(str(packaged))).directory)


def _console(wanted: str | None) -> str:
    if wanted is None:
        return f"127.0.0.1:{choose_port(1101)}"
    address = f"127.0.0.1:{wanted}" if re.fullmatch(r"[0-9]{1,5}", wanted) else wanted
    try:
        _, port = split_address(address)
    except ValueError as error:
        raise ConfigurationError((f"--listen {wanted}: {error}",)) from error
    # A port must be known by now: it is in the text that says what to try.
    return address if port else f"{address[: -len('0')]}{choose_port(0)}"


def _copy(source: Traversable, folder: Path) -> None:
    """Copy the files that are not there: an edited one stays as it is."""
    for file in source.iterdir():
        target = folder / file.name
        if file.is_file() and not target.exists():
            _replace(target, file.read_bytes())


def _replace(file: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(file)


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _program() -> str:
    """How to call this program from a shell: by name where the PATH finds it, else by its path."""
    called = Path(sys.argv[0])
    if called.name != "arimonitor":
        return f"{shlex.quote(sys.executable)} -m daemon"
    found = shutil.which("arimonitor")
    if found is not None and Path(found).resolve() == called.resolve():
        return "arimonitor"
    return shlex.quote(str(called))
