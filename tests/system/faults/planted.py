"""Bugs planted into copies of the product: the runs that must find them, and by which invariant."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.faults import trees
from tests.system.faults.cluster import Kind
from tests.system.faults.series import Job, Series, named
from tests.system.faults.trees import Change


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: what is changed, the scenario, and the invariants of which one must be violated."""

    name: str
    what: str
    changes: tuple[Change, ...]
    scenario: str
    found_by: tuple[str, ...]


# The lease counts for ever, whatever ZooKeeper says of it.
_FOREVER = (
    Change(
        "ha/lease.py",
        "return lease is not None and not self._suspended and self._clock() < lease.valid_until",
        "return lease is not None",
    ),
    Change(
        "ha/election.py",
        'return at.lost("the lease was not renewed in time") if at.now >= at.facts.lease_until else None',
        "return None",
    ),
    Change(
        "ha/election.py",
        "def _taken(at: Moment) -> Step | None:\n",
        "def _taken(at: Moment) -> Step | None:\n    return None\n",
    ),
)
_NO_CHECK = Change(
    "ha/claims.py", "return [] if epoch is None else [Check(EPOCH, version_of(epoch))]", "return []"
)

PLANTS: Sequence[Plant] = (
    Plant(
        "dropped-fence",
        "a frozen master that wakes goes on as master, and its writes are not fenced",
        (*_FOREVER, _NO_CHECK),
        "frozen-short",
        ("I1", "I2"),
    ),
    Plant(
        "lease-without-end",
        "a master that reaches no ZooKeeper goes on publishing",
        _FOREVER,
        "cut-from-zookeeper-short",
        ("I1", "I8"),
    ),
    Plant(
        "skipped-watermark",
        "a standby that takes over believes that all it has was published",
        (
            Change(
                "daemon/standby/succession.py",
                "        self.writer.begin(head, epoch)\n",
                "        waiting = self._outbox.pending('', limit=100_000)\n"
                "        self._outbox.drop([bytes.fromhex(e.message.id.replace('-', '')) for e in waiting])\n"
                "        self.writer.begin(head, epoch)\n",
            ),
        ),
        "killed-short",
        ("I6",),
    ),
    Plant(
        "move-as-a-claim",
        "both nodes read the mailbox, and a mail is whose MOVE the server took",
        (
            Change("daemon/roles.py", '    "mail": "master",\n', '    "mail": "any",\n'),
            Change(
                "daemon/mail/monitor.py",
                "if not self._book.mastership.valid():\n                        ",
                "if False:\n                        ",
            ),
            Change(
                "daemon/jobs/book.py",
                "        if not self.mastership.valid():\n            raise Deposed",
                "        if False:\n            raise Deposed",
            ),
        ),
        "nothing-happens",
        ("I2", "I7"),
    ),
    Plant(
        "doubled-reply",
        "an answer that is sent again has another Message-ID",
        (
            Change(
                "daemon/mail/envelope.py",
                "identity)[:200]}.{kind}@{people.domain}>",
                "identity)[:200]}.{__import__('os').getpid()}.{kind}@{people.domain}>",
            ),
        ),
        "crashed-at-sent",
        ("I5",),
    ),
    Plant(
        "two-final-files",
        "what a request publishes has a name of the process that did it",
        (
            Change(
                "daemon/recordings/links.py",
                'key, b"publication\\0" + request_id.encode("utf-8", "replace"), hashlib.sha256',
                "key, f\"{request_id}{__import__('os').getpid()}\".encode(), hashlib.sha256",
            ),
        ),
        "crashed-at-worked",
        ("I4",),
    ),
)


def run(names: Sequence[str], out: Path, say: Callable[[str], None]) -> int:
    """0: every one of them was found."""
    missed = 0
    for plant in PLANTS:
        if names and plant.name not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="arimonitor-planted-") as folder:
            tree = trees.copy(Path(folder) / "tree", *plant.changes)
            say(f"planted: {plant.what}")
            with Series(out / plant.name, say, Kind(tree=tree)) as series:
                done = series.run(Job(named(plant.scenario), 1)) or series.results()[0]
        found = any(each.startswith(plant.found_by) for each in done.violations)
        say(f"{plant.name}: {'found' if found else 'NOT FOUND'}")
        missed += not found
    return 1 if missed else 0
