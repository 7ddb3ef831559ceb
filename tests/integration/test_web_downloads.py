"""/r/TOKEN over a real socket: whole, in part, repeated, expired, forged."""

from __future__ import annotations

import http.client
import logging
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from daemon.jobs.model import RecordingsSent
from daemon.recordings import links
from daemon.web.downloads import Downloads
from daemon.web.routing import App
from daemon.web.server import WebServer
from tests.integration.outbox_parts import Clock, offload
from tests.integration.recording_parts import desk, request, write_mp3
from tests.servers.waiting import DEADLINE


class Site:
    def __init__(self, folder: Path, **options: float) -> None:
        self.clock = Clock(1_800_000_000.0)
        self.first = write_mp3(folder / "calls/internal-1121-1130-20251027-090000-1.mp3", 60, b"a")
        self.second = write_mp3(folder / "calls/internal-1121-1130-20251027-100000-2.mp3", 2, b"b")
        self.desk = desk(folder, self.clock)
        outcome = self.desk.send(request(), folder / "work")
        assert isinstance(outcome, RecordingsSent)
        self.outcome = outcome
        self.zip = next((folder / "data/audios").glob("*.zip"))
        downloads = Downloads(self.desk.shelf, lambda: self.desk.key, offload(), clock=self.clock)
        self.web = WebServer(("127.0.0.1:0",), App((downloads.route(),)), **options)
        self.web.open()
        self.stop = Event()
        self.thread = Thread(target=self.web.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def get(self, link: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        host, _, port = self.web.addresses[0].rpartition(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=DEADLINE)) as client:
            client.request(
                method, urlsplit(link).path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = client.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.stop.set()
    made.thread.join(DEADLINE)


def test_the_zip_and_each_recording(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "arimonitor.audit"):
        for _ in range(2):
            status, headers, body = site.get(site.outcome.bundle, X_Forwarded_For="198.51.100.7")
            assert (status, body) == (200, site.zip.read_bytes())
            assert headers["content-type"] == "application/zip"
            assert headers["content-disposition"].startswith('attachment; filename="gravacoes-')
        status, headers, body = site.get(site.outcome.rows[1].link)
        assert (status, body) == (200, site.second.read_bytes())
        assert headers["content-type"] == "audio/mpeg"
        assert headers["content-disposition"] == 'inline; filename="2025-10-27_10h00m00_1121_1130.mp3"'
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "198.51.100.7" in said[0]
    assert all(
        link.rpartition("/")[2] not in line
        for line in said
        for link in (site.outcome.bundle, site.outcome.rows[1].link)
    )


def test_head(site: Site) -> None:
    status, headers, body = site.get(site.outcome.rows[0].link, "HEAD")
    assert (status, headers["content-length"], body) == (200, "480000", b"")
    assert headers["accept-ranges"] == "bytes"
    assert site.get(site.outcome.rows[0].link, "POST")[0] == 405


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=479900-", 479900, 479999),
        ("bytes=-10", 479990, 479999),
        ("bytes=5-999999", 5, 479999),
    ],
)
def test_ranges(site: Site, wanted: str, first: int, last: int) -> None:
    status, headers, body = site.get(site.outcome.rows[0].link, Range=wanted)
    assert status == 206
    assert headers["content-range"] == f"bytes {first}-{last}/480000"
    assert body == site.first.read_bytes()[first : last + 1]
    assert site.get(site.outcome.rows[0].link, Range=wanted, If_Range='"other"')[0] == 200
    assert site.get(site.outcome.rows[0].link, Range=wanted, If_Range=headers["etag"])[0] == 206


def test_ranges_that_are_not_there_or_not_understood(site: Site) -> None:
    status, headers, _ = site.get(site.outcome.rows[0].link, Range="bytes=480000-")
    assert (status, headers["content-range"]) == (416, "bytes */480000")
    for odd in ("bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=a-b"):
        assert site.get(site.outcome.rows[0].link, Range=odd)[0] == 200


def test_forged_expired_and_gone(site: Site) -> None:
    link = site.outcome.bundle
    assert site.get(link[:-1] + ("A" if link[-1] != "A" else "B"))[0] == 404
    for odd in ("/r/", "/r/..%2f..%2fetc%2fpasswd", "/r/" + "A" * 52, "/r/" + "x" * 5000):
        assert site.get("http://x" + odd)[0] == 404
    found = links.read(site.desk.key, link.rpartition("/")[2])
    assert found is not None
    for entry in (3, 99):  # the list in the ZIP is no recording
        other = links.sign(site.desk.key, links.Link(found.publication, entry, found.expires))
        assert site.get("http://x/r/" + other)[0] == 404
    site.clock.now += 25 * 3600
    status, headers, body = site.get(link)
    assert (status, headers["content-type"]) == (410, "text/html; charset=utf-8")
    assert "expirou" in body.decode()
    site.clock.now -= 25 * 3600
    site.zip.unlink()
    assert site.get(link)[0] == 410


def test_a_broken_zip_is_said(site: Site) -> None:
    site.zip.write_bytes(b"PK" * 10)
    assert site.get(site.outcome.rows[0].link)[0] == 503
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(site.zip)


def test_a_download_may_take_longer_than_an_answer(tmp_path: Path) -> None:
    """The deadline is each piece's: a client that goes on taking is not cut off."""
    write_mp3(tmp_path / "calls/internal-1121-1130-20251027-080100-0.mp3", 4000, b"c")
    site = Site(tmp_path, deadline=2.0)
    try:
        host, _, port = site.web.addresses[0].rpartition(":")
        with socket.create_connection((host, int(port)), DEADLINE) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(
                f"GET {urlsplit(site.outcome.bundle).path} HTTP/1.1\r\nHost: x\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            began, got = time.monotonic(), 0
            while data := client.recv(1 << 20):
                got += len(data)
                if time.monotonic() - began < 3.5:
                    time.sleep(0.02)  # a slow line, not a wait for something
        assert got > site.zip.stat().st_size
    finally:
        site.stop.set()
        site.thread.join(DEADLINE)
