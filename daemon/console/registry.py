"""The table of commands: a command is a record, not a branch of a dispatcher. Pure.

Help, completion, the telnet console, JSON lines and `arimonitor ctl` all come
from these records. Model: Asterisk's include/asterisk/cli.h.

A handler takes its arguments and who asks, and returns a `Result` that says
the same thing twice: data for programs, text for people. It raises
CommandError with one of the codes below; a PermanentError is answered as
`refused`, any other error as `failed`.

    unknown-command  usage  not-found  refused  failed
    too-long  bad-json  not-authorised             (the session's own)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.console.render import table

GROUPS = ("System", "Calls", "Endpoints", "Queue", "Failover")

CODES = frozenset(
    ("unknown-command", "usage", "not-found", "refused", "failed", "too-long", "bad-json", "not-authorised")
)


class CommandError(Exception):
    """A command that was not carried out: a code for programs, a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise ValueError(f"{code!r} is no error code of the console")
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Who asks: `peer` is an address or "terminal"; `json` whether a program does."""

    peer: str
    json: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of a stream: the same thing as data and as one line of text."""

    data: Mapping[str, object]
    text: str


Sink = Callable[[Item], None]
"""Takes an item at once: it neither blocks nor raises."""

Subscribe = Callable[[Sink], Callable[[], None]]
"""Begins a stream into the sink; what it returns ends it."""


@dataclass(frozen=True, slots=True)
class Result:
    """A command's answer. `close` ends the session; `stream` goes on after the answer."""

    data: Mapping[str, object]
    text: str
    close: bool = False
    stream: Subscribe | None = None


Handler = Callable[[Sequence[str], SessionInfo], Result]
Completer = Callable[[Sequence[str]], Iterable[str]]
"""Candidates for the last of the arguments, which may be unfinished or empty."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `mutating`: it changes state, so it is logged, and the web asks for the password.

    A line of `usage` shows one form, `examples` are lines as typed.
    """

    name: str
    group: str
    summary: str
    usage: tuple[str, ...]
    handler: Handler
    aliases: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    complete: Completer | None = None
    mutating: bool = False
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(f"{self.name}: {self.group!r} is no group of commands")
        if len(self.summary) >= 60:
            raise ValueError(f"{self.name}: the summary has {len(self.summary)} characters, 59 fit")

    def wrong_usage(self, why: str = "") -> CommandError:
        """The error for arguments that make no sense, with the right forms."""
        forms = " | ".join(self.usage)
        return CommandError("usage", f"{why}; usage: {forms}" if why else f"usage: {forms}")

    def as_dict(self) -> dict[str, object]:
        """The record as plain data, for `help` as JSON."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "group": self.group,
            "summary": self.summary,
            "usage": list(self.usage),
            "examples": list(self.examples),
            "mutating": self.mutating,
        }


def first_of(words: Iterable[str]) -> Callable[[Sequence[str]], Iterable[str]]:
    """Completion of a first argument that is one of `words`."""
    offered = tuple(words)
    return lambda args: offered if len(args) == 1 else ()


class Registry:
    """The commands of one console, found by exact name or alias (upper case is understood).

    `help` is added here, since only the table knows the table, and the hidden
    `complete`, which the interactive client asks for completions.
    """

    def __init__(self, commands: Iterable[Command]) -> None:
        self._commands: list[Command] = [*commands, self._help_command(), self._complete_command()]
        self._by_word: dict[str, Command] = {}
        for command in self._commands:
            for word in (command.name, *command.aliases):
                if word in self._by_word:
                    raise ValueError(f"two commands are called {word!r}")
                self._by_word[word] = command

    def find(self, word: str) -> Command:
        """The command of that name or alias. Raises CommandError with the nearest names."""
        command = self._by_word.get(word.lower())
        if command is not None:
            return command
        visible = [name for name, known in self._by_word.items() if not known.hidden]
        near = difflib.get_close_matches(word.lower()[:40], visible, n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "help lists the commands"
        shown = word if len(word) <= 40 else word[:40] + "..."
        raise CommandError("unknown-command", f"there is no command {shown!r}; {hint}")

    def run(self, words: Sequence[str], info: SessionInfo) -> Result:
        """Carry out a command: its name, then its arguments. Raises what the handler raises."""
        if not words:
            raise CommandError("unknown-command", "no command was given; help lists the commands")
        return self.find(words[0]).handler(words[1:], info)

    def complete(self, words: Sequence[str]) -> list[str]:
        """Candidates for the last word, sorted: command names first, then what the command offers."""
        if len(words) <= 1:
            prefix = words[0].lower() if words else ""
            names = (word for word, command in self._by_word.items() if not command.hidden)
            return sorted(name for name in names if name.startswith(prefix))
        command = self._by_word.get(words[0].lower())
        if command is None or command.complete is None:
            return []
        offered = command.complete(words[1:])
        return sorted({word for word in offered if word.lower().startswith(words[-1].lower())})

    def _visible(self) -> list[Command]:
        return [command for command in self._commands if not command.hidden]

    def _help_command(self) -> Command:
        return Command(
            name="help",
            aliases=("?",),
            group="System",
            summary="lists the commands, or explains one",
            usage=("help [COMMAND]",),
            examples=("help", "help events"),
            handler=self._help,
            complete=lambda args: self.complete(args) if len(args) == 1 else [],
        )

    def _help(self, args: Sequence[str], _info: SessionInfo) -> Result:
        if args:
            command = self.find(args[0])
            return Result(command.as_dict(), _explain(command))
        visible = self._visible()
        text = "\n\n".join(
            _list_group(group, members)
            for group in GROUPS
            if (members := [command for command in visible if command.group == group])
        )
        return Result(
            {"commands": [command.as_dict() for command in visible]},
            f"{text}\n\nhelp COMMAND explains one command.",
        )

    def _complete_command(self) -> Command:
        def handler(args: Sequence[str], _info: SessionInfo) -> Result:
            candidates = self.complete(args)
            return Result({"candidates": candidates}, "\n".join(candidates))

        return Command(
            name="complete",
            group="System",
            summary="candidates for an unfinished line",
            usage=("complete WORD...",),
            handler=handler,
            hidden=True,
        )


def _list_group(group: str, commands: Sequence[Command]) -> str:
    rows = []
    for command in commands:
        aliases = f" ({', '.join(command.aliases)})" if command.aliases else ""
        rows.append((command.usage[0] + aliases, command.summary))
    return f"{group}\n{table(rows, indent='  ')}"


def _explain(command: Command) -> str:
    facts = [("Usage", form) for form in command.usage]
    facts += [("Aliases", ", ".join(command.aliases))] if command.aliases else []
    facts += [("Examples", line) for line in command.examples]
    labels = [label for label, _ in facts]
    rows = [("" if label in labels[:at] else label, fact) for at, (label, fact) in enumerate(facts)]
    return f"{command.name}: {command.summary}\n\n{table(rows, indent='  ')}"
