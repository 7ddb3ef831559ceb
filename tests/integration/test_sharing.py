"""Publications on both nodes: links that work on either, takeovers without work."""

from __future__ import annotations

import shutil

import pytest

from daemon.jobs.model import NothingFound
from daemon.preflight.machines import peer_folders
from daemon.recordings import links
from tests.integration.recording_parts import request, write_mp3
from tests.integration.sharing_parts import KEY, Node, Pair, Running
from tests.integration.sharing_parts import pair as pair
from tests.integration.sharing_parts import said as said
from tests.servers import sshd
from tests.servers.waiting import wait_until

if (_reason := sshd.unavailable_reason()) is not None:
    pytest.skip(_reason, allow_module_level=True)


def test_it_is_on_both_before_the_answer(pair: Pair) -> None:
    outcome = pair.first.send()
    assert pair.both(outcome)
    assert pair.first.files() == pair.second.files()
    note = next((pair.second.folder / "data/published").glob("*.json"))
    assert note.stat().st_mode & 0o777 == 0o600
    assert pair.first.desk.sharer.status() == {"waiting": 0, "shared": 1, "problem": ""}


def test_the_other_node_answers_from_the_note(pair: Pair) -> None:
    """It has no recordings at all: a takeover of the request needs none."""
    outcome = pair.first.send()
    assert pair.second.send() == outcome
    other = pair.second.desk.send(request(number="20251027_120000_1a2b3c4d"), pair.folder / "other.1")
    assert isinstance(other, NothingFound)


def test_the_node_that_made_it_dies(pair: Pair) -> None:
    outcome = pair.first.send()
    shutil.rmtree(pair.first.folder)
    assert pair.second.download(outcome.bundle)[0] == 200
    assert pair.second.send() == outcome


def test_the_list_survives_a_restart(pair: Pair) -> None:
    pair.server.stop()
    outcome = pair.first.send()
    pair.server.start()
    again = pair.node("audio")
    with Running(again.desk.sharer):
        wait_until(lambda: again.desk.sharer.shared, "another process puts it there")
    assert pair.both(outcome)


def test_a_large_one_follows_later(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    sharer = pair.first.sharer(now_at_most=1_000_000)
    outcome = pair.first.send()
    assert pair.second.files() == []
    assert any("later: it has 4.8 MB" in r.getMessage() for r in caplog.records)
    with Running(sharer):
        wait_until(lambda: sharer.shared, "it is there")
    assert pair.both(outcome)


def test_a_slow_link_is_not_waited_for(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    node = pair.node("audio", bandwidth=4_000)
    node.send()
    assert pair.second.files() == []
    assert any("and the bandwidth is 4000 kbit/s" in r.getMessage() for r in caplog.records)


def test_without_a_key_nothing_is_shared_and_that_is_said(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    peers = [each.model_dump(mode="json", exclude_defaults=True) for each in pair.first.settings.peer]
    keyless = Node(pair.folder / "audio", "audio", pair.clock, peers=peers, link_key="")
    keyless.open()
    keyless.send()
    assert pair.second.files() == []
    assert [each for each in keyless.files() if "unshared" in each] == []
    assert any("recordings.link_key is not set" in r.getMessage() for r in caplog.records)


def test_what_the_other_has_made_is_not_replaced(pair: Pair) -> None:
    write_mp3(pair.second.folder / "calls/internal-1121-1130-20251027-090000-1.mp3", 60, b"B")
    pair.second.desk.sharer.share_now = lambda *_: True  # type: ignore[method-assign]
    theirs = pair.second.send()
    before = {
        each: (pair.second.folder / "audios").joinpath(each).stat().st_ino
        for each in [p.name for p in (pair.second.folder / "audios").glob("*.zip")]
    }
    pair.first.send()
    assert {each: (pair.second.folder / "audios" / each).stat().st_ino for each in before} == before
    assert pair.second.send() == theirs
    assert [each for each in pair.first.files() if "unshared" in each] == []


def test_a_zip_without_a_note_is_nobodys(pair: Pair) -> None:
    """The other node died between the two: what is whole takes its place."""
    publication = links.publication_id(KEY.encode(), request().request_id)
    (pair.second.folder / f"audios/{publication}.zip").write_bytes(b"another try's")
    assert pair.both(pair.first.send())


def test_a_note_whose_links_have_ended_is_replaced(pair: Pair) -> None:
    pair.first.send()
    pair.clock.now += 25 * 3600
    outcome = pair.first.send()
    assert outcome.expires.timestamp() > pair.clock.now
    assert pair.both(outcome)


def test_both_prune(pair: Pair) -> None:
    pair.server.stop()
    first = pair.node("audio")
    first.desk.settings = first.desk.settings.model_copy(
        update={"recordings": first.settings.recordings.model_copy(update={"keep_days": 2})}
    )
    first.send()
    assert [each.rpartition(".")[2] for each in first.files()] == ["zip", "unshared", "json"] or len(
        first.files()
    ) == 3
    pair.clock.now += 3 * 86_400
    assert first.desk.prune() == 1
    assert first.files() == []
    pair.server.start()
    with Running(sharer := first.sharer()):
        wait_until(lambda: sharer.status()["waiting"] == 0, "nothing is left to do")
    assert (sharer.shared, pair.second.files()) == (0, [])


def test_check_tries_the_other_nodes_folders(pair: Pair) -> None:
    (peer,) = pair.first.settings.peer
    queue = pair.folder / "audio2/queue"
    peer = peer.model_copy(update={"queue_dir": queue})

    def found() -> dict[str, tuple[bool, str]]:
        checks = peer_folders(pair.first.settings, peer)
        return {
            each.where.removeprefix(f"audio2:{pair.folder}/audio2/"): (each.ok, each.reason)
            for each in checks
        }

    first = found()
    assert not first["queue/pending"][0]
    assert "it is not there" in first["queue/pending"][1]
    (queue / "pending").mkdir(parents=True)
    assert found() == {
        "queue/pending": (True, "writable"),
        "audios": (True, "writable"),
        "data/published": (True, "writable"),
        "audio2:recordings.link_key": (True, "the same as here"),
    }
    (pair.second.folder / "data/published/key.check").write_text("x")
    assert found()["audio2:recordings.link_key"] == (False, "not ours: no link works on both")
    assert pair.second.files() == []
    assert list(queue.rglob("*")) == [queue / "pending"]
