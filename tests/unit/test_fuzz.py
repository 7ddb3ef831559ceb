"""A few rounds of the fuzzer, always the same ones; `make fuzz` goes on for as long as you like."""

from __future__ import annotations

import pytest

from tests import fuzz


@pytest.mark.parametrize("target", range(len(fuzz.TARGETS)), ids=[each.__name__ for each in fuzz.TARGETS])
def test_rounds(target: int) -> None:
    for number in range(100):
        fuzz.round_of(number * len(fuzz.TARGETS) + target)
