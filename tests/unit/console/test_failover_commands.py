"""The group Failover: words in, text and data out. No election, no ZooKeeper."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest

from daemon.console.commands.failover import failover_commands
from daemon.console.registry import CommandError, Registry, Result, SessionInfo
from ha.errors import CommandRefused, Unreachable
from ha.lease import token
from ha.model import Change, Member, Mode, Seen, View

AT = 1761562800.0  # 2025-10-27 11:00 UTC
VIEW = View(
    backend="zookeeper",
    connected=True,
    role="slave",
    mode="auto",
    epoch=token(1, 7),
    master="AUDIO",
    reason="AUDIO is master",
    since=AT,
    members=(
        Seen(Member("AUDIO", "auto", 100, {"serves": ["audio"]}), True, AT),
        Seen(Member("AUDIO2", "auto", 110), True, AT + 60),
        Seen(Member("AUDIO3", "slave", 10), False, AT + 120),
    ),
    history=(
        Change(AT - 60, token(1, 6), "AUDIO2", "nobody is master: this node asks for the lease"),
        Change(AT, token(1, 7), "AUDIO", "AUDIO2 hands over to this node: it asks for the lease"),
    ),
)


class House:
    """What the commands are given."""

    def __init__(self, view: View = VIEW) -> None:
        self.view = view
        self.asked: list[tuple[str, object]] = []
        self.error: Exception | None = None
        self.registry = Registry(
            failover_commands(
                node="AUDIO2",
                view=lambda: self.view,
                switchover=lambda to: self._do("switchover", to),
                set_mode=lambda mode: self._do("mode", mode),
                adopt=lambda: self._do("adopt", None),
                requeue=lambda name: self._do("requeue", name),
                timezone=UTC,
            )
        )

    def _do(self, what: str, argument: str | Mode | None) -> str:
        self.asked.append((what, argument))
        if self.error is not None:
            raise self.error
        return f"{what} is done"

    def run(self, line: str) -> Result:
        return self.registry.run(line.split(), SessionInfo("192.0.2.7:4000"))

    def refusal(self, line: str) -> tuple[str, str]:
        with pytest.raises(CommandError) as caught:
            self.run(line)
        return caught.value.code, caught.value.message


def test_role_says_why() -> None:
    result = House().run("role")
    assert result.text.splitlines() == [
        f"AUDIO2 is slave (mode auto), epoch {token(1, 7)}; master: AUDIO",
        "since 2025-10-27 11:00:00: AUDIO is master",
    ]
    assert result.data == {
        "node": "AUDIO2",
        "role": "slave",
        "mode": "auto",
        "epoch": token(1, 7),
        "master": "AUDIO",
        "reason": "AUDIO is master",
        "since": "2025-10-27T11:00:00.000+00:00",
    }


def test_nodes_lists_who_is_here_and_who_is_not() -> None:
    result = House().run("nodes")
    assert result.text.splitlines() == [
        "NODE               ROLE    HERE  SINCE                MODE   PRIORITY",
        "AUDIO              master  here  2025-10-27 11:00:00  auto        100",
        "AUDIO2 (this one)  slave   here  2025-10-27 11:01:00  auto        110",
        "AUDIO3             -       AWAY  2025-10-27 11:02:00  slave        10",
    ]
    rows = result.data["nodes"]
    assert isinstance(rows, list)
    assert rows[0]["facts"] == {"serves": ["audio"]}
    assert [row["role"] for row in rows] == ["master", "slave", None]


def test_lease_of_a_slave_and_of_a_master() -> None:
    house = House()
    result = house.run("lease")
    assert result.data["left_s"] is None
    assert "generation 1, election 7" in result.text
    house.view = replace(VIEW, role="master", master="AUDIO2", lease_left=2.345)
    result = house.run("lease")
    assert result.data["left_s"] == 2.35
    assert "2.3 s, if it were not renewed" in result.text
    house.view = replace(VIEW, connected=False, master=None)
    assert "zookeeper, which does not answer" in house.run("lease").text
    assert house.run("lease").data["holder"] is None


def test_history_is_a_table_of_reasons() -> None:
    house = House()
    result = house.run("history")
    assert result.text.splitlines()[2].endswith(
        "AUDIO   AUDIO2 hands over to this node: it asks for the lease"
    )
    changes = result.data["changes"]
    assert isinstance(changes, list)
    assert changes[0]["at"] == "2025-10-27T10:59:00.000+00:00"
    house.view = replace(VIEW, history=())
    assert house.run("history").text == "No change is known yet."


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("switchover", ("switchover", None)),
        ("switchover AUDIO2", ("switchover", "AUDIO2")),
        ("mode slave", ("mode", "slave")),
        ("MODE Auto", ("mode", "auto")),
        ("requeue --node AUDIO", ("requeue", "AUDIO")),
        ("requeue --node=AUDIO", ("requeue", "AUDIO")),
        ("adopt", ("adopt", None)),
    ],
)
def test_what_changes_something_is_done_and_said(line: str, asked: tuple[str, object]) -> None:
    house = House()
    result = house.run(line)
    assert house.asked == [asked]
    assert result.text == f"{asked[0]} is done"
    assert result.data == {"message": result.text}


@pytest.mark.parametrize(
    "line",
    ["role now", "nodes x", "lease x", "history x", "switchover A B", "mode", "mode king", "mode auto auto",
     "requeue", "requeue AUDIO", "requeue --node", "requeue --node AUDIO x", "adopt it"],
)  # fmt: skip
def test_words_that_make_no_sense_are_told_the_right_form(line: str) -> None:
    house = House()
    code, message = house.refusal(line)
    assert code == "usage"
    assert message.startswith("usage: " + line.split()[0])
    assert house.asked == []


def test_a_node_that_nobody_knows_is_not_requeued() -> None:
    assert House().refusal("requeue --node AUDI") == (
        "not-found",
        "there is no node 'AUDI': AUDIO, AUDIO2, AUDIO3",
    )


@pytest.mark.parametrize(
    "error",
    [
        CommandRefused("no other node is here that could be master"),
        Unreachable("ZooKeeper is not connected", sent=False),
    ],
)
def test_the_reason_of_a_refusal_is_said(error: Exception) -> None:
    house = House()
    house.error = error
    assert house.refusal("switchover") == ("refused", str(error))


def test_problems_are_said_wherever_one_looks() -> None:
    house = House(replace(VIEW, problems=("ZooKeeper has two voters only",)))
    for line in ("role", "nodes", "lease"):
        assert house.run(line).text.splitlines()[-1] == "! ZooKeeper has two voters only"
    assert house.run("lease").data["problems"] == ["ZooKeeper has two voters only"]


def test_completion() -> None:
    registry = House().registry
    assert registry.complete(["switchover", ""]) == ["AUDIO2"]
    assert registry.complete(["mode", ""]) == ["auto", "master", "slave"]
    assert registry.complete(["requeue", ""]) == ["--node"]
    assert registry.complete(["requeue", "--node", ""]) == ["AUDIO", "AUDIO3"]
