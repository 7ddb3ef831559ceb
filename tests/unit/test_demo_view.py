"""What the demo shows."""

from __future__ import annotations

import re

from tests.demo.view import WIDTH, Frame, NodeView, epoch, render

STATUS = {
    "role": "master",
    "epoch": (1 << 32) + 7,
    "asterisk": [{"active_calls": 12}],
    "brokers": [{"outbox": 3}],
    "queue": {"pending": 1, "processing": 1},
    "mail": {"reading": True},
}


def frame(*nodes: NodeView) -> Frame:
    return Frame(
        12.3, nodes, {"audio": "follower", "audio2": "", "witness": "leader"}, 120, 12, 300, 290, 2, 10,
        {"AUDIO": 200, "AUDIO2": 92}, 4, 3, 3.4, "written 9 times, last 0.2 s ago",
        ["  9.0 s  AUDIO2 is master"],
    )  # fmt: skip


def test_a_picture() -> None:
    lines = render(frame(NodeView("AUDIO", STATUS), NodeView("AUDIO2", {}, "is frozen")), colour=False)
    text = "\n".join(lines)
    assert re.search(r"AUDIO +master +1\.7 +12 +3 +2 +reads", text)
    assert re.search(r"AUDIO2 +- +is frozen", text)
    assert "audio2 away" in text
    assert "Journal     written 9 times" in text
    assert "290 of 300 messages, 10 under way or missing; 2 came again" in text
    assert "200 from AUDIO, 92 from AUDIO2; longest silence lately 3.4 s" in text
    assert max(map(len, lines)) <= WIDTH


def test_colours_change_nothing_else() -> None:
    made = frame(NodeView("AUDIO", STATUS, "is cut off"), NodeView("AUDIO2", STATUS))
    coloured = [re.sub(r"\x1b\[\d*m", "", line) for line in render(made)]
    assert coloured == render(made, colour=False)


def test_epochs() -> None:
    assert (epoch(3), epoch((2 << 32) + 5)) == ("3", "2.5")
