"""What each stage of the way costs by itself, in CPU microseconds per event, on the same events.

    python -m tests.bench.stages [--filtered]

The bytes are in memory; each stage runs alone over all of them, with the last
one's results. Reading from the socket is a contestant of its own.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from daemon.ari.events import parse  # noqa: E402
from daemon.calls.tracker import Tracker  # noqa: E402
from daemon.outbox.store import Outbox  # noqa: E402
from daemon.runtime.offload import Offload  # noqa: E402
from tests.bench.contestants import SERVER, renderer  # noqa: E402
from tests.bench.feed import MESSAGES, payloads, recorded  # noqa: E402

EVENTS = 40_000
AT_A_TIME = 2000  # events between two stores, as in the monitor under load


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, threads included, and the result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def main() -> None:
    """Print the costs as one JSON object."""
    options = argparse.ArgumentParser()
    options.add_argument("--filtered", action="store_true")
    events = recorded(filtered=options.parse_args().filtered)
    calls = EVENTS // len(events)
    frames = list(payloads(events, calls))
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="arimonitor-bench-") as name:
        folder = Path(name)
        seconds["parse"], parsed = timed(lambda: [parse(data) for data in frames])
        states: list[dict[tuple[str, str], bytes | None]] = []

        def track(remember: bool) -> list[Any]:
            tracker, facts, now = Tracker(SERVER), [], time.time()
            for number, event in enumerate(parsed):
                if number % AT_A_TIME == 0:  # a second for so many: about the pace at which calls end
                    now += 1.0
                    facts += tracker.tick(now)
                    if remember:
                        changes = tracker.changes()
                        states.append({(SERVER, key): data for key, data in changes.items()})
                facts += tracker.apply(event, now)
            return facts + tracker.tick(now + 60.0)

        seconds["track"], facts = timed(lambda: track(False))
        assert len(facts) == MESSAGES * calls, f"{len(facts)} facts of {calls} calls"
        with_memory, _ = timed(lambda: track(True))
        seconds["its memory"] = with_memory - seconds["track"]
        render = renderer(folder)
        calls_log = logging.getLogger("arimonitor.calls")
        calls_log.setLevel(logging.CRITICAL)
        seconds["render"], messages = timed(lambda: [render(fact) for fact in facts])
        calls_log.setLevel(logging.NOTSET)
        with_log, _ = timed(lambda: [render(fact) for fact in facts])
        seconds["calls' log"] = with_log - seconds["render"]
        native = Offload(2)
        outbox = Outbox(folder / "outbox.sqlite", native.call)
        outbox.open()
        size = round(AT_A_TIME * len(messages) / len(frames))

        def store() -> None:
            for number, at in enumerate(range(0, len(messages), size)):
                outbox.store(messages[at : at + size], states[number] if number < len(states) else None)

        seconds["store"], _ = timed(store)
        outbox.close()
    per_event = {stage: value / len(frames) * 1e6 for stage, value in seconds.items()}
    print(json.dumps({"per_event": per_event, "messages_per_event": len(messages) / len(frames)}))


if __name__ == "__main__":
    main()
