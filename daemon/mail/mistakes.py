"""A mistake in a subject: a code of the reasons and what it names. Pure."""

from __future__ import annotations


class Mistake(Exception):
    """What is wrong with a value or a subject; subject.parse makes a refusal of it."""

    def __init__(self, code: str, **names: str) -> None:
        super().__init__(code)
        self.code = code
        self.names = names
