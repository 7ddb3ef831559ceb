"""Window: order per key, nothing lost, memory bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.outbox.entry import Entry
from daemon.outbox.window import Window
from tests.unit.outbox.make import entry


def seqs(entries: list[Entry]) -> list[int]:
    return [e.seq for e in entries]


def test_one_message_of_a_call_at_a_time_many_calls_at_once() -> None:
    window = Window()
    window.add([entry(1, "a"), entry(2, "a"), entry(3, "b"), entry(4, "c")], now=0)
    assert seqs(window.next_to_send(10)) == [1, 3, 4]
    assert window.next_to_send(10) == []
    assert window.ack(1)
    assert seqs(window.next_to_send(10)) == [2]
    assert window.in_flight == 3
    for seq in (2, 3, 4):
        assert window.ack(seq)
    assert len(window) == 0


def test_no_more_in_flight_than_its_size() -> None:
    window = Window(size=2)
    window.add([entry(i, f"call {i}") for i in range(1, 6)], now=0)
    assert seqs(window.next_to_send(10)) == [1, 2]
    window.ack(1)
    assert seqs(window.next_to_send(10)) == [3]


def test_a_refused_message_stops_its_own_call_only_until_its_next_try() -> None:
    window = Window(retry=60)
    window.add([entry(1, "a"), entry(2, "a"), entry(3, "b"), entry(4, "b")], now=100)
    window.next_to_send(10)
    refused = window.nack(1, now=100)
    assert refused is not None
    assert refused.seq == 1
    window.ack(3)
    assert seqs(window.next_to_send(10)) == [4]
    window.add([entry(5, "a")], now=110)
    assert window.next_to_send(10) == []
    assert window.parked == 1
    assert window.next_due() == 160
    assert window.next_to_load(10, now=159.9) == []
    # Its head alone is tried.
    assert window.next_to_load(10, now=160) == [1]
    window.fill([1], [entry(1, "a")])
    assert seqs(window.next_to_send(10)) == [1]
    assert window.next_to_load(10, now=160) == []
    window.ack(1)
    # It went out: the others follow, in order.
    assert window.next_to_load(10, now=160) == [2, 5]
    window.fill([2, 5], [entry(2, "a"), entry(5, "a")])
    assert seqs(window.next_to_send(10)) == [2]
    window.ack(2)
    assert seqs(window.next_to_send(10)) == [5]


def test_refused_again_waits_again() -> None:
    window = Window(retry=60)
    window.add([entry(1, "a"), entry(2, "a")], now=0)
    window.next_to_send(1)
    window.nack(1, now=0)
    assert window.next_to_load(10, now=60) == [1]
    window.fill([1], [entry(1, "a")])
    window.next_to_send(1)
    window.nack(1, now=61)
    assert window.next_due() == 121
    assert window.next_to_load(10, now=100) == []


def test_refused_before_a_restart_still_waits() -> None:
    window = Window(retry=60)
    window.add([entry(1, "a", next_try=130), entry(2, "a"), entry(3, "b")], now=100)
    assert seqs(window.next_to_send(10)) == [3]
    assert window.next_due() == 130
    assert window.next_to_load(10, now=130) == [1]


def test_a_lost_connection_sends_again_in_order() -> None:
    window = Window(size=3)
    window.add([entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(4, "a"), entry(5, "d")], now=0)
    assert seqs(window.next_to_send(10)) == [1, 2, 3]
    window.ack(2)
    assert window.reset() == 2
    assert window.in_flight == 0
    assert seqs(window.next_to_send(10)) == [1, 3, 5]
    assert not window.ack(2), "a late outcome of the connection before"


def test_what_the_store_no_longer_has_is_dropped() -> None:
    window = Window(retry=10)
    window.add([entry(1, "a"), entry(2, "a"), entry(3, "a")], now=0)
    window.next_to_send(1)
    window.nack(1, now=0)
    window.next_to_load(10, now=10)
    window.fill([1], [])
    assert window.next_to_load(10, now=10) == [2]
    window.fill([2], [])
    assert window.next_to_load(10, now=10) == [3]
    window.fill([3], [])
    assert len(window) == 0


def test_what_could_not_be_loaded_is_asked_for_again() -> None:
    window = Window(retry=10)
    window.add([entry(1, "a"), entry(2, "a")], now=0)
    window.next_to_send(1)
    window.nack(1, now=0)
    asked = window.next_to_load(10, now=10)
    window.give_back(asked)
    assert window.next_to_load(10, now=10) == asked == [1]


def test_a_call_of_thousands_of_messages_keeps_few_in_memory() -> None:
    window = Window(per_lane=4)
    window.add([entry(i, "a") for i in range(1, 1001)], now=0)
    assert window.room == window.capacity - 4
    assert window.waiting == 996
    sent = []
    while len(window):
        for e in window.next_to_send(5):
            sent.append(e.seq)
            window.ack(e.seq)
        asked = window.next_to_load(50, now=0)
        window.fill(asked, [entry(i, "a") for i in asked])
    assert sent == list(range(1, 1001))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.sampled_from("abcd"), min_size=1, max_size=6)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("ack"), st.integers(0, 9)),
        st.tuples(st.just("nack"), st.integers(0, 9)),
        st.tuples(st.just("load"), st.integers(1, 5)),
        st.tuples(st.just("fail to load"), st.integers(1, 5)),
        st.tuples(st.just("reset"), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 70)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps=steps, size=st.integers(1, 4), per_lane=st.integers(1, 3))
def test_whatever_happens_order_holds_and_nothing_is_lost(
    steps: list[tuple[str, object]], size: int, per_lane: int
) -> None:
    window = Window(size=size, retry=60, per_lane=per_lane)
    stored: dict[int, Entry] = {}
    delivered: dict[str, list[int]] = {}
    flight: list[Entry] = []
    now, seq, total = 0.0, 0, 0

    def load(count: int) -> None:
        asked = window.next_to_load(count, now)
        window.fill(asked, [stored[s] for s in asked])

    def send(count: int) -> None:
        for found in window.next_to_send(count):
            order = found.message.order
            assert all(e.message.order != order for e in flight), "two of one call in flight"
            assert found.seq == min(s for s, e in stored.items() if e.message.order == order), "out of order"
            flight.append(found)
        assert len(flight) == window.in_flight <= size

    def ack(which: int) -> None:
        done = flight.pop(which % len(flight))
        assert window.ack(done.seq)
        delivered.setdefault(done.message.order, []).append(done.seq)
        del stored[done.seq]

    for name, value in steps:
        if name == "add":
            assert isinstance(value, list)
            fresh = []
            for order in value:
                seq += 1
                fresh.append(entry(seq, order))
                stored[seq] = fresh[-1]
            total += len(fresh)
            window.add(fresh, now)
        elif name == "send":
            assert isinstance(value, int)
            send(value)
        elif name == "ack" and flight:
            assert isinstance(value, int)
            ack(value)
        elif name == "nack" and flight:
            assert isinstance(value, int)
            lost = flight.pop(value % len(flight))
            refused = window.nack(lost.seq, now)
            assert refused is not None
            assert refused.seq == lost.seq
        elif name == "load":
            assert isinstance(value, int)
            load(value)
        elif name == "fail to load":
            assert isinstance(value, int)
            window.give_back(window.next_to_load(value, now))
        elif name == "reset":
            assert window.reset() == len(flight)
            flight.clear()
        elif name == "wait":
            assert isinstance(value, int)
            now += value
        assert len(window) == len(stored)
    # The broker is well from now on: everything goes out.
    now += 1000
    for _ in range(total * 4 + 4):
        load(100)
        send(100)
        while flight:
            ack(0)
    assert len(window) == 0
    assert window.parked == 0
    assert sum(len(d) for d in delivered.values()) == total
    assert all(d == sorted(d) for d in delivered.values())


def test_a_clock_that_is_set_back_parks_nobody_for_longer() -> None:
    """A machine may start with a clock that is years ahead: nobody waits for those years."""
    window = Window(retry=60)
    window.add([entry(1, "a")], now=1000)
    window.next_to_send(10)
    window.nack(1, now=1000)
    assert window.next_to_load(10, now=1001) == []
    assert window.next_to_load(10, now=999) == [1]
    window = Window(retry=60)
    window.add([entry(1, "a", next_try=1060), entry(2, "b", next_try=70)], now=10)
    assert seqs(window.next_to_send(10)) == [1]
    assert window.next_to_load(10, now=69) == []
    assert window.next_to_load(10, now=70) == [2]
