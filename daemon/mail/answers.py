"""Every mail that is sent: who gets it, what it says, its bytes.

Pure but for the templates, which are read once: `now` is an argument and the
same input gives the same bytes. Results and failures go to the admin with the
requester in copy, one mail; refusals, help and confirmations to the requester
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

from daemon.jobs.model import (
    ExtensionMoved,
    IpChecked,
    NothingFound,
    Outcome,
    Record,
    RecordingsSent,
    Request,
)
from daemon.mail import page_outcomes, pages, templates
from daemon.mail.envelope import People, Thread, compose
from daemon.mail.model import Answer, Kind
from daemon.mail.page import Page
from daemon.mail.page_outcomes import Say

__all__ = ["People", "Say", "alert", "away", "failed", "help", "queued", "refused", "result"]

MOST_HTML: Final = 96_000
"""Bytes of HTML: Gmail cuts a mail at 102 kB and hides the rest behind a link."""
FEWEST: Final = 20
"""Recordings that are listed however long their links are."""


def queued(record: Record, place: int, people: People, now: datetime) -> Answer:
    """A confirmation: `place` in the queue, 1 is the next, 0: it is being worked on."""
    return _reply("queued", record.request, pages.queued(record.request, place), people, now)


def away(record: Record, people: People, now: datetime) -> Answer:
    """A confirmation: it waits until the machine with the recordings is back."""
    return _reply("away", record.request, pages.away(record.request), people, now)


def result(record: Record, people: People, now: datetime, zone: tzinfo, say: Say) -> Answer:
    """What the work found or did. ValueError: the record has no outcome."""
    if record.outcome is None:
        raise ValueError(f"request {record.request.request_id} has no outcome to tell")
    page = _fitting(record.request, record.outcome, zone, say)
    return _reply("result", record.request, page, people, now, admin=True)


def refused(record: Record, sentence: str, forms: Sequence[str], people: People, now: datetime) -> Answer:
    """The mistake in the subject; `sentence` names it, `forms` would have been right."""
    return _reply("refused", record.request, pages.refused(record.request, sentence, forms), people, now)


def failed(record: Record, sentence: str, people: People, now: datetime) -> Answer:
    """It could not be done; `sentence` says why."""
    return _reply("failed", record.request, pages.failed(record.request, sentence), people, now, admin=True)


def help(
    record: Record, commands: Sequence[str], max_extensions: int, max_days: int, people: People, now: datetime
) -> Answer:
    """How to ask, for somebody who may ask for `commands`."""
    page = pages.helping(record.request, commands, max_extensions, max_days)
    return _reply("help", record.request, page, people, now)


def alert(
    identity: str,
    language: str,
    title: str,
    facts: Sequence[tuple[str, str]],
    people: People,
    now: datetime,
    mend: str = "",
) -> Answer:
    """To the admin: something happened. `identity` is unique for it ("gap-voip3-20251027_1100").

    ValueError: there is no admin.
    """
    if not people.admin:
        raise ValueError("an alert needs mail.admin")
    page = pages.alert(language, title, facts, mend)
    return compose(
        "alert",
        identity,
        people,
        to=(people.admin,),
        subject=f"ARIMONITOR: {title}",
        plain=templates.text(page),
        html=templates.html(page),
        language=language,
        now=now,
    )


def _reply(
    kind: Kind, request: Request, page: Page, people: People, now: datetime, *, admin: bool = False
) -> Answer:
    requester = request.from_email
    to: tuple[str, ...] = (requester,)
    copy: tuple[str, ...] = ()
    if admin and people.admin and people.admin.casefold() != requester.casefold():
        to, copy = (people.admin,), (requester,)
    return compose(
        kind,
        request.request_id,
        people,
        to=to,
        copy=copy,
        thread=Thread(request.subject, request.message_id, request.references),
        plain=templates.text(page),
        html=templates.html(page),
        language=request.language,
        now=now,
    )


def _fitting(request: Request, outcome: Outcome, zone: tzinfo, say: Say) -> Page:
    """The page of an outcome, with as many recordings as a mail may hold."""
    match outcome:
        case NothingFound():
            return page_outcomes.nothing(request, outcome, say)
        case IpChecked():
            return page_outcomes.ip_checked(request, outcome, zone)
        case ExtensionMoved():
            return page_outcomes.moved(request, outcome)
        case RecordingsSent():
            shown = len(outcome.rows)
            while True:
                page = page_outcomes.recordings(request, outcome, shown, zone, say)
                weight = len(templates.html(page).encode())
                if weight <= MOST_HTML or shown <= FEWEST:
                    return page
                shown = max(FEWEST, min(shown - 1, shown * MOST_HTML // weight))
