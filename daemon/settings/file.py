"""Reads the configuration: file, `.env`, environment, secret files. Adapter of the file system.

What is found first wins, key by key:

    environment > .env beside the file > the file > this machine's defaults > the models' defaults

Every problem of every layer is in the one ConfigurationError at the end.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from daemon import secretbox
from daemon.errors import ConfigurationError, PermanentError
from daemon.settings import Settings
from daemon.settings.draft import Draft
from daemon.settings.environment import overlay, parse_dotenv
from daemon.settings.schema import Key, keys_of, readable, shown

SYSTEM_FILE = Path("/etc/arimonitor/arimonitor.toml")
_MOST_BYTES = 4 * 1024 * 1024
_MOST_SECRET_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What the defaults depend on."""

    root: bool
    home: Path | None
    host: str

    @classmethod
    def here(cls, environ: Mapping[str, str]) -> Machine:
        """This machine and the user of this process."""
        home = environ.get("HOME", "")
        return cls(
            root=os.geteuid() == 0,
            home=Path(home) if home.startswith("/") else _home(),
            host=socket.gethostname(),
        )


def resolve(path: Path | None, environ: Mapping[str, str], system_file: Path = SYSTEM_FILE) -> Path | None:
    """The file to read: `-c`, then $ARIMONITOR_CONFIG, then /etc/arimonitor/arimonitor.toml if it is there.

    None: the built-in defaults (and the environment) alone.
    """
    if path is not None:
        return path
    if environ.get("ARIMONITOR_CONFIG"):
        return Path(environ["ARIMONITOR_CONFIG"])
    try:
        system_file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return system_file  # there, but we may not look: load says why
    return system_file


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    machine: Machine | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Settings:
    """The configuration of `-c path` (None: as `resolve` finds it) and `environ`.

    Raises ConfigurationError with every problem, one line each: file or
    variable, key, value (a secret's never) and what would be right.
    """
    file = resolve(path, environ, system_file)
    draft = Draft(readable(str(file)) if file is not None else "built-in defaults")
    everything = dict(environ)
    if file is not None:
        draft.data = _read_toml(file)
        beside = file.parent / ".env"
        more = _read_dotenv(beside, draft)
        from_file = {name: value for name, value in more.items() if name not in environ}
        overlay(draft, from_file, str(beside))
        everything = {**more, **environ}
    overlay(draft, environ)
    _fill_in(draft.data, machine or Machine.here(environ))
    _secrets(draft, Settings, draft.data, (), everything.get("ARIMONITOR_KEY"))
    return draft.build()


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        data = _read(file, _MOST_BYTES)
    except FileNotFoundError as error:
        raise _unusable(file, "there is no such file; give another with -c or $ARIMONITOR_CONFIG") from error
    except IsADirectoryError as error:
        raise _unusable(file, "that is a directory; name the file in it") from error
    except OSError as error:
        raise _unusable(file, f"can't be read: {_why(error)}") from error
    except ValueError as error:
        raise _unusable(file, str(error)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise _unusable(
            file,
            f"line {line}, column {column}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8",
        ) from error
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise _unusable(file, "not TOML: nested too deeply") from error
    except ValueError as error:
        raise _unusable(file, f"not TOML: {readable(str(error))}") from error


def _read_dotenv(file: Path, draft: Draft) -> dict[str, str]:
    try:
        text = _read(file, _MOST_BYTES).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        draft.problems.append(f"{file}: not UTF-8; save the file as UTF-8")
        return {}
    except OSError as error:
        draft.problems.append(f"{file}: can't be read: {_why(error)}")
        return {}
    except ValueError as error:
        draft.problems.append(f"{file}: {error}")
        return {}
    values, bad = parse_dotenv(text)
    draft.problems += [f"{file}: line {number}: {right}" for number, right in bad]
    return values


def _fill_in(data: dict[str, Any], machine: Machine) -> None:
    """Defaults of this machine, where neither file nor environment says anything."""
    node = data.setdefault("node", {})
    if not isinstance(node, dict):
        return  # wrong, and that is said by validation
    node.setdefault("name", re.sub(r"[^A-Za-z0-9_-]", "-", machine.host.partition(".")[0]) or "node")
    if machine.root or machine.home is None:
        return
    node.setdefault("data_dir", str(machine.home / ".local/state/arimonitor"))
    log = data.setdefault("log", {})
    if isinstance(log, dict) and isinstance(node["data_dir"], str):
        log.setdefault("dir", f"{node['data_dir'].rstrip('/')}/log")


def _secrets(
    draft: Draft, model: type[BaseModel], table: dict[str, Any], at: tuple[str | int, ...], key: str | None
) -> None:
    """Put the secrets themselves in place of KEY_file and of "enc:..."."""
    for entry in keys_of(model):
        here, value = (*at, entry.label), table.get(entry.label)
        if entry.kind.model is not None:
            elements = value if entry.kind.base == "tables" else [value]
            for index, element in enumerate(elements if isinstance(elements, list) else []):
                place = (*here, index) if entry.kind.base == "tables" else here
                if isinstance(element, dict):
                    _secrets(draft, entry.kind.model, element, place, key)
        elif entry.kind.secret:
            _secret_file(draft, table, entry, at)
            value = table.get(entry.label)
            if isinstance(value, str) and secretbox.is_encrypted(value):
                try:
                    table[entry.label] = secretbox.decrypt(value, key)
                except PermanentError as error:
                    draft.problem(here, str(error))


def _secret_file(draft: Draft, table: dict[str, Any], entry: Key, at: tuple[str | int, ...]) -> None:
    label = entry.label + "_file"
    if label not in table:
        return
    here, file = (*at, label), table[label]
    # Shown only if it looks like a path: a secret put here by mistake does not.
    is_path = isinstance(file, str) and file.startswith("/") and "\x00" not in file
    wrong = ""
    if entry.label in table:
        wrong = f"give {entry.label} or {label}, not both"
    elif not is_path:
        wrong = "the absolute path of a file with the secret in it"
    else:
        try:
            secret = _read(Path(file), _MOST_SECRET_BYTES).decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            wrong = "a file whose text is UTF-8"
        except OSError as error:
            wrong = f"a readable file with the secret in it ({_why(error)})"
        except ValueError as error:
            wrong = f"a file with the secret in it ({error})"
        else:
            wrong = "" if secret else "a file with the secret in it (this one is empty)"
    if wrong:
        value = shown(file) if is_path else "***"
        draft.problems.append(f"{draft.origin(here)}: {draft.dotted(here)} = {value}: {wrong}")
        draft.broken.add((*at, entry.label))
    else:
        table[entry.label] = secret
        if here in draft.origins:
            draft.origins[(*at, entry.label)] = draft.origins[here]
    del table[label]


def _read(file: Path, most: int) -> bytes:
    """Bounded, so that /dev/zero is an error and no end of memory. Raises OSError, ValueError."""
    with file.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"is larger than {most // 1024} kB")
    return data


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and the user is in no passwd
        return None


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _unusable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError((f"{readable(str(file))}: {why}",))
