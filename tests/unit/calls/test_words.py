"""Facts as sentences."""

from __future__ import annotations

from daemon.calls.model import Answered, Dtmf, Ended, Received
from daemon.calls.words import sentence

HEAD = ("1761562800.42", 1761562800120, "1013010", "1013015", 1, False)


def test_sentences() -> None:
    assert sentence(Received(*HEAD)) == "received 1013010 -> 1013015"
    answered = Answered(*HEAD, 1761562802128, "1013015", None, None)
    assert sentence(answered) == "answered 1013010 -> 1013015, by 1013015 after 2.0 s"
    menu = Answered(*HEAD, 1761562800121, None, "Playback", None)
    assert sentence(menu) == "answered 1013010 -> 1013015, by application Playback after 0.0 s"
    digit = Dtmf(*HEAD, 2, "5", "1013010", "1761562800.42", 1761562803000, 120)
    assert sentence(digit) == "dtmf     1013010 -> 1013015, 1013010 pressed 5"


def test_ends() -> None:
    def ended(merged_into: str | None = None, hangup_by: str | None = None) -> str:
        return sentence(
            Ended(
                *HEAD,
                1761562807000,
                7,
                5,
                "ANSWERED",
                16,
                "Normal Clearing",
                hangup_by,
                None,
                None,
                None,
                (),
                merged_into,
            )
        )

    assert ended() == "ended    1013010 -> 1013015, ANSWERED, 7 s, billed 5 s"
    assert ended(hangup_by="1013010").endswith("billed 5 s, hung up by 1013010")
    assert ended(merged_into="1.2").endswith("billed 5 s, became part of 1.2")
