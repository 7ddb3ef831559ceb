"""`arimonitor import-config`: the old system's three files as one arimonitor.toml. Entry.

The result is on standard output, and is validated as the daemon would; what
was not understood is in it as a comment. Secrets are in it: see where it goes.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from daemon.errors import ConfigurationError
from daemon.mail.tokens import Tokens, imported
from daemon.mail.tokens_file import TokensFile
from daemon.settings import file as settingsfile
from daemon.shell.legacy import Legacy, NotUnderstood, convert

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_MOST_BYTES = 1024 * 1024


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `import-config` to the command line."""
    command = commands.add_parser("import-config", help="the old system's files as one arimonitor.toml")
    command.add_argument("config", type=Path, metavar="monitor_config.txt")
    command.add_argument("--servers", type=Path, metavar="servers_config.json")
    command.add_argument("--tokens", type=Path, metavar="valid_tokens.txt")
    command.set_defaults(command=import_config)


def import_config(arguments: argparse.Namespace) -> int:
    """Print the configuration. 1: a file can't be read or used."""
    try:
        legacy = Legacy(
            config=_text(arguments.config),
            servers=json.loads(_text(arguments.servers)) if arguments.servers else None,
        )
        tokens_file, more = _tokens(arguments.tokens) if arguments.tokens else ("", ())
        text, notes = convert(legacy, datetime.now(UTC), tokens_file)
        notes = (*notes, *more)
    except OSError as error:
        return _failed(f"{error.filename} can't be read: {error.strerror}")
    except UnicodeDecodeError:
        return _failed("a file is neither UTF-8 nor Latin-1")
    except ValueError as error:
        return _failed(f"{arguments.servers} is no JSON: {error}")
    except NotUnderstood as error:
        return _failed(str(error))
    problems = _problems(text)
    print(text, end="")
    for note in notes:
        print(f"arimonitor: {note}", file=sys.stderr)
    for problem in problems:
        print(f"arimonitor: {problem}", file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK


def _tokens(path: Path) -> tuple[str, tuple[str, ...]]:
    """Hash the old tokens into a file beside the old one; its place, and notes."""
    entries, bad = imported(_text(path).splitlines(), datetime.now(UTC), secrets.token_bytes(16))
    place = path.absolute().with_name("arimonitor.tokens")

    def added(tokens: Tokens) -> Tokens:
        for entry in entries:
            tokens = tokens.added(entry)
        return tokens

    TokensFile(place).change(added)
    notes = [f"{len(entries)} tokens are in {place}, hashed: they hold for every whitelisted sender, 90 days"]
    if bad:
        notes.append(f"{path}: no token in line {', '.join(map(str, bad))}")
    return str(place), tuple(notes)


def _problems(text: str) -> tuple[str, ...]:
    """What the daemon would say of it; without the environment of here."""
    with tempfile.TemporaryDirectory(prefix="arimonitor-import-") as folder:
        file = Path(folder) / "arimonitor.toml"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        try:
            settingsfile.load(file, {})
        except ConfigurationError as error:
            return tuple(problem.replace(f"{file}: ", "") for problem in error.problems)
    return ()


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _failed(text: str) -> int:
    print(f"arimonitor: {text}", file=sys.stderr)
    return EXIT_FAILED
