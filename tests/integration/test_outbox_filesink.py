"""The file sink on a real folder."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.outbox.entry import Entry
from daemon.outbox.filesink import FileSink
from daemon.outbox.sink import Verdict
from tests.integration.outbox_parts import offload
from tests.unit.outbox.make import entry


def ids(folder: Path) -> list[str]:
    return [
        json.loads(line)["message_id"]
        for path in sorted(folder.glob("messages-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def publish(sink: FileSink, entries: list[Entry]) -> None:
    sink.publish(entries)
    outcomes = sink.poll(0)
    assert [o.seq for o in outcomes] == [e.seq for e in entries]
    assert all(o.verdict is Verdict.CONFIRMED for o in outcomes)


def test_a_line_per_message(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "messages", offload())
    sink.open()
    publish(sink, [entry(1, "voip3/1"), entry(2, "voip3/1")])
    lines = (tmp_path / "messages" / "messages-000001.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first == {
        "routing_key": "call.received-call.101.voip3",
        "headers": {
            "server": "voip3",
            "client": "101",
            "node": "AUDIO2",
            "x-deduplication-header": entry(1, "").message.id,
        },
        "message_id": entry(1, "").message.id,
        "type": "received-call",
        "timestamp": 1_761_562_800,
        "body": {"operation": {"type": "received-call"}, "data": {"call": "voip3/1"}},
    }
    assert len(lines) == 2


def test_written_but_not_noted_is_not_written_twice_and_a_torn_line_is_cut(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, offload())
    sink.open()
    publish(sink, [entry(i, "a") for i in range(1, 6)])
    sink.close()
    path = tmp_path / "messages-000001.jsonl"
    with path.open("ab") as file:
        file.write(b'{"routing_key": "call.received-ca')
    again = FileSink(tmp_path, offload())
    again.open()
    publish(again, [entry(i, "a") for i in range(3, 9)])
    assert ids(tmp_path) == [entry(i, "a").message.id for i in range(1, 9)]


def test_rotation_by_size_and_count(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, offload(), max_bytes=1500, keep=3)
    sink.open()
    for i in range(1, 31):
        publish(sink, [entry(i, "a")])
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert len(names) == 3
    assert all(path.stat().st_size <= 1500 for path in tmp_path.glob("*.jsonl"))
    kept = ids(tmp_path)
    assert kept == [entry(i, "a").message.id for i in range(31 - len(kept), 31)]
    # Ids are known over the files' border.
    again = FileSink(tmp_path, offload(), max_bytes=1500, keep=3)
    again.open()
    publish(again, [entry(i, "a") for i in range(31 - len(kept), 32)])
    assert ids(tmp_path)[-2:] == [entry(30, "a").message.id, entry(31, "a").message.id]
    assert len(ids(tmp_path)) == len(set(ids(tmp_path)))
