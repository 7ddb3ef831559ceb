"""The bounded queue between listener and monitor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.ari.inbox import Batch, Inbox, Lost, Opened, Overflow


def batch(at: float, *frames: bytes) -> tuple[Batch, int]:
    return Batch(at, list(frames)), sum(map(len, frames))


def drain(inbox: Inbox) -> list[object]:
    items: list[object] = []
    while (item := inbox.get(0)) is not None:
        items.append(item)
    return items


def test_batches_and_marks_keep_their_order() -> None:
    inbox = Inbox()
    inbox.mark(Opened(1, 1))
    assert inbox.put(*batch(2, b"a", b"b"))
    inbox.mark(Lost(3, "gone", 2))
    inbox.mark(Opened(4, 2))
    assert inbox.put(*batch(5, b"c"))
    assert (inbox.events, inbox.bytes) == (3, 3)
    assert drain(inbox) == [
        Opened(1, 1), Batch(2, [b"a", b"b"]), Lost(3, "gone", 2), Opened(4, 2), Batch(5, [b"c"]),
    ]  # fmt: skip
    assert (inbox.events, inbox.bytes) == (0, 0)


def test_an_overflow_by_number_stands_where_events_are_missing() -> None:
    inbox = Inbox(max_events=4)
    assert inbox.put(*batch(1, b"a", b"b", b"c"))
    assert not inbox.put(*batch(2, b"d", b"e"))
    assert not inbox.put(*batch(3, b"f"))  # it would fit, but order and half the room come first
    assert inbox.overflowing
    assert drain(inbox) == [Batch(1, [b"a", b"b", b"c"])]
    assert inbox.put(*batch(4, b"g"))
    assert not inbox.overflowing
    assert drain(inbox) == [Overflow(4, 3, 2), Batch(4, [b"g"])]
    assert inbox.overflowed == 3


def test_an_overflow_by_size() -> None:
    inbox = Inbox(max_bytes=10)
    assert inbox.put(*batch(1, b"12345678"))
    assert not inbox.put(*batch(2, b"123"))
    drain(inbox)
    assert not inbox.put(*batch(3, b"a giant that never fits"))
    assert drain(inbox) == [Overflow(3, 1, 2)]
    assert inbox.settle(4)
    assert drain(inbox) == [Overflow(4, 1, 3)]


def test_the_mark_comes_also_when_no_event_follows() -> None:
    inbox = Inbox(max_events=2)
    inbox.put(*batch(1, b"a", b"b"))
    inbox.put(*batch(2, b"c"))
    assert not inbox.settle(3)
    drain(inbox)
    assert inbox.settle(4)
    assert drain(inbox) == [Overflow(4, 1, 2)]
    assert inbox.settle(5)
    assert drain(inbox) == []


def test_a_connection_lost_during_an_overflow_says_both() -> None:
    inbox = Inbox(max_events=1)
    inbox.put(*batch(1, b"a"))
    inbox.put(*batch(2, b"b"))
    inbox.mark(Lost(3, "gone", 2))
    assert drain(inbox) == [Batch(1, [b"a"]), Overflow(3, 1, 2), Lost(3, "gone", 2)]


@given(st.lists(st.one_of(st.integers(1, 5), st.just(0)), max_size=60), st.integers(1, 10))
def test_every_event_is_delivered_or_counted(steps: list[int], room: int) -> None:
    """0 takes one item out, a number puts that many events in."""
    inbox = Inbox(max_events=room)
    put = taken = missed = 0
    for at, step in enumerate(steps):
        if step:
            put += step
            inbox.put(*batch(at, *[b"x"] * step))
            assert inbox.events <= room
        elif isinstance(item := inbox.get(0), Batch):
            taken += len(item.frames)
        elif isinstance(item, Overflow):
            missed += item.count
    inbox.mark(Lost(99, "end", 0))
    for item in drain(inbox):
        taken += len(item.frames) if isinstance(item, Batch) else 0
        missed += item.count if isinstance(item, Overflow) else 0
    assert (taken + missed, missed) == (put, inbox.overflowed)
