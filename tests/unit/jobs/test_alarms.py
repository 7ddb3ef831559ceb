"""What the admin is told by mail, and how often."""

import pytest

from daemon.mail.alarms import Facts, to_tell, troubles

WELL = Facts(free_bytes=10**12)


@pytest.mark.parametrize(
    ("now", "before", "kinds"),
    [
        (WELL, WELL, []),
        (Facts(mailbox_away=299.0), WELL, []),
        (Facts(mailbox_away=300.0, mailbox_problem="away"), WELL, ["mailbox"]),
        (Facts(outbox_oldest=599.0, outbox_messages=5), WELL, []),
        (Facts(outbox_oldest=600.0, outbox_messages=5), WELL, ["outbox"]),
        (Facts(free_bytes=500 * 1024 * 1024 - 1), WELL, ["disk"]),
        (Facts(gaps=2), Facts(gaps=2), []),
        (Facts(gaps=3), Facts(gaps=2), ["gap"]),
        (Facts(undeliverable=1), WELL, ["answers"]),
        (Facts(mailbox_away=900.0, gaps=1), WELL, ["mailbox", "gap"]),
        (Facts(failover=1), WELL, ["failover"]),
        (Facts(failover=1), Facts(failover=1), []),
    ],
)
def test_troubles(now: Facts, before: Facts, kinds: list[str]) -> None:
    assert list(troubles(now, before)) == kinds


def test_one_of_a_kind_an_hour() -> None:
    found = troubles(Facts(gaps=1, free_bytes=1), WELL)
    assert list(to_tell(found, {}, 10_000.0)) == ["disk", "gap"]
    assert list(to_tell(found, {"disk": 6_401.0}, 10_000.0)) == ["gap"]
    assert list(to_tell(found, {"disk": 6_400.0}, 10_000.0)) == ["disk", "gap"]


def test_in_the_language_of_the_mails() -> None:
    facts = Facts(mailbox_away=300.0, mailbox_problem="IMAP {x} is away", gaps=2, free_bytes=1 << 20)
    assert (
        troubles(facts, WELL, "pt_BR")["mailbox"]
        == "A caixa de entrada não é lida há 5 minutos: IMAP {x} is away"
    )
    assert troubles(facts, WELL, "en")["mailbox"] == (
        "The mailbox has not been read for 5 minutes: IMAP {x} is away"
    )
    reason = "AUDIO, the last master, is away: this node asks for the lease"
    taken = Facts(failover=1, node="AUDIO2", before="AUDIO", reason=reason)
    assert troubles(taken, WELL, "en")["failover"] == (
        "AUDIO2 is master now, in place of AUDIO: AUDIO does not answer any more (it died, hangs or is cut"
        f" off). In the log: {reason}"
    )
    assert troubles(taken, WELL, "pt_BR")["failover"] == (
        "AUDIO2 é o mestre agora, no lugar de AUDIO: AUDIO não responde mais (caiu, travou ou ficou sem"
        f" rede). No log: {reason}"
    )


@pytest.mark.parametrize(
    ("reason", "english", "portuguese"),
    [
        (
            "AUDIO hands over to this node (an operator wants it): it asks for the lease",
            "AUDIO has handed over",
            "AUDIO passou o comando",
        ),
        (
            "AUDIO is master no more (its daemon ends): this node asks for the lease",
            "AUDIO has given the lease back",
            "AUDIO devolveu",
        ),
        ("nobody is master: this node asks for the lease", "there was no master", "não havia mestre"),
        ("something new", "for another reason", "por outro motivo"),
    ],
)
def test_why_a_node_took_over_is_told_in_the_readers_language(
    reason: str, english: str, portuguese: str
) -> None:
    taken = Facts(failover=1, node="AUDIO2", before="AUDIO", reason=reason)
    assert f"in place of AUDIO: {english}" in troubles(taken, WELL, "en")["failover"]
    assert f"no lugar de AUDIO: {portuguese}" in troubles(taken, WELL, "pt_BR")["failover"]
