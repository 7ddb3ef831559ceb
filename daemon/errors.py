"""Errors say who must act.

==============  =======================================  ====================
class           who acts                                 what happens
==============  =======================================  ====================
TransientError  we do: it is tried again with backoff    a line in the log
PermanentError  the requester: asking again won't help   the requester is told
FatalError      the operator: this process can't go on   exit, systemd restarts
==============  =======================================  ====================

An adapter translates its library's exceptions into these; nothing above an
adapter knows the library's own. A message names the place and the mend and
never holds a secret.
"""

from __future__ import annotations


class ArimonitorError(Exception):
    """Base of every error of this product."""


class TransientError(ArimonitorError):
    """It may work the next time: the caller tries again, with backoff and a cap."""


class PermanentError(ArimonitorError):
    """It will not work however often it is tried: whoever asked is told why."""


class FatalError(ArimonitorError):
    """This process can't go on: it ends with a clear error and is started again."""


class ConfigurationError(FatalError):
    """The configuration can't be used; `problems` has every one of them.

    Each problem is one line: where (file and key), what (never a secret's
    value) and what would be right.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RequestError(PermanentError):
    """A request can't be done; who asked is told in their language.

    `code` is a key of the tables of reasons, `names` what the sentence names.
    The text is for the log, in English.
    """

    def __init__(self, text: str, code: str, **names: str) -> None:
        super().__init__(text)
        self.code = code
        self.names = names
