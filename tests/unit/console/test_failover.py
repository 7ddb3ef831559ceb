"""The failover group: what people read, what programs get, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from daemon.console.commands.failover import failover_commands
from daemon.console.registry import CommandError, Registry, Result, SessionInfo
from ha.model import Change, Member, Mode, Seen, View

AT = 1761562800.0  # 27/10/2025 08:00:00 in Sao Paulo
VIEW = View(
    backend="zookeeper",
    connected=True,
    role="master",
    mode="auto",
    epoch=4294967303,
    master="AUDIO2",
    reason="AUDIO2 is master: the lease was free",
    since=AT,
    lease_left=2.34,
    members=(
        Seen(Member("AUDIO", "auto", 100, {"version": "1"}), False, AT + 60),
        Seen(Member("AUDIO2", "auto", 110), True, AT),
    ),
    history=(
        Change(AT - 86400, 4294967302, "AUDIO", "the lease was free"),
        Change(AT, 4294967303, "AUDIO2", "AUDIO was away: this node asks for the lease"),
    ),
)


class House:
    def __init__(self) -> None:
        self.view = VIEW
        self.asked: list[tuple[str, object]] = []
        self.registry = Registry(
            failover_commands(
                view=lambda: self.view,
                switchover=lambda to: self.note("switchover", to),
                set_mode=lambda mode: self.note("mode", mode),
                requeue=lambda node: self.note("requeue", node),
                adopt=lambda: self.note("adopt", None),
                timezone=ZoneInfo("America/Sao_Paulo"),
            )
        )

    def note(self, what: str, value: str | Mode | None) -> str:
        self.asked.append((what, value))
        return f"{what} is done"

    def run(self, line: str) -> Result:
        name, *args = line.split()
        command = self.registry.find(name)
        assert command is not None
        return command.handler(args, SessionInfo("127.0.0.1"))


@pytest.fixture
def house() -> House:
    return House()


def test_nodes(house: House) -> None:
    found = house.run("nodes")
    assert found.text.splitlines() == [
        "NODE          ROLE    MODE  PRIORITY  SINCE",
        "AUDIO   AWAY  -       auto       100  27/10/2025 08:01:00",
        "AUDIO2  here  master  auto       110  27/10/2025 08:00:00",
    ]
    assert found.data["master"] == "AUDIO2"
    nodes: Sequence[dict[str, object]] = found.data["nodes"]  # type: ignore[assignment]
    assert nodes[0] == {
        "name": "AUDIO",
        "here": False,
        "master": False,
        "mode": "auto",
        "priority": 100,
        "since": "2025-10-27T08:01:00.000-03:00",
        "facts": {"version": "1"},
    }


def test_lease(house: House) -> None:
    found = house.run("lease")
    assert found.text == (
        "AUDIO2 holds the lease under epoch 1.7, counts for 2.3 s more (zookeeper, connected)."
    )
    assert found.data["left_s"] == 2.34
    house.view = replace(
        VIEW,
        master=None,
        connected=False,
        lease_left=None,
        problems=("two voters: neither may fail",),
        advice=("better elsewhere",),
    )
    assert house.run("lease").text == (
        "nobody holds the lease, as far as can be seen from here; the last epoch was 1.7"
        " (zookeeper, NOT CONNECTED).\nWRONG: two voters: neither may fail\nNOTE: better elsewhere"
    )


def test_history(house: House) -> None:
    found = house.run("history")
    assert found.text.splitlines() == [
        "AT                   EPOCH  MASTER  WHY",
        "26/10/2025 08:00:00    1.6  AUDIO   the lease was free",
        "27/10/2025 08:00:00    1.7  AUDIO2  AUDIO was away: AUDIO2 asks for the lease",
    ]
    assert found.data["changes"][1] == {  # type: ignore[index]
        "at": "2025-10-27T08:00:00.000-03:00",
        "epoch": 4294967303,
        "master": "AUDIO2",
        "reason": "AUDIO was away: this node asks for the lease",
    }
    house.view = replace(VIEW, history=())
    assert house.run("history").text == "Nobody has become master yet."


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("switchover", ("switchover", None)),
        ("switchover AUDIO", ("switchover", "AUDIO")),
        ("mode SLAVE", ("mode", "slave")),
        ("requeue --node AUDIO", ("requeue", "AUDIO")),
        ("adopt", ("adopt", None)),
    ],
)
def test_wishes(house: House, line: str, asked: tuple[str, object]) -> None:
    assert house.run(line).data == {"message": f"{asked[0]} is done"}
    assert house.asked == [asked]


def test_mode_alone_shows_it(house: House) -> None:
    assert house.run("mode").data == {"mode": "auto"}
    assert house.asked == []


@pytest.mark.parametrize(
    "line", ["switchover A B", "mode fast", "requeue", "requeue --node", "adopt now", "nodes all"]
)
def test_wrong_usage(house: House, line: str) -> None:
    with pytest.raises(CommandError) as refused:
        house.run(line)
    assert refused.value.code == "usage"
    assert house.asked == []
