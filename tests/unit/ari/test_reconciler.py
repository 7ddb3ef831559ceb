"""When a gap ends: only once Asterisk could be asked, and only while events come."""

from __future__ import annotations

from typing import Any

from daemon.ari.inbox import Lost, Opened, Wanted
from daemon.ari.reconciler import Reconciler
from daemon.ari.rest import AriUnavailable
from daemon.calls.model import Gap
from daemon.calls.tracker import Tracker


class Rest:
    """An Asterisk without channels; refuses as often as it is told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.asked = 0

    def channels(self) -> list[Any]:
        self.asked += 1
        if self.asked <= self.refusals:
            raise AriUnavailable("it hangs")
        return []

    def bridges(self) -> list[Any]:
        return []

    def channel_variable(self, channel_id: str, name: str) -> str | None:
        raise AssertionError("there is no channel")


def reconciler_of(rest: Rest) -> tuple[Reconciler, list[float]]:
    again: list[float] = []
    reconciler = Reconciler(
        "pbx",
        Tracker("pbx", is_endpoint=str.isdigit),
        rest,
        None,
        str.isdigit,
        list,
        again.append,
        clock=lambda: 1000.0,
    )
    return reconciler, again


def test_a_gap_stays_open_until_asterisk_can_be_asked() -> None:
    reconciler, again = reconciler_of(Rest())
    reconciler.on_mark(Opened(900, 1))
    reconciler.on_mark(Lost(990, "cut", 980))
    reconciler.rest = Rest(refusals=6)
    assert reconciler.on_mark(Opened(995, 2)) == ()
    assert again == [10]
    assert reconciler.on_mark(Wanted(None)) == ()
    assert again == [10, 10]
    assert reconciler.gaps == 0
    (gap,) = reconciler.on_mark(Wanted(None))
    assert gap == Gap(980_000, 1_000_000, "the connection was lost: cut", 0)
    assert reconciler.gaps == 1
    assert again == [10, 10]


def test_while_it_is_not_connected_nothing_is_reconciled() -> None:
    rest = Rest()
    reconciler, _ = reconciler_of(rest)
    reconciler.on_mark(Opened(900, 1))
    reconciler.on_mark(Lost(990, "cut", 980))
    asked = rest.asked
    wanted = Wanted(None)
    assert reconciler.on_mark(wanted) == ()
    assert wanted.done.is_set()
    assert wanted.result == "pbx is not connected: it will be reconciled when it is"
    assert rest.asked == asked
    assert [type(told) for told in reconciler.on_mark(Opened(995, 2))] == [Gap]


def test_what_asterisk_kept_for_us_is_no_gap() -> None:
    rest = Rest()
    reconciler, _ = reconciler_of(rest)
    reconciler.on_mark(Opened(900, 1))
    asked = rest.asked
    reconciler.on_mark(Lost(990, "stopping", 980))
    assert reconciler.on_mark(Opened(995, 2, complete=True)) == ()
    assert rest.asked == asked
    assert reconciler.gaps == 0
