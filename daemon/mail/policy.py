"""What the configuration says about who may ask for what, as the decisions need it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

from daemon.mail.addresses import domain_of, lower
from daemon.mail.subject import Limits
from daemon.settings import Settings

PER_SENDER = 60
IN_ALL = 600


@dataclass(frozen=True, slots=True)
class Rights:
    """What one sender may ask for; empty `extensions` and `servers` mean all of them."""

    commands: tuple[str, ...] = ("RAMAIS",)
    extensions: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides about a mail. Addresses are in lower case.

    `whitelist` has addresses and, as "@domain", whole domains. `own_domain`
    is that of our Message-IDs. `per_sender` and `in_all` are mails an hour.
    """

    limits: Limits
    whitelist: frozenset[str] = frozenset()
    rights: Mapping[str, Rights] = field(default_factory=dict)
    require_token: Literal["dangerous", "always", "never"] = "dangerous"  # noqa: S105
    authserv_id: str = ""
    own_domain: str = ""
    audios_from: str = "audio"
    language: str = "pt_BR"
    per_sender: int = PER_SENDER
    in_all: int = IN_ALL

    def rights_of(self, sender: str) -> Rights:
        """Of a sender who is not listed: RAMAIS on everything."""
        return self.rights.get(lower(sender), Rights())

    def knows(self, sender: str) -> bool:
        """Whether a sender may ask at all."""
        address = lower(sender)
        return bool(address) and (address in self.whitelist or "@" + domain_of(address) in self.whitelist)


def policy_of(settings: Settings) -> Policy:
    """The policy of a configuration."""
    mail = settings.mail
    return Policy(
        limits=Limits(
            max_extensions=settings.queue.max_extensions,
            max_days=settings.queue.max_days,
            timezone=ZoneInfo(settings.node.timezone),
            servers={server.name: server.audios_from for server in settings.server},
        ),
        whitelist=frozenset(map(lower, mail.whitelist)),
        rights={
            lower(sender.address): Rights(sender.commands, sender.extensions, sender.servers)
            for sender in mail.sender
        },
        require_token=mail.require_token,
        authserv_id=mail.authserv_id.strip(),
        own_domain=lower(domain_of(mail.smtp.from_)),
        audios_from=settings.recordings.audios_from,
        language=settings.node.language,
    )
