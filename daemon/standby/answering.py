"""Answers what standbys ask: was it published, does it wait, and takes what only they saw. Adapter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from daemon.outbox.message import Message
from daemon.outbox.rows import key_of
from daemon.outbox.store import Outbox
from daemon.standby.marks import ANSWER, QUESTION, Marks
from daemon.standby.questions import (
    PUBLISHED,
    UNKNOWN,
    WAITS,
    Answer,
    Question,
    Unusable,
    decode_question,
    encode_answer,
    found_late,
    namesakes,
)

log = logging.getLogger("arimonitor.standby")


class Answerer:
    """The master's side. `taken`: messages that a standby had and this node had not."""

    def __init__(self, outbox: Outbox, marks: Marks, others: Callable[[], Collection[str]]) -> None:
        self.taken = 0
        self._outbox = outbox
        self._marks = marks
        self._others = others
        self._answered: dict[str, str] = {}  # the token by node

    def step(self, epoch: int) -> None:
        """Answer each node's question, once. Raises TransientError, jobs.records.Deposed."""
        for node in sorted(self._others()):
            data = self._marks.read_mark(QUESTION, node)
            if data is None:
                continue
            try:
                question = decode_question(data)
            except Unusable as error:
                log.debug("what %s asks can't be read: %s", node, error)
                continue
            if question.epoch != epoch or self._answered.get(node) == question.token:
                continue
            answer = Answer(question.token, self._states(node, question))
            self._marks.write_mark(ANSWER, node, encode_answer(answer), epoch)
            self._answered[node] = question.token

    def _states(self, node: str, question: Question) -> str:
        keys = [*question.ids, *(key_of(message.id) for message in question.messages)]
        states = self._look(keys)
        unknown = [
            message
            for message, state in zip(question.messages, states[len(question.ids) :], strict=True)
            if state == UNKNOWN
        ]
        if not unknown:
            return states
        self._store(node, unknown)
        return self._look(keys)

    def _store(self, node: str, messages: Sequence[Message]) -> None:
        stored = self._outbox.store([found_late(message) for message in messages])
        self.taken += stored
        log.warning(
            "%d messages that only %s saw are published now, such as %s", stored, node, messages[0].id
        )

    def _look(self, keys: Sequence[bytes]) -> str:
        by_key = {key: (key, *namesakes(key)) for key in keys}
        known = self._outbox.standing([each for group in by_key.values() for each in group])
        return "".join(_state([known[each] for each in by_key[key] if each in known]) for key in keys)


def _state(waits: Sequence[bool]) -> str:
    """The state of a fact by those of its ids that are known."""
    if not waits:
        return UNKNOWN
    return WAITS if all(waits) else PUBLISHED
