"""The Listener's connection to fake Asterisks that fail in every way: it is made again."""

from __future__ import annotations

import pytest

from daemon.ari.inbox import Lost, Opened
from tests.integration.listener_parts import CREATED, VARSET, listener_and_taker, options_for, running
from tests.integration.listener_parts import fake as fake
from tests.servers.fake_ari import PING, FakeAri, encoded
from tests.servers.waiting import wait_until


@pytest.mark.parametrize("how", ["close", "end", "abort"])
def test_it_comes_back_subscribes_and_filters_again(fake: FakeAri, how: str) -> None:
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "the event")
        getattr(fake.session(1), how)()
        taker.until(lambda: len(taker.marks) == 3, "Opened again")
        fake.broadcast(VARSET)
        taker.until(lambda: len(taker.frames) == 2, "an event after")
        assert listener.status()["reconnects"] == 1
    opened, lost, again = taker.marks[:3]
    assert isinstance(opened, Opened)
    assert isinstance(lost, Lost)
    assert again == Opened(again.at, 2)
    assert opened.at <= lost.since <= lost.at <= again.at
    assert len(fake.asked("PUT", "/eventFilter")) == len(fake.asked("POST", "/subscription")) == 2


def test_asterisk_dies_and_comes_back(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.stop()
        taker.until_lost()
        wait_until(lambda: listener.status()["attempts"], "a failed attempt")
        assert "refuses the connection" in str(listener.status()["state"])
        fake.start()
        taker.until(lambda: len(taker.marks) == 3, "Opened again")
    assert caplog.text.count("refuses the connection") == 1
    assert "failed attempts" in caplog.text


@pytest.mark.parametrize("fault", ["401", "404", "400", "503", "hang", "garbage", "reset"])
def test_it_goes_on_trying_and_says_each_reason_once(
    fake: FakeAri, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.handshake = fault
    listener, taker = listener_and_taker(fake, connect_timeout=0.3 if fault == "hang" else 5.0)
    with running(listener):
        wait_until(lambda: listener.status()["attempts"], "a failed attempt")
        if fault == "401":  # only once in half a minute: fail2ban counts these
            assert "password" in str(listener.status()["state"])
            return
        wait_until(lambda: len(fake.asked("GET", "/events")) > 2, "more attempts")
        fake.faults.handshake = "ok"
        taker.until(lambda: taker.marks, "Opened")
    assert caplog.text.count("not connected to pbx") == 1


@pytest.mark.parametrize("fault", ["500", "404", "hang", "garbage"])
def test_without_a_subscription_it_is_not_connected(fake: FakeAri, fault: str) -> None:
    fake.faults.rest["/applications/mon-A/subscription"] = fault
    listener, taker = listener_and_taker(fake, connect_timeout=0.3 if fault == "hang" else 5.0)
    with running(listener):
        wait_until(lambda: len(fake.sessions) > 1, "a second attempt")
        assert listener.status()["connected"] is False
        fake.faults.rest.clear()
        taker.until(lambda: taker.marks, "Opened")


def test_a_silent_but_live_asterisk_is_pinged(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake, ping_after=0.05, pong_within=10.0)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        session = fake.session(1)
        wait_until(lambda: [opcode for opcode, _ in session.received].count(PING) >= 2, "two pings")
        assert listener.status()["connected"] is True


def test_a_dead_silent_one_is_given_up(fake: FakeAri) -> None:
    fake.faults.pong = False
    listener, taker = listener_and_taker(fake, ping_after=0.05, pong_within=0.1, check_after=600.0)
    with running(listener):
        assert "ping was not answered" in taker.until_lost().reason
        fake.faults.pong = True
        taker.until(lambda: len(taker.marks) >= 3, "Opened again")


def test_an_application_that_asterisk_forgot(fake: FakeAri) -> None:
    """After an abrupt close the old session's clean-up takes the new one's application away."""
    listener, taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        fake.applications.clear()
        assert "no longer knows the application" in taker.until_lost().reason
        taker.until(lambda: len(taker.marks) >= 3, "Opened again")


def test_an_application_that_asterisk_knows_and_does_not_feed(fake: FakeAri) -> None:
    """After an abrupt close the old session's clean-up leaves the new one without events."""
    fake.faults.deaf = True
    listener, taker = listener_and_taker(fake, pong_within=0.5)
    with running(listener):
        assert "sends it no events" in taker.until_lost().reason
        fake.faults.deaf = False
        taker.until(lambda: isinstance(taker.marks[-1], Opened) and len(fake.sessions) > 1, "Opened again")
        wait_until(lambda: len(fake.asked("POST", "/events/user")) > 2, "it is asked for a sign again")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "an event")
    assert taker.frames == [encoded({**CREATED, "application": "mon-A"})], "the signs are no events"


def test_an_asterisk_that_takes_the_request_and_gives_no_sign_is_believed_in_the_end(fake: FakeAri) -> None:
    fake.faults.deaf = True
    listener, _ = listener_and_taker(fake, pong_within=0.05)
    with running(listener):
        wait_until(lambda: len(fake.sessions) == 4, "a fourth connection")
        asked = len(fake.asked("GET", "/applications/mon-A"))
        wait_until(lambda: len(fake.asked("GET", "/applications/mon-A")) > asked + 5, "five checks")
        assert listener.status()["connected"] is True
    assert len(fake.sessions) == 4
    assert len(fake.asked("POST", "/events/user")) == 3


def test_an_asterisk_that_gives_no_signs_is_believed(fake: FakeAri) -> None:
    fake.faults.rest["/events/user/arimonitor-check"] = "404"
    listener, taker = listener_and_taker(fake, pong_within=0.1)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        wait_until(lambda: len(fake.asked("GET", "/applications/mon-A")) > 3, "three checks")
        assert listener.status()["connected"] is True
    assert len(fake.asked("POST", "/events/user")) == 1


def test_rest_calls_that_hang_are_said_and_cost_no_connection(
    fake: FakeAri, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.rest["/applications/mon-A"] = "hang"
    listener, taker = listener_and_taker(fake, connect_timeout=0.3)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        wait_until(lambda: "REST calls fail" in caplog.text, "the warning")
        fake.broadcast(CREATED)
        taker.until(lambda: taker.frames, "an event all the same")
    assert caplog.text.count("REST calls fail") == 1


def test_a_taken_name_is_not_fought_for(fake: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    listener, taker = listener_and_taker(fake, replaced_pause=600.0)
    other, other_taker = listener_and_taker(fake)
    with running(listener):
        taker.until(lambda: taker.marks, "Opened")
        with running(other):
            other_taker.until(lambda: other_taker.marks, "the other's Opened")
            assert "another client took the application name" in taker.until_lost().reason
            wait_until(lambda: "a name of its own" in caplog.text, "the alarm")
            fake.broadcast(CREATED)
            other_taker.until(lambda: other_taker.frames, "the other's event")
            assert len(fake.sessions) == 2
        taker.until(lambda: len(taker.marks) == 3, "Opened again, since the name is free")
    assert other_taker.lost()[-1:] == [] or other_taker.lost()[-1].reason == "stopping"


def test_new_options_are_used_at_once(fake: FakeAri) -> None:
    listener, taker = listener_and_taker(fake)
    with running(listener), FakeAri() as second:
        taker.until(lambda: taker.marks, "Opened")
        listener.reconfigure(options_for(second, app="mon-B"))
        assert second.session(1).app == "mon-B"
        assert taker.until_lost().reason == "the configuration changed"
