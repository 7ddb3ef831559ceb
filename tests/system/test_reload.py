"""A configuration and definition files that are read again: what can't change is named, nothing ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.daemon import ArimonitorDaemon, wait_until

SERVERS = "[{name}]\nhost=127.0.0.1\nport={port}\nuser=someone\npassword=not-to-be-seen\n"


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    # Nobody listens on port 1: that Asterisk is away, but has definition files.
    voip3 = {"name": "voip3", "url": "http://127.0.0.1:1", "definitions": str(tmp_path), "cdr": ""}
    mq = {"backend": "rabbitmq", "host": "127.0.0.1", "port": 1, "username": "nobody"}
    return {"node": {"name": "AUDIO"}, "mq": mq, "asterisk": [voip3]}


@pytest.fixture
def daemon(tmp_path: Path, config: dict[str, Any]) -> Iterator[ArimonitorDaemon]:
    (tmp_path / "__MQSERVERS__.DEF").write_text(SERVERS.format(name="mq", port=1))
    with ArimonitorDaemon(tmp_path / "node", config) as running:
        yield running
    assert "Traceback" not in running.log_text() + running.output()
    assert "not-to-be-seen" not in running.log_text()


def test_a_key_that_needs_a_restart_is_named_after_sighup_too(
    daemon: ArimonitorDaemon, config: dict[str, Any]
) -> None:
    daemon.configure({**config, "log": {"keep_days": 7}, "mq": {**config["mq"], "window": 7}})
    daemon.send(signal.SIGHUP)
    daemon.says("the setting log.keep_days was changed")
    daemon.says("mq.window changes at the next start only")


def test_a_live_key_that_needs_one_of_the_next_start_ends_nothing(
    daemon: ArimonitorDaemon, config: dict[str, Any]
) -> None:
    """A sender of a [[server]] that is new: the server counts at the next start only."""
    sender = {"address": "person@example.com", "servers": ["gv1p"]}
    daemon.configure({**config, "mail.sender": [sender], "server": [{"name": "gv1p"}]})
    daemon.send(signal.SIGHUP)
    daemon.says("the old configuration stays in force")
    daemon.says("the name of a [[server]]")
    daemon.says("server.gv1p changes at the next start only")
    answer = json.dumps(daemon.ask("reload", "config"))
    assert "the old configuration stays in force" in answer
    assert "server.gv1p changes at the next start only" in answer
    daemon.configure({**config, "log": {"keep_days": 7}})
    daemon.send(signal.SIGHUP)
    daemon.says("the setting log.keep_days was changed")


def test_a_message_server_that_moved(daemon: ArimonitorDaemon, tmp_path: Path) -> None:
    """Also one that is called as the [mq] of the configuration is in the log."""
    daemon.says("amqp://someone@127.0.0.1:1/")
    (tmp_path / "__MQSERVERS__.DEF").write_text(SERVERS.format(name="mq", port=2))
    daemon.ctl("reload", "mqservers")
    daemon.says("amqp://someone@127.0.0.1:2/")
    said = daemon.lines("amqp://someone@127.0.0.1:1/")
    daemon.ctl("reload", "mqservers")
    wait_until(lambda: len(daemon.status()["brokers"]) == 2, "the [mq] and one server")
    assert daemon.lines("amqp://someone@127.0.0.1:1/") == said
