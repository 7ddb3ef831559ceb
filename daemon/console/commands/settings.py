"""System: the knobs. `debug`, `set` and `get` over the settings in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from daemon.console.registry import Command, CommandError, Result, SessionInfo, first_of
from daemon.console.render import plain, shown, table
from daemon.errors import PermanentError

# What people type for the two switches they need most, and the words for both at once.
SHORT_NAMES = {"debug": "log.debug", "debug_verbose": "log.debug_verbose"}
DEBUG_MODES = {"off": ("false", "false"), "on": ("true", "false"), "verbose": ("true", "true")}

S = TypeVar("S")


def settings_commands(
    *,
    settings: Callable[[], S],
    get: Callable[[S, str], object],
    with_value: Callable[[S, str, str], S],
    apply: Callable[[S], None],
    counters: Callable[[], Mapping[str, int | float]],
    names: Callable[[], Iterable[str]] = tuple,
) -> tuple[Command, ...]:
    """`debug`, `set` and `get`, over settings of any type S.

    `settings()` are those in force; `get` and `with_value` are settings.keys';
    `apply` puts new ones in force, or raises and leaves the old; `names` are
    the keys, for completion.
    """

    def put(name: str, value: str) -> object:
        apply(with_value(settings(), name, value))
        return shown(get(settings(), name))

    def set_value(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) < 2:
            raise commands["set"].wrong_usage()
        name = SHORT_NAMES.get(args[0], args[0])
        if name in counters():
            raise CommandError("refused", f"{name} is a counter: it can only be read")
        before = shown(get(settings(), name))
        after = put(name, " ".join(args[1:]))
        data = {"name": name, "value": after, "was": before}
        return Result(data, f"{name} = {plain(after)} (was {plain(before)})")

    def get_value(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) != 1:
            raise commands["get"].wrong_usage()
        name = SHORT_NAMES.get(args[0], args[0])
        numbers = counters()
        if name in numbers:
            return Result({"name": name, "value": numbers[name]}, f"{name} = {plain(numbers[name])}")
        try:
            value = shown(get(settings(), name))
        except PermanentError as error:
            raise CommandError("not-found", str(error)) from error
        if isinstance(value, dict):
            rows = [(key, "= " + plain(inner)) for key, inner in value.items()]
            return Result({"name": name, "value": value}, table(rows))
        return Result({"name": name, "value": value}, f"{name} = {plain(value)}")

    def debug(args: Sequence[str], _info: SessionInfo) -> Result:
        if len(args) > 1 or (args and args[0].lower() not in DEBUG_MODES):
            raise commands["debug"].wrong_usage()
        if args:
            wanted = settings()
            for name, value in zip(SHORT_NAMES.values(), DEBUG_MODES[args[0].lower()], strict=True):
                wanted = with_value(wanted, name, value)
            apply(wanted)
        on, verbose = (bool(get(settings(), name)) for name in SHORT_NAMES.values())
        mode = "verbose" if verbose else "on" if on else "off"
        return Result({"debug": on, "debug_verbose": verbose, "mode": mode}, f"Debug is {mode}.")

    def complete_name(args: Sequence[str]) -> Iterable[str]:
        return (*SHORT_NAMES, *counters(), *names()) if len(args) == 1 else ()

    commands = {
        command.name: command
        for command in (
            Command(
                name="debug",
                group="System",
                summary="how much the log says: on, off, verbose (each event)",
                usage=("debug [on|off|verbose]",),
                examples=("debug on",),
                handler=debug,
                complete=first_of(DEBUG_MODES),
                mutating=True,
            ),
            Command(
                name="set",
                group="System",
                summary="changes a key of the configuration until the restart",
                usage=("set NAME VALUE",),
                examples=("set debug_verbose true", "set asterisk.voip3.url http://192.0.2.3:8088"),
                handler=set_value,
                complete=complete_name,
                mutating=True,
            ),
            Command(
                name="get",
                group="System",
                summary="shows a key of the configuration, or a counter",
                usage=("get NAME",),
                examples=("get active_calls", "get mq", "get asterisk.voip3.url"),
                handler=get_value,
                complete=complete_name,
            ),
        )
    }
    return tuple(commands.values())
