"""What must hold when everything is quiet again: the invariants of two hosts, as sentences where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator

from daemon.jobs import policy
from daemon.jobs.model import FINAL, Record
from tests.unit.simulator.site import Site
from tests.unit.simulator.stories import Story


def problems(site: Site, story: Story, faults: int) -> list[str]:
    """What is wrong, after `faults` things went wrong on purpose."""
    found = [f"a mistake was logged: {each}" for each in site.mistakes.found]
    records = site.records()
    if len(records) != 1 or records[0].state not in FINAL:
        return [*found, f"records: {[(r.request.request_id, r.state, r.owner) for r in records]}"]
    (record,) = records
    if record.state != story.state:
        found.append(f"it is {record.state}: {record.failure}, {record.note}")
    found += _answers(site, story, record, faults)
    found += _mailbox(site, story)
    found += _files(site, record)
    found += [f"{h.name} has left {h.left_work()} in work/" for h in site.hosts.values() if h.left_work()]
    found += story.effect(site, record)
    return found


def _answers(site: Site, story: Story, record: Record, faults: int) -> Iterator[str]:
    """One, or the same again where something went wrong; a place in the line at most once."""
    taken = site.mails.taken
    told = [answer for answer in taken if answer.kind != "queued"]
    names = [answer.message_id for answer in told]
    if set(names) != {f"<{record.request.request_id}.{story.kind}@example.com>"}:
        yield f"answers: {names}"
    if len({answer.data for answer in told}) != 1 or len(told) > 1 + faults:
        yield f"{len(told)} answers, {len({answer.data for answer in told})} different ones"
    places = [answer for answer in taken if answer.kind == "queued"]
    if len(places) > (story.confirmation == 0) or (len(places) == 0 and story.confirmation == 0 and not faults):
        yield f"its place in the line was told {len(places)} times"


def _mailbox(site: Site, story: Story) -> Iterator[str]:
    """The inbox is empty; the mail is in Done, at most as often as it came."""
    done = len(site.mails.ids("Done"))
    if site.mails.ids("INBOX") or not bool(story.mail) <= done <= story.copies * bool(story.mail):
        yield f"INBOX has {site.mails.ids('INBOX')}, Done has {site.mails.ids('Done')}"


def _files(site: Site, record: Record) -> Iterator[str]:
    """The owner has the file, once, in the right folder; others have it in superseded/ at most."""
    name = f"{record.request.request_id}.json"
    folder = policy.folder_of(record)
    for host in site.hosts.values():
        files = host.files()
        if host.name != record.owner or folder is None:
            if any(where != "superseded" or names != [name] for where, names in files.items()):
                yield f"{host.name}, which is not {record.owner}, has the files {files}"
        elif files != {folder: [name]}:
            yield f"{host.name} has the files {files}, not one in {folder}"
        elif json.loads((host.queue / folder / name).read_text())["status"] != folder:
            yield f"the file of {host.name} says another status"
