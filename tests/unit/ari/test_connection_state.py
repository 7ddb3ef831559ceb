"""Liveness, evidence about channelvars, and what is said about failures."""

from __future__ import annotations

import pytest

from daemon.ari.connection_state import Outage, Replaced, Step, liveness, names_recording, pause


@pytest.mark.parametrize(
    ("now", "heard", "pinged", "step"),
    [
        (100, 100, 0, Step.READ),
        (114, 100, 0, Step.READ),
        (115, 100, 0, Step.PING),
        (116, 100, 115, Step.READ),  # the ping is under way
        (124.9, 100, 115, Step.READ),
        (125, 100, 115, Step.GIVE_UP),
        (125, 115.2, 115, Step.READ),  # the pong came
        (131, 115.2, 115, Step.PING),  # and silence again
    ],
)
def test_liveness(now: float, heard: float, pinged: float, step: Step) -> None:
    assert liveness(now, heard, pinged, ping_after=15, pong_within=10) is step


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"type":"ChannelCreated","channel":{"id":"1","channelvars":{"MIXMONITOR_FILENAME":""}}}', True),
        (b'{"type":"ChannelCreated","channel":{"id":"1","channelvars":{"CHANNEL(linkedid)":"1"}}}', False),
        (b'{"type":"ChannelCreated","channel":{"id":"1"}}', False),
        (
            b'{"variable":"MIXMONITOR_FILENAME","value":"/a.wav","type":"ChannelVarset","channel":{"id":"1"}}',
            False,
        ),
        (b'{"type":"ChannelCreated","channel":{"caller":{"name":"\\"MIXMONITOR_FILENAME\\":"}}}', False),
        (b'{"type":"PeerStatusChange","endpoint":{"resource":"1013010"}}', None),
    ],
)
def test_names_recording(frame: bytes, answer: bool | None) -> None:
    assert names_recording(frame) is answer


@pytest.mark.parametrize(
    ("planned", "status", "refused", "seconds"),
    [
        (4.0, None, True, 1.0),  # nobody listens on the port
        (4.0, 503, False, 1.0),  # it is starting
        (0.2, 404, False, 0.05),  # its ARI is not loaded yet
        (4.0, None, False, 4.0),  # no answer, no route
        (4.0, 500, False, 4.0),
        (0.2, 401, False, 30.0),
        (4.0, 403, False, 30.0),
    ],
)
def test_an_asterisk_that_starts_is_asked_more_often(
    planned: float, status: int | None, refused: bool, seconds: float
) -> None:
    assert pause(planned, status, refused=refused) == seconds


def test_a_repeated_failure_is_said_once_then_now_and_then() -> None:
    outage = Outage(every=300)
    said = [outage.failed("refused", now) for now in (0, 5, 299, 300, 305, 601)]
    assert said == [
        "refused", None, None, "refused (attempt 4, for 300 s)", None, "refused (attempt 6, for 601 s)",
    ]  # fmt: skip
    assert outage.failed("starting", 602) == "starting"
    outage.over()
    assert outage.attempts == 0
    assert outage.failed("starting", 700) == "starting"


def test_a_name_that_was_taken_is_left_alone_longer_each_time() -> None:
    replaced = Replaced(first=60, cap=600)
    assert [replaced.pause() for _ in range(6)] == [60, 120, 240, 480, 600, 600]
    assert [replaced.pause() for _ in range(50)][-1] == 600
