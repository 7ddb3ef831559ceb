"""Runs a program on another machine: a validated argv, never a shell string of somebody's. Adapter.

SSH hands one string to the login shell there. It is `shlex.join` of an argv
that holds no control characters: for a POSIX shell each word arrives as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from ssh.connection import Connection, Output
from ssh.errors import SshRefused

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PROGRAM: Final = re.compile(r"[A-Za-z0-9_./+-]+")
_MOST_WORDS: Final = 64
_MOST_CHARACTERS: Final = 8192


def command_line(argv: Sequence[str]) -> str:
    """The line for the shell. Raises SshRefused for an argv that is none.

    >>> command_line(["fail2ban-client", "status", "a b"])
    "fail2ban-client status 'a b'"
    """
    if not argv or len(argv) > _MOST_WORDS or sum(map(len, argv)) > _MOST_CHARACTERS:
        raise SshRefused(f"a command of 1 to {_MOST_WORDS} words, {_MOST_CHARACTERS} characters in all")
    if not _PROGRAM.fullmatch(argv[0]) or argv[0].startswith("-"):
        raise SshRefused(f"{argv[0]!r} is no name of a program")
    for word in argv:
        if _CONTROL.search(word):
            raise SshRefused(f"a word of a command has control characters: {word!r}")
    return shlex.join(argv)


def run(
    connection: Connection, argv: Sequence[str], *, seconds: float = 20.0, max_output: int = 1024 * 1024
) -> Output:
    """Run it and wait for its end. A status other than 0 is no error here.

    Raises SshUnreachable where it does not end in time, or says more than
    `max_output` bytes.
    """
    output = connection.execute(command_line(argv), seconds=seconds, max_output=max_output)
    if output.lost:
        raise SshRefused(f"{connection.place}: {argv[0]} said more than {max_output} bytes")
    return output
