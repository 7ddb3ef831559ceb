"""Each reason in both languages, with the same names in both."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from daemon.jobs.reasons import REASONS
from daemon.jobs.servers import REFUSED

SOURCES = Path(__file__).parents[3] / "daemon/jobs"


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", REASONS)
def test_both_languages_name_the_same(code: str) -> None:
    portuguese, english = REASONS[code]
    assert names(portuguese) == names(english)
    assert portuguese != english


@pytest.mark.parametrize("module", ["servers", "checkip", "macchange"])
def test_every_code_of_the_commands_has_its_sentence(module: str) -> None:
    text = (SOURCES / f"{module}.py").read_text().replace(" REFUSED", f' "{REFUSED}"')
    for raised in re.finditer(
        r"(?:raise|return) RequestError\((.*?)\n? *\)(?: from error)?(?:  # fmt: skip)?\n", text, re.S
    ):
        words = re.findall(r'"([a-z]+(?:-[a-z]+)+)"', raised[1])
        assert words, raised[0]
        assert words[-1] in REASONS
        given = set(re.findall(r"\b([a-z]+)=", raised[1]))
        assert names(REASONS[words[-1]][0]) <= given, words[-1]
