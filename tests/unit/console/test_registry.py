"""The table of commands: finding, help, completion, and what a record must be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from daemon.console.registry import Command, CommandError, Registry, Result, SessionInfo, first_of

INFO = SessionInfo("192.0.2.7:4000")


def echo(args: Sequence[str], info: SessionInfo) -> Result:
    return Result({"args": list(args), "peer": info.peer}, " ".join(args))


LIST = Command(
    name="list",
    aliases=("list_endpoints",),
    group="Endpoints",
    summary="endpoints and their state",
    usage=("list [CLIENT]",),
    examples=("list", "list 101"),
    handler=echo,
    complete=first_of(("101", "102", "201")),
)
STATUS = Command("status", "System", "the whole picture", ("status",), echo)
REGISTRY = Registry((STATUS, LIST))


@pytest.mark.parametrize("word", ["list", "LIST", "list_endpoints"])
def test_by_name_and_alias(word: str) -> None:
    assert REGISTRY.find(word) is LIST


def test_arguments_and_who_asks_reach_the_handler() -> None:
    assert REGISTRY.run(("list", "101"), INFO).data == {"args": ["101"], "peer": "192.0.2.7:4000"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lst", "there is no command 'lst'; did you mean list?"),
        ("stat", "there is no command 'stat'; did you mean status?"),
        ("complet", "there is no command 'complet'; help lists the commands"),
        ("xyzzy", "there is no command 'xyzzy'; help lists the commands"),
        ("z" * 50, "there is no command '" + "z" * 40 + "...'; help lists the commands"),
    ],
)
def test_unknown_commands_are_told_the_nearest(word: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        REGISTRY.run((word,), INFO)
    assert (caught.value.code, caught.value.message) == ("unknown-command", message)


def test_help() -> None:
    assert REGISTRY.run(("help",), INFO).text == (
        "System\n"
        "  status              the whole picture\n"
        "  help [COMMAND] (?)  lists the commands, or explains one\n"
        "\n"
        "Endpoints\n"
        "  list [CLIENT] (list_endpoints)  endpoints and their state\n"
        "\n"
        "help COMMAND explains one command."
    )


def test_help_of_one() -> None:
    result = REGISTRY.run(("?", "list_endpoints"), INFO)
    assert result.text == (
        "list: endpoints and their state\n"
        "\n"
        "  Usage     list [CLIENT]\n"
        "  Aliases   list_endpoints\n"
        "  Examples  list\n"
        "            list 101"
    )
    assert result.data == {
        "name": "list",
        "aliases": ["list_endpoints"],
        "group": "Endpoints",
        "summary": "endpoints and their state",
        "usage": ["list [CLIENT]"],
        "examples": ["list", "list 101"],
        "mutating": False,
    }


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        ((), ["?", "help", "list", "list_endpoints", "status"]),
        (("li",), ["list", "list_endpoints"]),
        (("help", "st"), ["status"]),
        (("list", ""), ["101", "102", "201"]),
        (("list", "10"), ["101", "102"]),
        (("list", "101", ""), []),
        (("nothing", "x"), []),
    ],
)
def test_completion(words: tuple[str, ...], candidates: list[str]) -> None:
    assert REGISTRY.complete(words) == candidates
    assert REGISTRY.run(("complete", *words), INFO).data == {"candidates": candidates}


def test_two_commands_of_one_name() -> None:
    with pytest.raises(ValueError, match="two commands are called 'list'"):
        Registry((LIST, LIST))


def test_a_summary_fits_its_column() -> None:
    with pytest.raises(ValueError, match="60 characters, 59 fit"):
        Command("x", "System", "s" * 60, ("x",), echo)


def test_groups_and_codes_are_known() -> None:
    with pytest.raises(ValueError, match="no group"):
        Command("x", "Other", "s", ("x",), echo)
    with pytest.raises(ValueError, match="no error code"):
        CommandError("oops", "x")
