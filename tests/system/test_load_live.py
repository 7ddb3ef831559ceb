"""200 calls at 20 calls/s, by SIPp through a real Asterisk 22, to RabbitMQ: exactly what happened."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.servers.asterisk.load import CALLED, CALLERS, load
from tests.servers.asterisk.server import Asterisk, Unavailable
from tests.servers.daemon import ArimonitorDaemon
from tests.servers.rabbitmq import RabbitMQ
from tests.system import told
from tests.system.consumer import Mailbox
from tests.system.sites import real

pytestmark = [pytest.mark.asterisk, pytest.mark.rabbitmq, pytest.mark.heavy]

CALLS, RATE, RING, TALK = 200, 20, 0.2, 1.0


def watching(folder: Path, node: str, asterisk: Asterisk, mailbox: Mailbox) -> ArimonitorDaemon:
    return ArimonitorDaemon(
        folder / node,
        {
            "node": {"name": node},
            "asterisk": [real(asterisk)],
            "mq": mailbox.mq(),
        },
    )


def test_200_calls_two_nodes(asterisk22: Asterisk, rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """600 messages by id, each call whole, in order and right; two nodes make the same ids."""
    boxes = {"AUDIO": Mailbox(rabbitmq), "AUDIO2": Mailbox(rabbitmq)}
    rows = len(asterisk22.cdr_rows())
    one, two = (watching(tmp_path, node, asterisk22, box) for node, box in boxes.items())
    with one, two:
        one.connected()
        two.connected()
        try:
            load(asterisk22, CALLS, RATE, ring=RING, talk=TALK)
        except Unavailable as reason:
            pytest.skip(str(reason))
        asterisk22.idle()
        came = {node: box.take_calls(3 * CALLS) for node, box in boxes.items()}
        one.settled()
        two.settled()
        assert len(asterisk22.cdr_rows()) == rows + CALLS
    ids = {node: {message["operation"]["id"] for message in came[node]} for node in boxes}
    for node, box in boxes.items():
        assert len(came[node]) == len(ids[node]) == 3 * CALLS
        box.check(box.told)
        assert {properties.headers["node"] for properties in box.properties} == {node}
        whole_and_right(came[node])
    assert ids["AUDIO"] == ids["AUDIO2"]


def whole_and_right(came: list[dict[str, Any]]) -> None:
    by_call: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in came:
        told.validate(message)
        by_call[message["data"]["call"]].append(message)
    assert len(by_call) == CALLS
    callers = dict.fromkeys(CALLERS, 0)
    for messages in by_call.values():
        received, answered, ended = (message["data"] for message in messages)
        assert [message["operation"]["type"] for message in messages] == [
            "received-call",
            "answered-call",
            "ended-call",
        ]
        origin, destiny = received["origin"], received["destiny"]
        callers[origin] += 1
        assert destiny == CALLED[CALLERS.index(origin)]
        for data in (answered, ended):
            for key in ("call", "origin", "destiny", "creationtime"):
                assert data[key] == received[key]
            assert data["answered_by"] == destiny
        assert answered["answertime"] == ended["answertime"]
        rang = told.millis(answered["answertime"]) - told.millis(received["creationtime"])
        talked = told.millis(ended["endtime"]) - told.millis(ended["answertime"])
        assert rang >= RING * 1000 - 50
        assert talked >= TALK * 1000 - 50
        assert abs(ended["duration"] - (rang + talked) / 1000) < 1
        assert abs(ended["billsec"] - talked / 1000) < 1
        assert (ended["disposition"], ended["cause"], ended["hangup_by"]) == ("ANSWERED", 16, origin)
        assert len(ended["recordings"]) == 1
    assert max(callers.values()) - min(callers.values()) <= 1
