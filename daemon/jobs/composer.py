"""A record to the mail that tells of it: the people, the language, the reason. Part of the services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from daemon.jobs import policy
from daemon.jobs.model import Failure, Record
from daemon.mail import answers, reasons
from daemon.mail.alarms import Kind
from daemon.mail.answers import People
from daemon.mail.model import Answer
from daemon.mail.opening import people_of
from daemon.mail.policy import policy_of
from daemon.recordings.reasons import LEFT_OUT
from daemon.settings import Settings

ALL_COMMANDS = ("RAMAIS", "CHECKIP", "MACCHANGE")

_TITLES: dict[str, dict[Kind, str]] = {
    "pt_BR": {
        "mailbox": "a caixa de entrada não está sendo lida",
        "failover": "houve uma troca de mestre",
        "outbox": "mensagens de chamadas esperam há muito tempo",
        "disk": "o disco está quase cheio",
        "gap": "eventos do Asterisk podem ter sido perdidos",
        "answers": "uma resposta não pôde ser entregue",
    },
    "en": {
        "mailbox": "the mailbox is not being read",
        "failover": "the master has changed",
        "outbox": "call messages have waited for long",
        "disk": "the disk is nearly full",
        "gap": "events of Asterisk may have been missed",
        "answers": "an answer could not be delivered",
    },
}

_MENDS: dict[str, dict[Kind, str]] = {
    "pt_BR": {
        "failover": "se ninguém pediu a troca, veja o que houve com o outro nó: `arimonitor ctl nodes`"
        " diz se ele está no ar, `arimonitor ctl history` lista as últimas trocas. Chamadas e pedidos"
        " seguem neste nó."
    },
    "en": {
        "failover": "if nobody asked for it, see what became of the other node: `arimonitor ctl nodes`"
        " tells whether it is there, `arimonitor ctl history` the last changes. Calls and requests go"
        " on at this node."
    },
}


class MailComposer:
    """By the settings in force. The same record makes the same bytes."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    @property
    def people(self) -> People:
        """Who writes and who has to know."""
        return people_of(self._settings())

    def answer(self, record: Record) -> Answer:
        """Result, failure, refusal or help, as the record says."""
        zone = ZoneInfo(self._settings().node.timezone)
        now = datetime.fromtimestamp(record.accepted_at, zone)
        language = record.request.language
        kind = policy.kind_of(record)
        if kind == "result":
            return answers.result(record, self.people, now, zone, lambda failure: _say(failure, language))
        if kind == "help":
            return self._help(record, now)
        failure = record.failure or Failure("impossible")
        why = reasons.mistake(failure, language)
        if kind == "refused":
            return answers.refused(record, why, reasons.right_forms(failure), self.people, now)
        return answers.failed(record, why, self.people, now)

    def queued(self, record: Record, place: int) -> Answer:
        """The place in the line."""
        now = datetime.fromtimestamp(record.accepted_at, ZoneInfo(self._settings().node.timezone))
        return answers.queued(record, 0 if record.state == "running" else place, self.people, now)

    def away(self, record: Record) -> Answer:
        """It waits for the machine with the recordings."""
        now = datetime.fromtimestamp(record.accepted_at, ZoneInfo(self._settings().node.timezone))
        return answers.away(record, self.people, now)

    def alert(self, kind: Kind, text: str, at: float) -> Answer:
        """To the admin. ValueError: there is none."""
        settings = self._settings()
        now = datetime.fromtimestamp(at, ZoneInfo(settings.node.timezone))
        return answers.alert(
            f"{kind}-{settings.node.name}-{now:%Y%m%d_%H%M%S}",
            settings.node.language,
            _TITLES[settings.node.language][kind],
            ((settings.node.name, text),),
            self.people,
            now,
            _MENDS[settings.node.language].get(kind, ""),
        )

    def _help(self, record: Record, now: datetime) -> Answer:
        settings = self._settings()
        rights = policy_of(settings).rights_of(record.request.from_email)
        commands = [name for name in ALL_COMMANDS if name in rights.commands]
        queue = settings.queue
        return answers.help(record, commands, queue.max_extensions, queue.max_days, self.people, now)


def _say(failure: Failure, language: str) -> str:
    """A reason in words: a few beside a recording that was left out, else a sentence."""
    words = LEFT_OUT.get(failure.code)
    return words[language == "en"] if words is not None else reasons.sentence(failure, language)
