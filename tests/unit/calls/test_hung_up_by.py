"""Who hung up, where a story's recording has only one of the orders that occur."""

from __future__ import annotations

from tests.unit.calls import expectations as ex


def test_between_the_answer_and_the_bridge() -> None:
    """Seen live: the caller's hangup a millisecond before the two legs meet in the bridge."""
    lines = ex.read(ex.TRACES / "22-linkedid" / "cancel-after-answer.jsonl.gz")
    events = [event for _, event in lines if isinstance(event, dict)]
    answered = next(e for e in events if e["type"] == "Dial" and e["dialstatus"] == "ANSWER")["timestamp"]
    for event in events:
        if event["type"] in ("ChannelEnteredBridge", "BridgeCreated"):
            event["timestamp"] = answered.replace(answered[20:23], f"{int(answered[20:23]) + 1:03d}")
        elif event["type"] == "ChannelHangupRequest" and not event.get("soft"):
            event["timestamp"] = answered
    _, facts = ex.play(lines)
    assert isinstance(facts[-1], ex.Ended)
    assert facts[-1].disposition == "ANSWERED"
    assert facts[-1].hangup_by == "1013010"
