"""Who hung up, where a story's recording has only one of the orders that occur."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("story", ["attended-transfer-ami", "attended-transfer-feature-code"])
@pytest.mark.parametrize("folder", ex.LINKEDID)
def test_whose_hangup_connects_the_others_in_that_millisecond(folder: str, story: str) -> None:
    """Seen live: the transferor's hangup and the meeting of the other two have one time."""
    lines = ex.read(ex.TRACES / folder / f"{story}.jsonl.gz")
    events = [event for _, event in lines if isinstance(event, dict)]
    hangup = next(event for event in events if event["type"] == "ChannelHangupRequest")
    assert hangup["channel"]["caller"]["number"] == "1013010"
    after = events[events.index(hangup) :]
    meeting = next((event for event in after if event["type"] == "ChannelEnteredBridge"), None)
    if meeting is not None:
        hangup["timestamp"] = meeting["timestamp"]
    _, facts = ex.play(lines)
    assert isinstance(facts[-1], ex.Ended)
    assert facts[-1].hangup_by == "1013012"


@pytest.mark.parametrize("folder", ex.LINKEDID)
def test_giving_up_ends_the_dial_a_moment_before_it_is_told(folder: str) -> None:
    """Seen live on 16: the caller's hangup is stamped a little later than the end of the Dial."""
    lines = ex.read(ex.TRACES / folder / "cancel-at-answer.jsonl.gz")
    events = [event for _, event in lines if isinstance(event, dict)]
    over = next(e for e in events if e["type"] == "Dial" and e["dialstatus"] == "NOANSWER")["timestamp"]
    later = over.replace(over[20:23], f"{int(over[20:23]) + 2:03d}")
    for event in events:
        if event["type"] == "ChannelHangupRequest":
            event["timestamp"] = later
    _, facts = ex.play(lines)
    assert isinstance(facts[-1], ex.Ended)
    assert facts[-1].disposition == "CANCEL"
    assert facts[-1].hangup_by == "1013010"
