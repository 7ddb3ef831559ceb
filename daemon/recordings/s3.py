"""Recordings in a bucket: Amazon's, Ceph's or another's. The one file with boto3. Adapter.

Searched by folders ("/" in keys) whose dates may hold what is asked for, page
by page; small pages, since reading a page of XML holds the hub. It runs in
greenlets: a native thread must not use a socket here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.errors import PermanentError, TransientError
from daemon.recordings import names
from daemon.recordings.model import Found, LeftOut, Near, Recording
from daemon.recordings.store import one_of_each, ranked

if TYPE_CHECKING:
    from daemon.settings import S3Settings

PATIENCE: Final = 120.0
"""Seconds that a search may take in all."""
_PAGE: Final = 150
_AT_ONCE: Final = 8
_CHUNK: Final = 1 << 18
_TRIES: Final = 3  # of a request, and of a body that is cut
_NEAR_DAYS: Final = 7
_NEAR_PATIENCE: Final = 20.0
_LONGEST_LINK: Final = 7 * 24 * 3600  # of a presigned URL, by Signature Version 4
_REFUSED: Final = {
    "SignatureDoesNotMatch": "the signature is refused: correct recordings.s3.secret_access_key",
    "InvalidAccessKeyId": "the key is unknown: correct recordings.s3.access_key_id",
    "AccessDenied": "access is denied: let this key list and read the bucket",
    "Forbidden": "access is denied: let this key list and read the bucket",
    "403": "access is denied: let this key list and read the bucket",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "ExpiredToken": "the credentials have expired",
    "NoSuchBucket": "there is no such bucket: correct recordings.s3.bucket",
    "PermanentRedirect": "the bucket is in another region: correct recordings.s3.region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: correct recordings.s3.region",
}


class S3Store:
    """One bucket. Building its client holds the hub for 0.2 s once: `open` does it, else the first use."""

    source = "s3"

    def __init__(
        self,
        settings: S3Settings,
        timezone: tzinfo,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 20.0,
        patience: float = PATIENCE,
    ) -> None:
        self._settings = settings
        self._prefix = settings.prefix.strip("/") + "/" if settings.prefix.strip("/") else ""
        self.published = f"{self._prefix}published/"
        self._timezone = timezone
        self._timeouts = (connect_timeout, read_timeout)
        self._patience = patience
        self._client: Any = None

    # -- Store -------------------------------------------------------------
    def find(self, extensions: Sequence[str], begin: datetime, end: datetime) -> Found:
        """TransientError: it is down, slow, or too large for the time. PermanentError: it refuses us."""
        low, high = self._walls(begin, end)
        found = self._search(frozenset(extensions), low, high, self._patience)
        return Found(one_of_each(found))

    def near(
        self, extensions: Sequence[str], begin: datetime, end: datetime, colleagues: Sequence[str]
    ) -> Near:
        """Some days before and after, and the colleagues in the same time."""
        margin = _NEAR_DAYS * names.DAY
        low, high = self._walls(begin, end)
        wanted = frozenset(extensions) | frozenset(colleagues)
        days: dict[date, int] = {}
        counts: dict[str, int] = {}
        for each in self._search(wanted, low - margin, high + margin, _NEAR_PATIENCE):
            parties = {each.origin, each.destiny}
            wall = names.wall_of(each.started, self._timezone)
            if parties & set(extensions):
                days[each.started.date()] = days.get(each.started.date(), 0) + 1
            elif low <= wall <= high:
                for party in parties & set(colleagues):
                    counts[party] = counts.get(party, 0) + 1
        return ranked(days, counts, names.wall_day(low), names.wall_day(high))

    def fetch(self, recordings: Sequence[Recording], folder: Path) -> list[Path | LeftOut]:
        """Downloads each into `folder`, several at once."""
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(each, folder / f"{number:05d}.{each.format}") for number, each in enumerate(recordings)]
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="s3") as pool:
            return list(pool.map(lambda job: self._download(*job), jobs))

    # -- publishing ----------------------------------------------------------
    def upload(self, path: Path, key: str, content_type: str) -> None:
        """Put a file into the bucket, whole or not at all."""
        with self._translated():
            self._s3().upload_file(
                str(path),
                self._settings.bucket,
                key,
                ExtraArgs={"ContentType": content_type},
                Config=_transfer(),
            )

    def link(self, key: str, name: str, seconds: float, *, inline: bool) -> str:
        """A presigned URL of an object, good for `seconds`."""
        kind = "inline" if inline else "attachment"
        with self._translated():
            url: str = self._s3().generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._settings.bucket,
                    "Key": key,
                    "ResponseContentDisposition": f'{kind}; filename="{name}"',
                },
                ExpiresIn=max(1, min(int(seconds), _LONGEST_LINK)),
            )
            return url

    def delete(self, prefix: str) -> int:
        """Remove what was published under a prefix."""
        if not prefix.startswith(self.published):
            raise ValueError("only what was published is deleted")
        removed = 0
        with self._translated():
            client = self._s3()
            answer = client.list_objects_v2(Bucket=self._settings.bucket, Prefix=prefix, MaxKeys=1000)
            for each in answer.get("Contents", ()):
                client.delete_object(Bucket=self._settings.bucket, Key=each["Key"])
                removed += 1
        return removed

    def open(self) -> None:
        """Build the client, before anybody waits for it. Raises TransientError, PermanentError."""
        with self._translated():
            self._s3()

    def check(self) -> None:
        """One page of the bucket. Raises TransientError or PermanentError."""
        with self._translated():
            self._s3().list_objects_v2(Bucket=self._settings.bucket, Prefix=self._prefix, MaxKeys=1)

    # -- inside ---------------------------------------------------------------
    def _search(self, wanted: frozenset[str], low: int, high: int, patience: float) -> list[Recording]:
        deadline = time.monotonic() + patience
        found: list[Recording] = []
        waiting = [self._prefix]
        with self._translated(), ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="s3") as pool:
            while waiting:
                answers = list(
                    pool.map(lambda prefix: self._list(prefix, wanted, low, high, deadline), waiting)
                )
                waiting = [below for _, folders in answers for below in folders]
                found += [each for recordings, _ in answers for each in recordings]
        return found

    def _list(
        self, prefix: str, wanted: frozenset[str], low: int, high: int, deadline: float
    ) -> tuple[list[Recording], list[str]]:
        pages = (
            self._s3()
            .get_paginator("list_objects_v2")
            .paginate(
                Bucket=self._settings.bucket,
                Prefix=prefix,
                Delimiter="/",
                PaginationConfig={"PageSize": _PAGE},
            )
        )
        found: list[Recording] = []
        folders: list[str] = []
        for page in pages:
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the bucket {self._settings.bucket} could not be searched within {self._patience:g} s"
                )
            for each in page.get("CommonPrefixes", ()):
                below = each["Prefix"]
                parts = below[len(self._prefix) :].strip("/").split("/")
                if below != self.published and names.may_hold(parts, low, high):
                    folders.append(below)
            found += [
                recording
                for each in page.get("Contents", ())
                if (recording := self._recording(each, wanted, low, high)) is not None
            ]
        return found, folders

    def _recording(self, each: Any, wanted: frozenset[str], low: int, high: int) -> Recording | None:
        key = each["Key"]
        read = names.parse(key.rpartition("/")[2])
        if read is None or not low <= read.wall <= high or not wanted & {read.origin, read.destiny}:
            return None
        started = names.moment_of(read.wall, self._timezone)
        return Recording(
            self.source, 0, key, read.origin, read.destiny, started, read.format, int(each["Size"])
        )

    def _download(self, recording: Recording, target: Path) -> Path | LeftOut:
        name = names.file_of(recording.key)
        from botocore.exceptions import ClientError

        try:
            with self._translated_but(ClientError):
                self._fetched_whole(recording.key, target)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return LeftOut(name, "gone")
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) < 500:
                return LeftOut(name, "unreadable")
            raise TransientError(
                f"the bucket {self._settings.bucket} could not give {name}: {_code(error)}"
            ) from error
        return target

    def _fetched_whole(self, key: str, target: Path) -> None:
        """boto3 makes a request again, but not a body that was cut in the middle."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError
        from urllib3.exceptions import HTTPError

        for rest in reversed(range(_TRIES)):
            body = self._s3().get_object(Bucket=self._settings.bucket, Key=key)["Body"]
            try:
                with target.open("wb") as file:
                    for chunk in body.iter_chunks(_CHUNK):
                        file.write(chunk)
                return
            except (IncompleteReadError, HTTPClientError, HTTPError):
                if not rest:
                    raise
            finally:
                body.close()

    def _s3(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            chosen = self._settings
            secret = chosen.secret_access_key
            connect, read = self._timeouts
            self._client = boto3.session.Session().client(
                "s3",
                region_name=chosen.region or None,
                endpoint_url=chosen.endpoint_url or None,
                aws_access_key_id=chosen.access_key_id or None,
                aws_secret_access_key=secret.get_secret_value() if secret is not None else None,
                config=Config(
                    signature_version="s3v4",
                    connect_timeout=connect,
                    read_timeout=read,
                    retries={"total_max_attempts": _TRIES, "mode": "standard"},
                    max_pool_connections=_AT_ONCE,
                    response_checksum_validation="when_required",
                    request_checksum_calculation="when_required",
                    s3={"addressing_style": "path"} if chosen.endpoint_url else None,
                ),
            )
        return self._client

    def _walls(self, begin: datetime, end: datetime) -> tuple[int, int]:
        return names.wall_of(begin, self._timezone), names.wall_of(end, self._timezone)

    @contextmanager
    def _translated_but(self, kept: type[Exception]) -> Iterator[None]:
        error: Exception | None = None
        with self._translated():
            try:
                yield
            except kept as raised:
                error = raised
        if error is not None:
            raise error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from urllib3.exceptions import HTTPError

        place = f"S3 bucket {self._settings.bucket}"
        if self._settings.endpoint_url:
            place += f" at {self._settings.endpoint_url}"
        try:
            yield
        except ClientError as error:
            mend = _REFUSED.get(_code(error))
            if mend is not None:
                raise PermanentError(f"{place}: {mend}") from error
            raise TransientError(f"{place} answered {_code(error)}") from error
        except NoCredentialsError as error:
            raise PermanentError(
                f"{place}: no credentials: set recordings.s3.access_key_id and its secret"
            ) from error
        except (BotoCoreError, HTTPError, S3UploadFailedError) as error:
            raise TransientError(f"{place} does not answer as it should: {type(error).__name__}") from error


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(use_threads=False)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "nothing that is understood"))
