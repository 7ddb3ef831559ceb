"""What carries out each command, and how far a sender may see. Root."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from daemon.directory.model import Directory
from daemon.jobs.book import Book
from daemon.jobs.checkip import CheckIp
from daemon.jobs.macchange import MacChange
from daemon.jobs.model import Command, Outcome, Request
from daemon.jobs.policy import Limits
from daemon.jobs.runner import Work
from daemon.mail.extensions import not_allowed
from daemon.mail.policy import Policy
from daemon.recordings.desk import Recordings
from daemon.settings import Settings


def works(settings: Callable[[], Settings], recordings: Recordings, book: Book) -> dict[Command, Work]:
    """What carries out each command. The book has what another node found or began before this one."""

    def ramais(request: Request, folder: Path) -> Outcome:
        recordings.settings = settings()  # what may change while running
        return recordings.send(request, folder)

    checkip = CheckIp(settings, remember=book.remember, remembered=book.remembered)
    return {"RAMAIS": ramais, "CHECKIP": checkip, "MACCHANGE": macchange(settings, book)}


def macchange(settings: Callable[[], Settings], book: Book) -> MacChange:
    """The work of MACCHANGE, which also undoes what was given up."""
    return MacChange(settings, begun_by=book.begun_by)


def serves(settings: Settings) -> tuple[str, ...]:
    """The kinds of recordings that this node can give."""
    recordings = settings.recordings
    found = (("audio", bool(recordings.roots)), ("s3", bool(recordings.s3.bucket)))
    return tuple(kind for kind, has in found if has)


def limits_of(settings: Settings) -> Limits:
    """Tries and times in force."""
    return Limits(
        max_tries=settings.queue.max_tries,
        processing_timeout=settings.queue.processing_timeout * 60.0,
        confirmation=float(settings.mail.confirmation),
    )


def colleagues(directories: Iterable[Directory], request: Request, policy: Policy) -> list[str]:
    """The other extensions of the client asked about, as far as the sender may ask for them.

    Nobody's where the extensions are of several clients; an extension that has
    another client on another Asterisk is nobody's colleague.
    """
    clients: dict[str, set[str]] = {}
    for directory in directories:
        for entry in directory.endpoints.values():
            clients.setdefault(entry.name, set()).add(entry.client)
    asked = request.parameters["ramais"].split(",")
    theirs = set().union(*(clients.get(extension, set()) for extension in asked)) - {""}
    if len(theirs) != 1:
        return []
    found = [name for name, owners in clients.items() if owners == theirs and name not in asked]
    refused = set(not_allowed(found, policy.rights_of(request.from_email).extensions))
    return [name for name in found if name not in refused]
