"""What must hold when all is quiet again: the invariants of two hosts, as sentences where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from daemon.jobs import policy
from daemon.jobs.model import FINAL, Record
from tests.unit.simulator.host import Host
from tests.unit.simulator.site import Site
from tests.unit.simulator.stories import Story


def problems(site: Site, stories: Sequence[Story], repeats: int) -> list[str]:
    """What is wrong; an answer may have gone out again `repeats` times."""
    found = [f"a mistake was logged: {each}" for each in site.mistakes.found]
    found += site.cluster.ensemble.wrong if site.cluster is not None else []
    records = site.records()
    pairs = [(story, [record for record in records if story.is_of(record)]) for story in stories]
    if len(records) != len(stories) or any(len(of) != 1 or of[0].state not in FINAL for _, of in pairs):
        return [*found, f"records: {[(r.request.request_id, r.state, r.owner) for r in records]}"]
    for story, (record,) in pairs:
        if record.state != story.state:
            found.append(f"{story.name} is {record.state}: {record.failure}, {record.note}")
        found += _answers(site, story, record, repeats)
        found += story.effect(site, record)
    found += _mailbox(site, stories)
    for host in site.hosts.values():
        found += _files(host, records)
        found += [f"{host.name} has left {host.left_work()} in work/"] if host.left_work() else []
    return found


def after_loss(site: Site, story: Story) -> list[str]:
    """What is wrong after ZooKeeper has lost its data: nothing is lost, and nothing is done twice.

    A record that was made again has no outcome; of a mail that was answered and is away there is none.
    """
    found = [f"a mistake was logged: {each}" for each in site.mistakes.found]
    records = site.records()
    if len(records) > 1 or any(record.state not in FINAL for record in records):
        found.append(f"records: {[(r.request.request_id, r.state, r.owner) for r in records]}")
    names = {answer.message_id for answer in site.mails.taken if answer.kind not in ("queued", "away")}
    if len(names) != 1 or not names.pop().endswith(f".{story.kind}@example.com>"):
        found.append(f"answers: {[answer.message_id for answer in site.mails.taken]}")
    found += _mailbox(site, [story])
    for record in records:
        found += [each for each in story.effect(site, record) if not each.startswith("the outcome")]
    for host in site.hosts.values():
        found += _files(host, records)
        found += [f"{host.name} has left {host.left_work()} in work/"] if host.left_work() else []
    return found


def _answers(site: Site, story: Story, record: Record, repeats: int) -> Iterator[str]:
    """One, or the same again where something went wrong; a place in the line at most once."""
    name = f"<{record.request.request_id}."
    taken = [answer for answer in site.mails.taken if answer.message_id.startswith(name)]
    told = [answer for answer in taken if answer.kind not in ("queued", "away")]
    names = [answer.message_id for answer in told]
    if set(names) != {f"{name}{story.kind}@example.com>"}:
        yield f"answers of {story.name}: {names}"
    if len({answer.data for answer in told}) != 1 or len(told) > 1 + repeats:
        yield f"{len(told)} answers, {len({answer.data for answer in told})} different ones"
    places = [answer for answer in taken if answer.kind == "queued"]
    if len(places) > 1:
        yield f"its place in the line was told {len(places)} times"
    if sum(answer.kind == "away" for answer in taken) > 1:
        yield "that it waits for the other node was told more than once"


def _mailbox(site: Site, stories: Sequence[Story]) -> Iterator[str]:
    """The inbox is empty; each mail is in Done, at most as often as it came."""
    done = site.mails.ids("Done")
    if site.mails.ids("INBOX"):
        yield f"INBOX has {site.mails.ids('INBOX')}"
    for story in stories:
        number = done.count(f"<{story.name}@mail.example.com>")
        if not bool(story.mail) <= number <= story.copies * bool(story.mail):
            yield f"Done has the mail of {story.name} {number} times"


def _files(host: Host, records: Sequence[Record]) -> Iterator[str]:
    """The owner has the file, once, in the right folder; others have it in superseded/ at most.

    What a killed courier left half written (.NAME.part) is no file yet, and goes at the next start.
    """
    there = {(f, name) for f, names in host.files().items() for name in names if not name.startswith(".")}
    for record in records:
        name, folder = f"{record.request.request_id}.json", policy.folder_of(record)
        mine = host.name == record.owner and folder is not None
        if mine and (folder, name) not in there:
            yield f"{host.name} has no {folder}/{name}: {sorted(there)}"
        elif mine:
            status = json.loads((host.queue / str(folder) / name).read_text())["status"]
            if status != folder:
                yield f"{folder}/{name} of {host.name} says {status}"
        there -= {(folder, name)} if mine else {("superseded", name)}
    if there:
        yield f"{host.name} has files too many: {sorted(there)}"
