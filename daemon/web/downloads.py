"""`/r/TOKEN`: a published recording or ZIP, whole or in part. Part of the service; no gevent, no socket.

GET and HEAD change nothing and may be repeated: mail scanners open links.
Every access is a line of the audit log, which never has a token.
"""

from __future__ import annotations

import errno
import html
import logging
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, Final

from daemon.errors import TransientError
from daemon.recordings import links
from daemon.recordings.bundle import Member, member
from daemon.recordings.names import shown
from daemon.recordings.published import Shelf
from daemon.web.routing import Request, Response, Route

audit = logging.getLogger("arimonitor.audit")

PATH: Final = "/r/"
PIECE: Final = 128 * 1024
"""Bytes of one read; a client has the server's whole deadline for each."""

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{0,15})|-([0-9]{1,15}))")
_HTML: Final = "text/html; charset=utf-8"
_PLAYED: Final = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_PAGES: Final = {
    404: ("Link inválido", "Este link não existe. Copie-o inteiro do e-mail.",
          "There is no such link. Copy all of it from the mail."),
    410: ("Link expirado", "Este link expirou. Peça as gravações novamente por e-mail.",
          "This link has expired. Ask for the recordings again by mail."),
    503: ("Indisponível", "O arquivo não pode ser lido agora. Tente novamente em alguns minutos.",
          "The file can't be read now. Try again in some minutes."),
}  # fmt: skip


class Downloads:
    """The handler. `key` gives what signs the links; `offload(function, *data)` reads the disk."""

    def __init__(
        self,
        shelf: Shelf,
        key: Callable[[], bytes],
        offload: Callable[..., Any],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shelf = shelf
        self._key = key
        self._offload = offload
        self._clock = clock

    def route(self) -> Route:
        """For the application's table."""
        return Route(PATH, "a published recording", self.answer, below=True)

    def answer(self, request: Request) -> Response:
        """200, 206; 404, 410, 416, 503."""
        link = links.read(self._key(), request.path[len(PATH) :])
        if link is None:
            return self._refused(404, request, None)
        if self._clock() > link.expires:
            return self._refused(410, request, link)
        try:
            found: tuple[int, Member] | None = self._offload(
                _opened, str(self._shelf.path(link.publication)), link.entry, link.publication
            )
        except (OSError, zipfile.BadZipFile, TransientError) as error:
            # On its way from the node that made it, perhaps: that link has not expired.
            gone = isinstance(error, FileNotFoundError) and not self._shelf.peers
            return self._refused(410 if gone else 503, request, link)
        if found is None:
            return self._refused(404, request, link)
        return self._given(request, link, *found)

    def _given(self, request: Request, link: links.Link, descriptor: int, part: Member) -> Response:
        tag = f'"{link.publication[:12]}-{link.entry}-{part.bytes}"'
        wanted = request.headers.get("range", "")
        if request.headers.get("if-range", tag) != tag:
            wanted = ""
        span = _span(wanted, part.bytes)
        headers = [("Accept-Ranges", "bytes"), ("ETag", tag)]
        if span is None:
            os.close(descriptor)
            self._say(416, request, link, "")
            return Response(416, b"", headers=(*headers, ("Content-Range", f"bytes */{part.bytes}")))
        first, last = span
        status = 206 if wanted and _RANGE.fullmatch(wanted) else 200
        if status == 206:
            headers.append(("Content-Range", f"bytes {first}-{last}/{part.bytes}"))
        kind = "inline" if link.entry else "attachment"
        headers += [
            ("Content-Disposition", f'{kind}; filename="{part.name}"'),
            ("Content-Security-Policy", _PLAYED),
            ("X-Robots-Tag", "noindex"),
        ]
        self._say(status, request, link, f" bytes={first}-{last} of={part.bytes}")
        pieces = _Pieces(self._offload, descriptor, part.offset + first, last - first + 1)
        kind = "audio/mpeg" if link.entry else "application/zip"
        return Response(status, b"", kind, tuple(headers), pieces, last - first + 1)

    def _refused(self, status: int, request: Request, link: links.Link | None) -> Response:
        self._say(status, request, link, "")
        title, *texts = _PAGES[status]
        body = "".join(f"<p>{html.escape(text)}</p>" for text in texts)
        page = (
            f'<!doctype html><html lang="pt-BR"><meta charset="utf-8"><title>{title}</title>{body}</html>\n'
        )
        return Response(status, page.encode(), _HTML)

    def _say(self, status: int, request: Request, link: links.Link | None, what: str) -> None:
        which = f"publication={link.publication[:8]} entry={link.entry}" if link else "publication=none"
        audit.info(
            "a link was opened: %s method=%s status=%d%s from=%s forwarded=%s",
            which, request.method, status, what, request.client,
            shown(request.headers.get("x-forwarded-for", "-"), 100).replace(" ", ""),
        )  # fmt: skip


class _Pieces:
    """Reads a part of a file piece by piece, off the hub."""

    def __init__(self, offload: Callable[..., Any], descriptor: int, offset: int, length: int) -> None:
        self._offload = offload
        self._descriptor = descriptor
        self._offset = offset
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0:
            data: bytes = self._offload(os.pread, self._descriptor, min(PIECE, self._left), self._offset)
            if not data:
                raise OSError(errno.EIO, "the published file is shorter than it was")
            self._offset += len(data)
            self._left -= len(data)
            yield data

    def close(self) -> None:
        """Twice is no mistake."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def _opened(path: str, entry: int, publication: str) -> tuple[int, Member] | None:
    """An open descriptor and what of it is meant. For a native thread."""
    found = member(path, entry) if entry else None
    if entry and found is None:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if found is None:
        found = Member(f"gravacoes-{publication[:6]}.zip", 0, os.fstat(descriptor).st_size)
    return descriptor, found


def _span(text: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header; all where none is understood; None: can't be had."""
    found = _RANGE.fullmatch(text)
    if found is None:
        return 0, size - 1
    first, last, end = found.groups()
    if end is not None:
        return (max(0, size - int(end)), size - 1) if int(end) else None
    if int(first) >= size or (last and int(last) < int(first)):
        return None
    return int(first), min(int(last or size - 1), size - 1)
