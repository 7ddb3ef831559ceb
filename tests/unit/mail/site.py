"""The site that the tables of this folder are written for."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from daemon.mail.policy import Policy, Rights
from daemon.mail.subject import Limits
from daemon.mail.tokens import Tokens, entry_of

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NOW = datetime(2025, 11, 1, 15, 0, tzinfo=UTC)  # noon in Sao Paulo

LIMITS = Limits(
    max_extensions=10,
    max_days=30,
    timezone=SAO_PAULO,
    servers={"gv1p": "audio", "gv2p": "audio", "voip1": "s3"},
)

# person      listed nowhere: RAMAIS on everything        tech   every command
# of_gv1p     one server of their own                     some   two extensions and a range
TECH, PERSON = "tech@example.com", "person@example.com"
POLICY = Policy(
    limits=LIMITS,
    whitelist=frozenset(
        (PERSON, TECH, "of_gv1p@example.com", "of_s3@example.com", "some@example.com", "@example.org")
    ),
    rights={
        TECH: Rights(("RAMAIS", "CHECKIP", "MACCHANGE")),
        "of_gv1p@example.com": Rights(("RAMAIS", "CHECKIP"), servers=("gv1p",)),
        "of_s3@example.com": Rights(("RAMAIS", "MACCHANGE"), servers=("voip1",)),
        "some@example.com": Rights(("RAMAIS", "MACCHANGE"), extensions=("1121", "1122", "2000-2099")),
    },
    own_domain="audio.example.com",
)

TECHS_TOKEN, PERSONS_TOKEN, EXPIRED, ANYBODYS = "1A2B3C4D", "0BADCAFE", "DEADBEEF", "12345678"
DAYS = "INICIO=27/10/2025 08:00 FIM=28/10/2025 18:00"
R = f"RAMAIS=1121 {DAYS}"
MACS = "MACATUAL=00:11:22:33:44:55 MACFUTURO=66:77:88:99:AA:BB"


def _entry(token: str, sender: str, created: datetime, salt: bytes):
    return entry_of(token, sender, created, 90, salt)


TOKENS = Tokens(
    (
        _entry(TECHS_TOKEN, TECH, datetime(2025, 10, 1, tzinfo=UTC), b"s" * 16),
        _entry(PERSONS_TOKEN, PERSON, datetime(2025, 10, 1, tzinfo=UTC), b"t" * 16),
        _entry(EXPIRED, TECH, datetime(2025, 1, 1, tzinfo=UTC), b"u" * 16),
        _entry(ANYBODYS, "", datetime(2025, 10, 1, tzinfo=UTC), b"v" * 16),
    )
)


class Past:
    """A history as a test tells it: ids that were seen, times of mails by sender, senders who were warned."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.mails: list[tuple[str, datetime]] = []
        self.warnings: list[tuple[str, datetime]] = []

    def known(self, request_id: str) -> bool:
        return request_id in self.ids

    def recent(self, sender: str, since: datetime) -> int:
        return sum(who == sender and at > since for who, at in self.mails)

    def recent_all(self, since: datetime) -> int:
        return sum(at > since for _, at in self.mails)

    def warned(self, sender: str, since: datetime) -> bool:
        return any(who == sender and at > since for who, at in self.warnings)
