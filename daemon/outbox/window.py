"""Which message goes out next: order kept per key, nothing lost, memory bounded. Pure.

Messages with one `order` key are a *lane*; a lane has at most one message in
flight, so its order holds through nacks and reconnects, and lanes don't wait for
each other. A lane is in one of four states:

    ready      its head may be sent
    in flight  its head is sent and has no outcome yet
    parked     its head was refused: nothing of it goes out before `until`
    hungry     its next messages are known by number only and must be loaded

A lane keeps few whole messages (`per_lane`); the rest, and all of a parked lane,
are kept as numbers whose messages are in the store. So the memory is bounded by
`capacity` messages and by the numbers.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daemon.outbox.entry import Entry


@dataclass(slots=True)
class _Lane:
    order: str
    # Lists, though they are taken from at the front: an empty deque has 600 bytes, and there may
    # be tens of thousands of parked lanes.
    loaded: list[Entry] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    in_flight: bool = False
    loading: bool = False
    until: float = 0.0
    parked: bool = False
    queued: bool = False  # is in the ready or hungry queue


class Window:
    """The messages of one broker that are on their way. Times are seconds of one clock of the caller's."""

    def __init__(
        self, *, size: int = 500, retry: float = 60.0, capacity: int = 4000, per_lane: int = 32
    ) -> None:
        self.size = size
        self.retry = retry
        self.capacity = capacity
        self._per_lane = per_lane
        self._lanes: dict[str, _Lane] = {}
        self._flight: dict[int, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        self._hungry: deque[_Lane] = deque()
        self._loading: dict[int, _Lane] = {}
        self._parked: list[tuple[float, str]] = []  # a heap; an outdated pair is skipped
        self._loaded = 0
        self._rest = 0
        self._parked_lanes = 0

    @property
    def in_flight(self) -> int:
        """Messages that are sent and have no outcome yet."""
        return len(self._flight)

    @property
    def room(self) -> int:
        """How many more messages `add` and `fill` should be given now."""
        return self.capacity - self._loaded

    @property
    def waiting(self) -> int:
        """Messages that are known here by number only."""
        return self._rest

    @property
    def parked(self) -> int:
        """Lanes whose head was refused and waits for its next try."""
        return self._parked_lanes

    def __len__(self) -> int:
        return self._loaded + self._rest

    def add(self, entries: Iterable[Entry], now: float) -> None:
        """New messages in the order of their numbers, each once."""
        for entry in entries:
            order = entry.message.order
            lane = self._lanes.get(order)
            if lane is None:
                lane = self._lanes[order] = _Lane(order)
                if self._not_yet(entry.next_try, now):  # refused before a restart of ours
                    lane.rest.append(entry.seq)
                    self._rest += 1
                    self._park(lane, entry.next_try)
                    continue
            if lane.parked or lane.rest or lane.loading or len(lane.loaded) >= self._per_lane:
                lane.rest.append(entry.seq)
                self._rest += 1
            else:
                lane.loaded.append(entry)
                self._loaded += 1
            self._settle(lane)

    def next_to_send(self, count: int) -> list[Entry]:
        """Up to `count` messages to send now, within the window; they count as in flight."""
        found: list[Entry] = []
        while self._ready and len(found) < count and len(self._flight) < self.size:
            lane = self._ready.popleft()
            lane.queued = False
            lane.in_flight = True
            head = lane.loaded[0]
            self._flight[head.seq] = lane
            found.append(head)
        return found

    def next_to_load(self, count: int, now: float) -> list[int]:
        """Up to about `count` numbers whose messages must be loaded and given to `fill`."""
        while self._parked and not self._not_yet(self._parked[0][0], now):
            until, order = heapq.heappop(self._parked)
            lane = self._lanes.get(order)
            if lane is not None and lane.parked and lane.until == until:
                lane.parked = False
                self._parked_lanes -= 1
                self._settle(lane)
        found: list[int] = []
        while self._hungry and len(found) < count:
            lane = self._hungry.popleft()
            lane.queued = False
            # After a refusal the head alone is tried; the others follow when it went out.
            take = 1 if lane.until else self._per_lane
            lane.loading = True
            asked = lane.rest[:take]
            del lane.rest[:take]
            self._rest -= len(asked)
            self._loading.update(dict.fromkeys(asked, lane))
            found += asked
        return found

    def fill(self, asked: Sequence[int], entries: Iterable[Entry]) -> None:
        """What the store has of the numbers `asked`; what it hasn't is no longer pending."""
        by_seq = {entry.seq: entry for entry in entries}
        lanes: dict[str, _Lane] = {}
        for seq in asked:
            lane = self._loading.pop(seq)
            lanes[lane.order] = lane
            entry = by_seq.get(seq)
            if entry is not None:
                lane.loaded.append(entry)
                self._loaded += 1
        for lane in lanes.values():
            lane.loading = False
            self._settle(lane)

    def give_back(self, asked: Sequence[int]) -> None:
        """The numbers `asked` could not be loaded now: they are asked for again."""
        lanes: dict[str, _Lane] = {}
        for seq in reversed(asked):
            lane = self._loading.pop(seq)
            lane.rest.insert(0, seq)
            self._rest += 1
            lanes[lane.order] = lane
        for lane in lanes.values():
            lane.loading = False
            self._settle(lane)

    def ack(self, seq: int) -> Entry | None:
        """It is out. The message, None if it was not in flight (a late outcome)."""
        lane = self._flight.pop(seq, None)
        if lane is None:
            return None
        lane.in_flight = False
        lane.until = 0.0
        head = lane.loaded.pop(0)
        self._loaded -= 1
        self._settle(lane)
        return head

    def nack(self, seq: int, now: float) -> Entry | None:
        """It was refused: its lane is parked. The message, None if it was not in flight."""
        lane = self._flight.pop(seq, None)
        if lane is None:
            return None
        head = lane.loaded[0]
        lane.in_flight = False
        lane.rest[:0] = [entry.seq for entry in lane.loaded]
        self._rest += len(lane.loaded)
        self._loaded -= len(lane.loaded)
        lane.loaded.clear()
        self._park(lane, now + self.retry)
        return head

    def reset(self) -> int:
        """The connection is gone: what was in flight is ready again, in order. How many that were."""
        lost = len(self._flight)
        for lane in self._flight.values():
            lane.in_flight = False
        self._flight.clear()
        lanes = [lane for lane in self._lanes.values() if lane.loaded and not lane.parked]
        lanes.sort(key=lambda lane: lane.loaded[0].seq)
        for lane in lanes:
            lane.queued = True
        self._ready = deque(lanes)
        return lost

    def next_due(self) -> float | None:
        """When the next parked lane may be tried again; None if none is parked."""
        return self._parked[0][0] if self._parked else None

    def _not_yet(self, until: float, now: float) -> bool:
        # What is further away than any refusal puts it was set by a clock that has been set back.
        return now < until <= now + self.retry

    def _park(self, lane: _Lane, until: float) -> None:
        lane.parked = True
        lane.until = until
        self._parked_lanes += 1
        heapq.heappush(self._parked, (until, lane.order))

    def _settle(self, lane: _Lane) -> None:
        """Put a lane where it belongs after a change."""
        if lane.parked or lane.in_flight or lane.loading or lane.queued:
            return
        if lane.loaded:
            lane.queued = True
            self._ready.append(lane)
        elif lane.rest:
            lane.queued = True
            self._hungry.append(lane)
        else:
            del self._lanes[lane.order]
