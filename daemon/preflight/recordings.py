"""Checks of what a request for recordings needs: folders, lame, the bucket, the index. Adapter."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from daemon.errors import PermanentError, TransientError
from daemon.preflight.local import program, readable_folder, writable_folder
from daemon.preflight.report import Check
from daemon.recordings.desk import INDEX
from daemon.recordings.index import Index, Unusable
from daemon.recordings.s3 import S3Store
from daemon.settings import Settings


def recordings(settings: Settings) -> Iterator[Check]:
    """Everything of [recordings]."""
    chosen = settings.recordings
    for root in chosen.roots:
        yield readable_folder("recordings", root, "recordings.roots")
    if chosen.roots:
        yield _index(settings)
    if chosen.roots or chosen.s3.bucket:
        yield writable_folder("publish folder", chosen.publish_dir, "recordings.publish_dir")
        if not chosen.public_url:
            mend = "set recordings.public_url to https://..., which the site's web server passes on to [http]"
            yield Check("links", "recordings.public_url", True, "unset: links lead to [http] listen", mend)
    if chosen.mp3 == "local":
        needed = bool(chosen.roots or chosen.s3.bucket)
        yield program("MP3", "lame", needed, "apt-get install lame, or set recordings.mp3 to ssh")
    if chosen.s3.bucket:
        yield _bucket(settings)


def _index(settings: Settings) -> Check:
    path = settings.node.data_dir / INDEX
    index = Index(path)
    try:
        folders, files = index.totals()
    except (Unusable, TransientError) as error:
        mend = "`arimonitor recordings index` makes it; the daemon does so by itself"
        return Check("index", str(path), True, str(error), mend)
    finally:
        index.close()
    return Check("index", str(path), True, f"{files} files in {folders} folders")


def _bucket(settings: Settings) -> Check:
    s3 = settings.recordings.s3
    where = f"{s3.bucket} {s3.endpoint_url or s3.region}".strip()
    store = S3Store(s3, ZoneInfo(settings.node.timezone), connect_timeout=5.0, read_timeout=5.0)
    try:
        store.check()
    except PermanentError as error:
        return Check("S3", where, False, str(error), "correct [recordings.s3] as the reason says")
    except TransientError as error:
        return Check(
            "S3", where, False, str(error), "correct recordings.s3.endpoint_url, or start that server"
        )
    return Check("S3", where, True, "login and listing are well")
