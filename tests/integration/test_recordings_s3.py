"""Recordings in a bucket, on a real S3 server, which is also down, slow or refusing."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import PermanentError, RequestError, TransientError
from daemon.jobs.model import RecordingsSent
from daemon.recordings.s3 import S3Store
from daemon.settings import S3Settings
from tests.integration.outbox_parts import Clock
from tests.integration.recording_parts import SAO_PAULO, desk, moment, request, write_mp3, write_wav
from tests.servers.relay import Relay
from tests.servers.s3 import S3, unavailable_reason
from tests.servers.waiting import wait_until

BEGIN, END = moment("27/10/2025 08:00"), moment("28/10/2025 18:00")


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    if reason := unavailable_reason():
        pytest.skip(f"no S3 server: {reason}")
    with S3() as running:
        write_mp3(running.folder / "audio/2025/10/27/internal-1121-1130-20251027-090000-1.mp3")
        write_wav(running.folder / "audio/2025/10/28/internal-1140-1122-20251028-090000-2.wav")
        write_mp3(running.folder / "audio/2025/10/20/internal-1121-1130-20251020-090000-3.mp3")
        write_mp3(running.folder / "audio/internal-1150-1122-20251027-100000-4.mp3")
        write_mp3(running.folder / "other/2025/10/27/internal-1121-1130-20251027-090000-9.mp3")
        many = running.folder / "many/2025/10/27"
        many.mkdir(parents=True)
        for n in range(1100):
            (many / f"internal-{2000 + n}-1130-20251027-09{n % 60:02}00-{n}.mp3").write_bytes(b"x")
        yield running


def chosen(server: S3, **other: Any) -> dict[str, Any]:
    return {
        "bucket": server.bucket, "prefix": "audio", "region": "us-east-1", "endpoint_url": server.url,
        "access_key_id": server.access_key, "secret_access_key": server.secret_key, **other,
    }  # fmt: skip


def store(server: S3, timeout: float = 20.0, **other: Any) -> S3Store:
    settings = S3Settings.model_validate(chosen(server, **other))
    return S3Store(settings, SAO_PAULO, connect_timeout=timeout, read_timeout=timeout)


def test_found_by_folders_and_dates(server: S3) -> None:
    found = store(server).find(["1121", "1122"], BEGIN, END)
    assert [each.key for each in found.recordings] == [
        "audio/2025/10/27/internal-1121-1130-20251027-090000-1.mp3",
        "audio/internal-1150-1122-20251027-100000-4.mp3",
        "audio/2025/10/28/internal-1140-1122-20251028-090000-2.wav",
    ]


def test_more_than_a_thousand_keys(server: S3) -> None:
    assert len(store(server, prefix="many").find(["1130"], BEGIN, END).recordings) == 1100
    assert [each.origin for each in store(server, prefix="many").find(["3099"], BEGIN, END).recordings] == [
        "3099"
    ]


def test_near(server: S3) -> None:
    near = store(server).near(["1121"], BEGIN, END, ["1150"])
    assert [(str(day), count) for day, count in near.days] == [("2025-10-20", 1)]
    assert near.extensions == (("1150", 1),)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"secret_access_key": "wrong-secret"}, "secret_access_key"),
        ({"access_key_id": "another-key"}, "access"),
        ({"bucket": "no-such-bucket"}, "recordings.s3.bucket"),
    ],
)
def test_refused_is_the_operators(server: S3, other: dict[str, str], says: str) -> None:
    with pytest.raises(PermanentError, match=says) as caught:
        store(server, **other).find(["1121"], BEGIN, END)
    assert "wrong-secret" not in str(caught.value)
    assert server.secret_key not in str(caught.value)


def test_down_is_tried_again(server: S3) -> None:
    with S3() as another:
        made = store(another, 1.0)
        another.stop()
        with pytest.raises(TransientError, match="does not answer"):
            made.find(["1121"], BEGIN, END)


def test_slow_is_tried_again(server: S3) -> None:
    made = store(server, 0.3)
    server.freeze()
    try:
        with pytest.raises(TransientError, match="does not answer"):
            made.find(["1121"], BEGIN, END)
    finally:
        server.thaw()
    assert store(server).find(["1121"], BEGIN, END).recordings


@pytest.mark.parametrize("after", [50_000, 400_000])
def test_cut_in_the_middle(server: S3, tmp_path: Path, after: int) -> None:
    """Of a download and of an upload: made again, whole; cut each time, it is tried again later."""
    path = server.folder / "cut/2025/10/27/internal-1121-1130-20251027-090000-1.mp3"
    write_mp3(path, seconds=60)
    with Relay(int(server.url.rpartition(":")[2])) as relay:
        made = store(server, prefix="cut", endpoint_url=f"http://127.0.0.1:{relay.port}")
        found = made.find(["1121"], BEGIN, END).recordings
        relay.cut_in = after
        (copy,) = made.fetch(found, tmp_path / "copies")
        assert relay.cut_in == 0, "it was cut"
        assert isinstance(copy, Path)
        assert copy.read_bytes() == path.read_bytes()
        made.upload(copy, "cut/published/one.mp3", "audio/mpeg")
        assert (server.folder / "cut/published/one.mp3").read_bytes() == path.read_bytes()
        relay.silence()
        hurried = store(server, 0.3, prefix="cut", endpoint_url=f"http://127.0.0.1:{relay.port}")
        with pytest.raises(TransientError, match="does not answer"):
            hurried.upload(copy, "cut/published/two.mp3", "audio/mpeg")
        relay.cut()
        assert not (server.folder / "cut/published/two.mp3").exists()


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_sent_from_the_bucket_with_presigned_links(server: S3, tmp_path: Path) -> None:
    clock = Clock(time.time())
    made = desk(tmp_path, clock, s3=chosen(server), audios_from="s3", keep_days=2)
    outcome = made.send(request("1121,1122", fim="28/10/2025 18:00"), tmp_path / "work")
    assert isinstance(outcome, RecordingsSent)
    assert [row.origin for row in outcome.rows] == ["1121", "1150", "1140"]
    assert list((tmp_path / "data/audios").iterdir()) == []
    status, body = fetch(outcome.bundle)
    assert status == 200
    assert len(body) == outcome.bundle_bytes
    assert len(zipfile.ZipFile(io.BytesIO(body)).namelist()) == 4
    original = (server.folder / "audio/2025/10/27/internal-1121-1130-20251027-090000-1.mp3").read_bytes()
    assert fetch(outcome.rows[0].link) == (200, original)
    assert fetch(outcome.rows[2].link)[1][:2] == b"\xff\xe3"
    assert fetch(outcome.bundle.replace("Signature=", "Signature=0"))[0] in (400, 403)
    assert made.send(request("1121,1122", fim="28/10/2025 18:00"), tmp_path / "work").rows[0].origin == "1121"  # type: ignore[union-attr]
    # What was published is not found as a recording, and is deleted after keep_days.
    assert len(made.find(["1121", "1122"], BEGIN, END).recordings) == 3
    objects = list((server.folder / "audio/published").rglob("*.*"))
    assert sorted(path.name for path in objects) == ["00003.mp3", "bundle.zip"]
    clock.now += 49 * 3600
    assert made.prune() == 1
    assert not list((server.folder / "audio/published").rglob("*.*"))
    assert (server.folder / "audio/2025/10/27/internal-1121-1130-20251027-090000-1.mp3").exists()


def test_a_presigned_link_expires(server: S3) -> None:
    link = store(server).link("audio/internal-1150-1122-20251027-100000-4.mp3", "x.mp3", 3, inline=True)
    assert fetch(link)[0] == 200
    wait_until(lambda: fetch(link)[0] != 200, "the end of the link", every=0.2)
    assert fetch(link)[0] in (400, 403)


def test_a_request_that_the_bucket_refuses(server: S3, tmp_path: Path) -> None:
    made = desk(tmp_path, s3=chosen(server, secret_access_key="wrong-secret"), audios_from="s3")
    with pytest.raises(RequestError) as caught:
        made.send(request(), tmp_path / "work")
    assert caught.value.code == "recordings-refused"


def test_no_bucket_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        desk(tmp_path).send(request(audios_from="s3"), tmp_path / "work")
    assert (caught.value.code, caught.value.names) == ("recordings-not-here", {"source": "s3"})


def test_removed_between_search_and_packing(server: S3, tmp_path: Path) -> None:
    path = write_mp3(server.folder / "gone/internal-1121-1130-20251027-090000-1.mp3")
    made = store(server, prefix="gone")
    recordings = made.find(["1121"], BEGIN, END).recordings
    path.unlink()
    (result,) = made.fetch(recordings, tmp_path / "in")
    assert getattr(result, "reason", "") == "gone"
