"""`arimonitor tokens new | list | revoke`: the tokens of those who ask by mail. Entry.

A token is shown once, when it is made; only its hash is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from daemon.mail.addresses import is_address
from daemon.mail.policy import policy_of
from daemon.mail.tokens import Entry, Tokens, entry_of, normal
from daemon.mail.tokens_file import TokensFile
from daemon.settings import Settings
from daemon.settings import file as settingsfile

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
DAYS = 365


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tokens` to the command line."""
    command = commands.add_parser("tokens", help="tokens of those who ask by mail")
    actions = command.add_subparsers(required=True, metavar="ACTION")

    action = actions.add_parser("new", help="makes a token and shows it, once")
    action.add_argument("--sender", required=True, metavar="E", help="the mail address that it belongs to")
    action.add_argument("--days", type=_days, default=DAYS, metavar="N", help=f"until it expires ({DAYS})")
    action.add_argument("--token", metavar="XXXXXXXX", help="this one: 8 hexadecimal digits")
    _finish(action, new)

    action = actions.add_parser("list", help="whose tokens there are, never the tokens")
    action.add_argument("--json", action="store_true")
    _finish(action, show)

    action = actions.add_parser("revoke", help="ends all tokens of a sender, or one by its id")
    who = action.add_mutually_exclusive_group(required=True)
    who.add_argument("who", nargs="?", metavar="SENDER|ID")
    who.add_argument("--sender", metavar="E")
    who.add_argument("--id", metavar="ID")
    _finish(action, revoke)


def new(arguments: argparse.Namespace) -> int:
    """`tokens new`: the token on standard output, everything else on standard error."""
    settings = _settings(arguments)
    if not is_address(arguments.sender):
        return _refused("--sender: one mail address, such as person@example.com")
    try:
        token = normal(arguments.token) if arguments.token is not None else _fresh()
    except ValueError as error:
        return _refused(f"--token: {error}")
    entry = entry_of(token, arguments.sender, datetime.now(UTC), arguments.days, secrets.token_bytes(16))
    _file(settings).change(lambda tokens: tokens.added(entry))
    print(f"[{token}]")
    _say(f"belongs to {entry.sender}, expires {entry.expires:%Y-%m-%d}, id {entry.id}; it is not shown again")
    if not policy_of(settings).knows(entry.sender):
        _say(f"{entry.sender} is not on mail.whitelist yet: without that no mail of theirs is read")
    return EXIT_OK


def show(arguments: argparse.Namespace) -> int:
    """`tokens list`."""
    file = _file(_settings(arguments))
    tokens, now = file.load(), datetime.now(UTC)
    if arguments.json:
        print(json.dumps([_as_data(entry, now) for entry in tokens.entries]))
    else:
        for line in _lines(tokens, now):
            print(line)
    if file.is_open_to_others():
        _say(f"others may read {file.path}: chmod 600 it")
    if tokens.ownerless(now):
        _say("imported tokens hold for every whitelisted sender: give each sender a new one")
    return EXIT_OK


def revoke(arguments: argparse.Namespace) -> int:
    """`tokens revoke`: 1 if there was nothing to revoke."""
    who = arguments.who or arguments.sender or arguments.id
    gone: list[Entry] = []

    def without(tokens: Tokens) -> Tokens:
        left, revoked = tokens.revoked(who)
        gone.extend(revoked)
        return left

    _file(_settings(arguments)).change(without)
    if not gone:
        _say(f"there is no token of {who!r}; `arimonitor tokens list` shows what there is")
        return EXIT_FAILED
    for entry in gone:
        print(f"revoked: {entry.id} of {entry.sender or 'everybody'}")
    return EXIT_OK


def _lines(tokens: Tokens, now: datetime) -> list[str]:
    if not tokens.entries:
        return ["there are no tokens"]
    width = max(len(entry.sender or _EVERYBODY) for entry in tokens.entries)
    return [f"{'ID':<8}{'SENDER':<{width + 2}}{'CREATED':<12}{'EXPIRES':<12}STATE"] + [
        f"{entry.id:<8}{entry.sender or _EVERYBODY:<{width + 2}}"
        f"{entry.created:%Y-%m-%d}  {entry.expires:%Y-%m-%d}  {_state(entry, now)}"
        for entry in tokens.entries
    ]


def _fresh() -> str:
    """A random token with a letter in it: one of digits only looks like an extension."""
    while (token := secrets.token_hex(4).upper()).isdigit():
        pass
    return token


_EVERYBODY = "(every whitelisted sender)"


def _as_data(entry: Entry, now: datetime) -> dict[str, str]:
    return {
        "id": entry.id,
        "sender": entry.sender,
        "created": entry.created.isoformat(),
        "expires": entry.expires.isoformat(),
        "state": _state(entry, now),
    }


def _state(entry: Entry, now: datetime) -> str:
    return "valid" if now < entry.expires else "expired"


def _finish(action: argparse.ArgumentParser, command: object) -> None:
    action.add_argument("-c", "--config", type=Path, metavar="FILE")
    action.set_defaults(command=command)


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 3660:
        raise argparse.ArgumentTypeError("a whole number of days from 1 to 3660")
    return days


def _settings(arguments: argparse.Namespace) -> Settings:
    return settingsfile.load(settingsfile.resolve(arguments.config, os.environ), os.environ)


def _file(settings: Settings) -> TokensFile:
    return TokensFile(settings.mail.tokens_file, home=settings.node.data_dir)


def _say(text: str) -> None:
    print(f"arimonitor: {text}", file=sys.stderr)


def _refused(text: str) -> int:
    _say(text)
    return EXIT_USAGE
