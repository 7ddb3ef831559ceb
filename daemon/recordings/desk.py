"""RAMAIS from a request to its outcome: find, convert, pack, publish. Service.

    find -> bound -> room -> fetch -> probe -> MP3 -> ZIP (.part) -> renamed -> note -> the peer too -> links

The note is written last and is the commit: run again after a crash, a request
that has one gets the same answer, any other is done anew under the same names.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from daemon.errors import PermanentError, RequestError, TransientError
from daemon.jobs.model import NothingFound, RecordingsSent, Request, Row
from daemon.mail import dates
from daemon.recordings import links
from daemon.recordings.bundle import BadFile, Item, Packer
from daemon.recordings.local import LocalStore
from daemon.recordings.model import Found, LeftOut, Recording
from daemon.recordings.preparing import Preparing
from daemon.recordings.published import Note, NotedRow
from daemon.recordings.s3 import S3Store
from daemon.recordings.sharing import Sharer, shelf_of
from daemon.recordings.store import Store
from daemon.settings import Settings
from ssh.traffic import Traffic

log = logging.getLogger("arimonitor.recordings")

INDEX: Final = "recordings.sqlite"
RESERVE: Final = 64 << 20
"""Bytes that stay free on the disk of publish_dir and of the work folder."""
_MB: Final = 1_000_000


class Recordings:
    """The recordings of one node. Every method may be called from any greenlet; `send` many at once.

    `offload(function, *data)` runs it in a native thread; `colleagues` gives
    the other extensions of the same client that the requester may ask for, for
    what is said where nothing is found; what moves between hosts is seen in
    `traffic`.
    """

    def __init__(
        self,
        settings: Settings,
        offload: Callable[..., Any],
        *,
        colleagues: Callable[[Request], Sequence[str]] = lambda _: (),
        traffic: Traffic | None = None,
        clock: Callable[[], float] = time.time,
        reserve: int = RESERVE,
    ) -> None:
        self.settings = settings
        self.timezone = ZoneInfo(settings.node.timezone)
        self.shelf = shelf_of(settings, clock)
        self.index = settings.node.data_dir / INDEX
        self._offload = offload
        self._colleagues = colleagues
        self._clock = clock
        self._reserve = reserve
        self._key = b""
        self._s3 = S3Store(settings.recordings.s3, self.timezone) if settings.recordings.s3.bucket else None
        self._local = LocalStore(settings.recordings.roots, self.index, self.timezone, offload)
        self.traffic = traffic or Traffic()
        self._preparing = Preparing(settings, offload, self.traffic, self._roomy)
        self.sharer = Sharer(settings, self.shelf, lambda: self.key, offload, self.traffic, clock=clock)
        self.sent = self.nothing = 0

    def open(self) -> None:
        """What takes a moment, before the services start. What goes wrong is only logged."""
        self.sharer.open()
        if self._s3 is not None:
            try:
                self._s3.open()
            except (TransientError, PermanentError) as error:
                log.warning("recordings in S3 can't be had: %s", error)

    @property
    def key(self) -> bytes:
        """What signs the links."""
        if not self._key:
            given = self.settings.recordings.link_key
            self._key = (
                given.get_secret_value().encode() if given is not None else self._offload(self.shelf.key)
            )
        return self._key

    def store(self, audios_from: str) -> Store:
        """audio or s3; "": the configured default. RequestError: this node has none such."""
        source = audios_from or self.settings.recordings.audios_from
        if source == "s3" and self._s3 is not None:
            return self._s3
        if source == "audio" and self.settings.recordings.roots:
            return self._local
        key = "recordings.s3.bucket" if source == "s3" else "recordings.roots"
        raise RequestError(
            f"no recordings in {source} here: {key} is not set", "recordings-not-here", source=source
        )

    def find(self, extensions: Sequence[str], begin: datetime, end: datetime, audios_from: str = "") -> Found:
        """What there is. Raises TransientError, PermanentError."""
        return self.store(audios_from).find(extensions, begin, end)

    def send(self, request: Request, folder: Path) -> RecordingsSent | NothingFound:
        """Do a RAMAIS request in `folder`, which is its own and emptied first.

        RequestError: refused. TransientError: try again; nothing is left behind.
        """
        publication = links.publication_id(self.key, request.request_id)
        if (note := self._published(publication)) is not None:
            log.info("request %s was published before: the answer is made from its note", request.request_id)
            return self._outcome(publication, note)
        try:
            self._offload(_emptied, str(folder), str(self.settings.recordings.publish_dir))
            return self._send(request, folder, publication)
        except OSError as error:
            raise TransientError(
                f"request {request.request_id} can't be packed: {error.strerror}: {error.filename or folder};"
                " see to that disk"
            ) from error
        finally:
            self._offload(self.shelf.withdraw, publication)
            self._offload(shutil.rmtree, str(folder), True)

    # -- the steps -----------------------------------------------------------
    def _send(self, request: Request, folder: Path, publication: str) -> RecordingsSent | NothingFound:
        extensions = tuple(request.parameters["ramais"].split(","))
        begin, end = dates.span(request.parameters, self.timezone)
        try:
            store = self.store(request.audios_from)
            found = store.find(extensions, begin, end)
            if not found.recordings:
                return self._nothing(request, store, (extensions, begin, end), found.left_out)
            self._bound(found)
            self._offload(self.shelf.room, _needed(found.recordings), self._reserve)
            here = _worked_on(found.recordings)
            self._offload(self.shelf.room, here, self._reserve, folder)
            ready = self._preparing.prepare(store, found, folder)
        except RequestError:
            raise
        except PermanentError as error:
            log.error("request %s can't be done: %s", request.request_id, error)
            raise RequestError(str(error), "recordings-refused") from error
        items, missing = self._pack(publication, ready.items, ready.missing, request.language)
        if not items:
            return self._nothing(request, store, (extensions, begin, end), missing)
        note = self._note(request, publication, items, missing, ready.rate)
        if self._to_bucket(store.source):
            note = self._upload(publication, note, items, ready.keys)
        if (other := self._published(publication)) is not None:
            log.info("request %s was published by another node meanwhile", request.request_id)
            return self._outcome(publication, other)
        self._offload(self.shelf.publish, publication, note)
        self.sent += 1
        log.info(
            "request %s is published as %s...: %d recordings, %d left out, %d bytes; MP3s made: %s",
            request.request_id, publication[:8], len(items), len(missing), note.bytes, ready.made,
        )  # fmt: skip
        self.sharer.share_now(publication, note)
        return self._outcome(publication, note)

    def _published(self, publication: str) -> Note | None:
        note: Note | None = self._offload(self.shelf.note, publication)
        return note if note is not None and note.expires > self._clock() else None

    def _nothing(
        self,
        request: Request,
        store: Store,
        asked: tuple[Sequence[str], datetime, datetime],
        missing: Sequence[LeftOut],
    ) -> NothingFound:
        self.nothing += 1
        log.info(
            "request %s finds no recording that can be given; %d left out", request.request_id, len(missing)
        )
        return NothingFound(store.near(*asked, self._colleagues(request)), tuple(missing))

    def _roomy(self, folder: Path) -> None:
        """Whether an MP3 failed for want of room: a full disk must not cost anybody a recording."""
        self._offload(self.shelf.room, 0, self._reserve // 2, folder)

    def _bound(self, found: Found) -> None:
        limits = self.settings.recordings
        count, size = len(found.recordings), sum(each.bytes for each in found.recordings)
        if count > limits.max_recordings:
            raise RequestError(
                f"{count} recordings were found, and {limits.max_recordings} are allowed",
                "too-many-recordings",
                found=str(count),
                limit=str(limits.max_recordings),
            )
        if size > limits.max_mb * _MB:
            raise RequestError(
                f"{size} bytes of recordings were found, and {limits.max_mb} MB are allowed",
                "too-many-bytes",
                found=str(count),
                size=f"{size // _MB} MB",
                limit=f"{limits.max_mb} MB",
            )

    def _pack(
        self, publication: str, items: list[Item], missing: list[LeftOut], language: str
    ) -> tuple[list[Item], list[LeftOut]]:
        """A file that fails now is left out, and the packing begins anew without it."""
        part = str(self.shelf.part(publication))
        while items:
            self._offload(self.shelf.room, sum(item.bytes for item in items), self._reserve)
            packer = Packer(part, items, missing, language)
            try:
                while self._offload(packer.step):
                    pass
            except BadFile as bad:
                missing = [*missing, LeftOut(items[bad.at].original, bad.code)]
                items = items[: bad.at] + items[bad.at + 1 :]
            else:
                return items, missing
            finally:
                self._offload(packer.abandon)
        return items, missing

    def _note(
        self, request: Request, publication: str, items: Sequence[Item], missing: Sequence[LeftOut], rate: int
    ) -> Note:
        now = self._clock()
        rows = tuple(
            NotedRow(item.origin, item.destiny, item.started.isoformat(), item.seconds) for item in items
        )
        return Note(
            request_id=request.request_id,
            published=now,
            expires=int(now + self.settings.recordings.link_hours * 3600),
            bytes=self.shelf.part(publication).stat().st_size,
            rows=rows,
            left_out=tuple(missing),
            rate=rate,
        )

    def _to_bucket(self, source: str) -> bool:
        wanted = self.settings.recordings.publish
        return self._s3 is not None and (wanted == "s3" or (wanted == "auto" and source == "s3"))

    def _upload(self, publication: str, note: Note, items: Sequence[Item], keys: dict[str, str]) -> Note:
        store = self._bucket()
        base = f"{store.published}{publication}/"
        rows = []
        for number, (item, row) in enumerate(zip(items, note.rows, strict=True), 1):
            key = keys.get(item.path) if item.path in keys and self._is_of_bucket(item.path) else None
            if key is None:
                key = f"{base}{number:05d}.mp3"
                store.upload(Path(item.path), key, "audio/mpeg")
            rows.append(NotedRow(row.origin, row.destiny, row.started, row.seconds, key))
        store.upload(self.shelf.part(publication), f"{base}bundle.zip", "application/zip")
        return Note(
            note.request_id, note.published, note.expires, note.bytes, tuple(rows),
            note.left_out, note.rate, "s3", f"{base}bundle.zip",
        )  # fmt: skip

    def _is_of_bucket(self, path: str) -> bool:
        """Downloaded from it: everything else lies below a root."""
        return not any(path.startswith(f"{root}/") for root in self.settings.recordings.roots)

    def _bucket(self) -> S3Store:
        if self._s3 is None:
            raise TransientError("a publication is in S3, and recordings.s3.bucket is not set any more")
        return self._s3

    def _outcome(self, publication: str, note: Note) -> RecordingsSent:
        moments = [datetime.fromisoformat(row.started).astimezone(self.timezone) for row in note.rows]
        rows = tuple(
            Row(
                row.origin,
                row.destiny,
                moment,
                row.seconds,
                self._link(publication, number, note, row.url_key, moment),
            )
            for number, (row, moment) in enumerate(zip(note.rows, moments, strict=True), 1)
        )
        return RecordingsSent(
            rows=rows,
            bundle=self._link(publication, 0, note, note.url_key, min(moments)),
            bundle_bytes=note.bytes,
            expires=datetime.fromtimestamp(note.expires, UTC).astimezone(self.timezone),
            left_out=note.left_out,
            rate=note.rate,
        )

    def _link(self, publication: str, entry: int, note: Note, url_key: str, moment: datetime) -> str:
        if url_key:
            name = bundle_name(publication) if entry == 0 else f"{moment:%Y-%m-%d_%Hh%Mm%S}.mp3"
            return self._bucket().link(url_key, name, note.expires - self._clock(), inline=entry != 0)
        token = links.sign(self.key, links.Link(publication, entry, note.expires))
        base = self.settings.recordings.public_url
        if not base and self.settings.http.listen:
            base = f"http://{self.settings.http.listen[0]}"
        return f"{base}/r/{token}"

    # -- what was published ------------------------------------------------------
    def prune(self) -> int:
        """Delete publications older than keep_days whose links have ended; how many. 0 keeps them all."""
        days = self.settings.recordings.keep_days
        gone = self._offload(self.shelf.expired, days * 86_400.0) if days else []
        for publication, note in gone:
            if note.place == "s3":
                self._bucket().delete(f"{self._bucket().published}{publication}/")
            self._offload(self.shelf.remove, publication)
            log.info(
                "publication %s... of request %s is older than recordings.keep_days and is deleted",
                publication[:8], note.request_id,
            )  # fmt: skip
        self._offload(self.shelf.prune_parts)
        return len(gone)

    def check_bucket(self) -> None:
        """Try the bucket, if there is one. Raises TransientError or PermanentError."""
        if self._s3 is not None:
            self._s3.check()


def bundle_name(publication: str) -> str:
    """What a ZIP is called by who downloads it: the name tells nothing of its place."""
    return f"gravacoes-{publication[:6]}.zip"


def _worked_on(recordings: Sequence[Recording]) -> int:
    """Bytes in the work folder: MP3s made from WAVs, and what comes from a bucket."""
    return sum(each.bytes for each in recordings if each.format == "wav" or each.source == "s3")


def _needed(recordings: Sequence[Recording]) -> int:
    """Bytes of the ZIP at most: a WAV's MP3 is not larger than the WAV."""
    return sum(each.bytes for each in recordings)


def _emptied(folder: str, publish_dir: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True, mode=0o700)
    Path(publish_dir).mkdir(parents=True, exist_ok=True)
