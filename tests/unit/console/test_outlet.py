"""The queue in front of a slow reader, with a `send` that is a plain function."""

from __future__ import annotations

from daemon.console.outlet import STREAM_LIMIT, Outlet


class Reader:
    """Takes `appetite` bytes at a time; breaks where `broken`."""

    def __init__(self, appetite: int = 1 << 20, broken: bool = False) -> None:
        self.got = b""
        self.breaks = 0
        self._appetite = appetite
        self._broken = broken

    def send(self, data: bytes) -> int:
        if self._broken:
            raise TimeoutError("too slow")
        self.got += data[: self._appetite]
        return min(len(data), self._appetite)

    def on_break(self) -> None:
        self.breaks += 1


def test_all_is_sent_in_order_then_the_pump_ends() -> None:
    reader = Reader(appetite=3)
    outlet = Outlet(reader.send, reader.on_break)
    outlet.put(b"hello ")
    assert outlet.offer(b"world")
    outlet.end()
    outlet.pump()
    assert reader.got == b"hello world"
    assert outlet.drain(0)
    assert reader.breaks == 0


def test_a_stream_that_nobody_reads_breaks_at_its_bound() -> None:
    reader = Reader()
    outlet = Outlet(reader.send, reader.on_break)
    assert outlet.offer(b"x" * STREAM_LIMIT)
    assert not outlet.drain(0)
    assert not outlet.offer(b"x")
    assert not outlet.offer(b"x")
    outlet.put(b"more")
    outlet.pump()
    assert reader.got == b""
    assert reader.breaks == 1
    assert not outlet.drain()


def test_a_reader_that_is_gone() -> None:
    reader = Reader(broken=True)
    outlet = Outlet(reader.send, reader.on_break)
    outlet.put(b"hello")
    outlet.pump()
    assert outlet.broken
    assert reader.breaks == 1
