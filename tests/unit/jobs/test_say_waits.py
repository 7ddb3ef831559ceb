"""A service that waits says so when it has lasted, and then seldom."""

from __future__ import annotations

import logging

import pytest

from daemon.errors import TransientError
from daemon.jobs.book import say_waits
from daemon.runtime.backoff import Backoff


def test_a_trouble_of_a_moment_is_no_warning_and_one_that_lasts_is_said_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble, said = Backoff(first=0.5, cap=30.0), []
    for _ in range(60):
        seconds = trouble.next()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            say_waits("queue", seconds, trouble, TransientError("ZooKeeper is away"))
        if caplog.records:
            said.append(trouble.attempts)
    assert said == [4, 20, 40, 60]
    trouble.reset()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            caplog.clear()
            say_waits("queue", trouble.next(), trouble, TransientError("ZooKeeper is away"))
    (record,) = caplog.records
    assert record.getMessage().startswith("the service queue is tried again in ")
    assert record.getMessage().endswith(" s: ZooKeeper is away")
