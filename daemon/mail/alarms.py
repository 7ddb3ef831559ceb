"""What the admin is told by mail: which kinds of trouble there are now, and which to tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["mailbox", "outbox", "disk", "gap", "answers", "failover"]

EVERY = 3600.0
"""Seconds between two mails of one kind."""
MAILBOX_AWAY = 300.0
OUTBOX_OLD = 600.0
LOW_DISK = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """How things are. Seconds; None: nothing of the kind. `gaps` counts since the start.

    `failover` is the epoch since which this node is master in place of `before`, for `reason`; 0: no news.
    """

    mailbox_away: float | None = None
    mailbox_problem: str = ""
    outbox_oldest: float = 0.0
    outbox_messages: int = 0
    free_bytes: int | None = None
    data_dir: str = ""
    gaps: int = 0
    undeliverable: int = 0
    failover: int = 0
    node: str = ""
    before: str = ""
    reason: str = ""


_SENTENCES: Mapping[str, Mapping[Kind, str]] = {
    "en": {
        "mailbox": "The mailbox has not been read for {minutes} minutes: {problem}",
        "outbox": "{messages} call messages wait for the broker, the oldest for {minutes} minutes.",
        "disk": "The disk of {folder} has {megabytes} MB left.",
        "gap": "Events of Asterisk may have been missed {times} times: see monitor-gap.",
        "answers": "An answer could not be delivered: `arimonitor ctl queue failed` names it.",
        "failover": "{node} is master now, in place of {before}: {why}. In the log: {reason}",
    },
    "pt_BR": {
        "mailbox": "A caixa de entrada não é lida há {minutes} minutos: {problem}",
        "outbox": "{messages} mensagens de chamadas esperam pelo broker, a mais antiga há {minutes} minutos.",
        "disk": "O disco de {folder} tem só {megabytes} MB livres.",
        "gap": "Eventos do Asterisk podem ter sido perdidos {times} vez(es): veja monitor-gap.",
        "answers": "Uma resposta não pôde ser entregue: `arimonitor ctl queue failed` diz qual.",
        "failover": "{node} é o mestre agora, no lugar de {before}: {why}. No log: {reason}",
    },
}


_WHY: tuple[tuple[re.Pattern[str], Mapping[str, str]], ...] = (
    (
        re.compile(r"(?P<it>.+), the last master, is away\b"),
        {
            "en": "{it} does not answer any more (it died, hangs or is cut off)",
            "pt_BR": "{it} não responde mais (caiu, travou ou ficou sem rede)",
        },
    ),
    (
        re.compile(r"(?P<it>.+) hands over to this node\b"),
        {
            "en": "{it} has handed over in good order (an operator's wish, an orderly stop, or an Asterisk"
            " that {it} does not reach)",
            "pt_BR": "{it} passou o comando em boa ordem (a pedido de um operador, numa parada normal, ou"
            " porque {it} não alcança um Asterisk)",
        },
    ),
    (
        re.compile(r"(?P<it>.+) is master no more\b"),
        {
            "en": "{it} has given the lease back, or lost it",
            "pt_BR": "{it} devolveu ou perdeu o comando",
        },
    ),
    (
        re.compile(r"(?P<it>nobody) is master\b"),
        {"en": "there was no master", "pt_BR": "não havia mestre"},
    ),
)
"""What the election says (ha/election.py), and how that is told."""


def _why(reason: str, language: str) -> str:
    """The election's sentence in the reader's words; it stands behind them, to be found in the log."""
    for pattern, words in _WHY:
        if found := pattern.match(reason):
            return words[language].format(it=found["it"])
    return {"en": "for another reason", "pt_BR": "por outro motivo"}[language]


def troubles(now: Facts, before: Facts, language: str = "en") -> dict[Kind, str]:
    """One sentence for each kind of trouble there is. What a server said in it is as the server said it."""
    found: dict[Kind, dict[str, object]] = {}
    if now.mailbox_away is not None and now.mailbox_away >= MAILBOX_AWAY:
        found["mailbox"] = {"minutes": f"{now.mailbox_away / 60:.0f}", "problem": now.mailbox_problem}
    if now.outbox_oldest >= OUTBOX_OLD:
        found["outbox"] = {"messages": now.outbox_messages, "minutes": f"{now.outbox_oldest / 60:.0f}"}
    if now.free_bytes is not None and now.free_bytes < LOW_DISK:
        found["disk"] = {"folder": now.data_dir, "megabytes": now.free_bytes >> 20}
    if now.gaps > before.gaps:
        found["gap"] = {"times": now.gaps - before.gaps}
    if now.undeliverable > before.undeliverable:
        found["answers"] = {}
    if now.failover > before.failover:
        why = _why(now.reason, language)
        found["failover"] = {"node": now.node, "before": now.before, "why": why, "reason": now.reason}
    return {kind: _SENTENCES[language][kind].format(**names) for kind, names in found.items()}


def to_tell(found: Mapping[Kind, str], told: Mapping[Kind, float], now: float) -> dict[Kind, str]:
    """Those of which there was no mail within the hour. `told` is when, in seconds."""
    return {kind: text for kind, text in found.items() if now - told.get(kind, float("-inf")) >= EVERY}
