"""Checks of what a request for recordings needs: folders, lame here or elsewhere, bucket, index. Adapter."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.errors import PermanentError, TransientError
from daemon.machines import reach
from daemon.machines.reach import place_of
from daemon.preflight.local import program, readable_folder, writable_folder
from daemon.preflight.report import Check
from daemon.recordings.desk import INDEX
from daemon.recordings.encoders import hosts
from daemon.recordings.index import Index, Unusable
from daemon.recordings.mp3 import probe
from daemon.recordings.mp3host import Mp3Host, Unable
from daemon.recordings.s3 import S3Store
from daemon.settings import PeerSettings, ServerSettings, Settings
from ssh.traffic import Traffic

_TIMEOUT = 5.0


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
    for machine in hosts(settings):
        yield _mp3_host(settings, machine)
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


def _mp3_host(settings: Settings, machine: PeerSettings | ServerSettings) -> Check:
    """A tenth of a second of silence is made an MP3 there, on the way that recordings go; nothing is left."""
    folder = settings.recordings.remote_dir
    where = f"{machine.name}:{folder}"
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "check.wav", Path(name) / "check.mp3"
        with wave.open(str(source), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(1600))
        (before,) = probe([(str(source), "wav")])
        place = place_of(machine, _TIMEOUT)
        host = Mp3Host(place, folder, settings.recordings.bitrate, lambda work, *data: work(*data), Traffic())
        try:
            host.convert([(source, target, before)], f"check-{settings.node.name[:60]}.1")
        except Unable as unable:
            kind = "peer" if isinstance(machine, PeerSettings) else "server"
            cause = unable.__cause__
            other = f"see to lame there, and that {folder} is {machine.user}'s"
            refused = cause is not None and cause.__cause__ is not None
            mend = reach.mend(cause, f"{kind}.{machine.name}") if cause and refused else other
            return Check("MP3 host", where, False, str(unable), mend)
    return Check("MP3 host", where, True, "lame there has made an MP3")


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
