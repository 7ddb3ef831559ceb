"""The facts of a whole call that was found out afterwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.calls.model import Answered, Ended, Fact, Received

Head = tuple[str, int, str | None, str | None]
"""Call, when it began (ms), origin and destiny."""


def facts_of(
    head: Head,
    *,
    answer: int | None,
    answered_by: str | None,
    application: str | None,
    end: int,
    duration: int,
    billsec: int,
    disposition: str,
    recordings: Iterable[str],
) -> list[Fact]:
    """Received, answered if it was (`answer` in ms), ended; what no file tells is None."""
    facts: list[Fact] = [Received(*head, 1, True)]
    if answer is not None:
        facts.append(Answered(*head, 2, True, answer, answered_by, application, None))
    ended = Ended(
        *head,
        len(facts) + 1,
        True,
        endtime=end,
        duration=duration,
        billsec=billsec,
        disposition=disposition,
        cause=None,
        cause_text="",
        hangup_by=None,
        answertime=answer,
        answered_by=answered_by,
        agent_answertime=None,
        recordings=tuple(sorted(recordings)),
        merged_into=None,
    )
    return [*facts, ended]
