"""Alarms: once when it begins, once when it is over."""

from __future__ import annotations

import logging

import pytest

from daemon.outbox.alarms import Alarms
from tests.unit.outbox.make import entry


def test_once_per_routing_key_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms("mq", 60)
    with caplog.at_level(logging.INFO, "arimonitor.outbox"):
        for seq in range(1, 50):
            alarms.refused(entry(seq, f"voip3/{seq}"), "exchange e has no queue", 100.0 + seq, seq)
        assert len(caplog.records) == 1
        text = caplog.records[0].getMessage()
        assert "voip3/1" in text
        assert "exchange e has no queue for routing key call.received-call.101.voip3" in text
        alarms.refused(entry(1, "voip3/1"), "exchange e has no queue", 800.0, 3)
        assert "refused 50 times" in caplog.records[1].getMessage()
        alarms.delivered([7], 900.0)
        assert "is delivered again after 799 s" in caplog.records[2].getMessage()
        alarms.delivered([8, 9, 10], 901.0)
        alarms.delivered([1000], 902.0)
    assert len(caplog.records) == 3
