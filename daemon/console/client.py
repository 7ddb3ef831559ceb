"""The console from the shell: `arimonitor ctl` and `arimonitor console`.

Both speak JSON lines with the daemon and print the text that comes with each
answer. The password, where the daemon wants one, is
$ARIMONITOR_MANAGER__PASSWORD, or asked for on a terminal; it is sent only when
it is wanted.
"""

from __future__ import annotations

import getpass
import json
import os
import readline
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from daemon.console.connection import Connection, NoAnswerError
from daemon.console.session import PROMPT, split_words

DEFAULT_ADDRESS = "127.0.0.1:1101"
PASSWORD_VARIABLE = "ARIMONITOR_MANAGER__PASSWORD"  # noqa: S105 - its name, not its value

EXIT_OK, EXIT_FAILED, EXIT_NO_DAEMON = 0, 1, 3


def ctl(
    address: str,
    words: Sequence[str],
    as_json: bool,
    out: TextIO,
    err: TextIO,
    environ: Mapping[str, str],
) -> int:
    """Carry out one command; a stream goes on until Ctrl-C. The exit code: 0, 1 it failed, 3 no daemon.

    `as_json` prints the result (of a failure: the answer with its error) as
    one line, and each event of a stream as one.
    """
    try:
        with Connection(address) as connection:
            answer = _ask(connection, words, environ.get(PASSWORD_VARIABLE))
            ok = _print(answer, as_json, out, err)
            if ok and _is_stream(answer):
                _follow(connection, as_json, out, err)
            return EXIT_OK if ok else EXIT_FAILED
    except NoAnswerError as error:
        print(error, file=err)
        return EXIT_NO_DAEMON
    except KeyboardInterrupt:
        return EXIT_OK


def interactive(address: str, *, environ: Mapping[str, str] | None = None) -> int:
    """The console with history and completion, on this process's terminal."""
    shell = _Shell(address, os.environ if environ is None else environ)
    try:
        return shell.run()
    except NoAnswerError as error:
        print(error, file=sys.stderr)
        return EXIT_NO_DAEMON
    finally:
        shell.close()


def _ask(connection: Connection, words: Sequence[str], password: str | None) -> dict[str, object]:
    request = {"command": words[0], "args": list(words[1:]), "text": True}
    answer = connection.ask(request)
    if password is not None and _error(answer).get("code") == "not-authorised":
        answer = connection.ask({"command": "auth", "args": [password]})
        if answer.get("ok") is True:
            answer = connection.ask(request)
    return answer


def _error(answer: Mapping[str, object]) -> Mapping[str, object]:
    error = answer.get("error")
    return error if isinstance(error, dict) else {}


def _is_stream(answer: Mapping[str, object]) -> bool:
    result = answer.get("result")
    return isinstance(result, dict) and result.get("following") is True


def _print(answer: Mapping[str, object], as_json: bool, out: TextIO, err: TextIO) -> bool:
    """Show an answer; whether it was a good one."""
    ok = answer.get("ok") is True
    if as_json:
        shown = answer.get("result") if ok else {"ok": False, "error": _error(answer)}
        print(json.dumps(shown, ensure_ascii=False), file=out, flush=True)
    elif ok:
        print(answer.get("text", ""), file=out, flush=True)
    else:
        error = _error(answer)
        print(f"Error: {error.get('message')} ({error.get('code')})", file=err)
    return ok


def _follow(connection: Connection, as_json: bool, out: TextIO, err: TextIO) -> None:
    try:
        while True:
            line = connection.read(None)
            if "event" in line:
                shown = json.dumps(line["event"], ensure_ascii=False) if as_json else line.get("text", "")
                print(shown, file=out, flush=True)
    except KeyboardInterrupt:
        connection.send(b"\n")
        print(file=err)


class _Shell:
    """Reads lines with readline and sends them on; connects again after a lost connection."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        self._address = address
        self._password = environ.get(PASSWORD_VARIABLE)
        state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        self._history = Path(state, "arimonitor", "console_history")
        self._connection: Connection | None = None
        self._candidates: list[str] = []

    def run(self) -> int:
        """Until `quit` or Ctrl-D. NoAnswerError where there is no daemon at the start."""
        version = self._ask(("version",))
        print(f"ARIMONITOR at {self._address}; help lists the commands, Ctrl-D leaves.")
        if version.get("ok") is not True:
            _print(version, False, sys.stdout, sys.stderr)
        self._prepare()
        while True:
            try:
                line = input(PROMPT).strip()
            except KeyboardInterrupt:
                print()
                continue
            except EOFError:
                print()
                break
            if line and self._carry_out(line):
                break
        self._keep_history()
        return EXIT_OK

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _carry_out(self, line: str) -> bool:
        """One line; whether it was the last."""
        try:
            words = split_words(line)
            answer = self._ask(words)
            if _print(answer, False, sys.stdout, sys.stderr) and _is_stream(answer):
                self._follow()
            return answer.get("ok") is True and words[0].lower() in ("quit", "exit")
        except ValueError:
            print("Error: a quote is not closed", file=sys.stderr)
        except NoAnswerError as error:
            self.close()
            print(f"{error} (the next command tries again)", file=sys.stderr)
        except KeyboardInterrupt:
            # What was asked for may still be answered: a new connection keeps questions and answers paired.
            self.close()
            print()
        return False

    def _follow(self) -> None:
        if self._connection is not None:
            _follow(self._connection, False, sys.stdout, sys.stderr)

    def _ask(self, words: Sequence[str]) -> dict[str, object]:
        if self._connection is None:
            self._connection = Connection(self._address)
        answer = _ask(self._connection, words, self._password)
        if self._password is None and _error(answer).get("code") == "not-authorised" and sys.stdin.isatty():
            self._password = getpass.getpass("Password: ")
            answer = _ask(self._connection, words, self._password)
        return answer

    def _prepare(self) -> None:
        readline.set_completer(self._complete)
        readline.set_completer_delims(" \t")
        readline.parse_and_bind("tab: complete")
        if self._history.exists():
            readline.read_history_file(self._history)

    def _keep_history(self) -> None:
        # A line may hold a password (set mq.password ...): only its owner may read it.
        self._history.parent.mkdir(parents=True, exist_ok=True)
        self._history.touch(mode=0o600)
        readline.set_history_length(1000)
        readline.write_history_file(self._history)

    def _complete(self, text: str, state: int) -> str | None:
        if state == 0:
            begun = readline.get_line_buffer()[: readline.get_begidx()].split()
            try:
                result = self._ask(("complete", *begun, text)).get("result")
            except NoAnswerError:
                self.close()
                result = None
            found = result.get("candidates") if isinstance(result, dict) else None
            self._candidates = [f"{word} " for word in found] if isinstance(found, list) else []
        return self._candidates[state] if state < len(self._candidates) else None
