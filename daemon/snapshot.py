"""The picture of the running daemon: what console, web, metrics and sd_notify show. Pure.

The root fills a `Snapshot` from the services' own words; everybody else only
reads it. `as_dict` is the JSON of the console's `status`: a contract with
programs that nobody here wrote, so keys are added, never renamed or removed.
What does not run is None there, never an empty object.

    services' status() --> Snapshot --> as_dict()  status, /api/status
                                    --> health()   health, /health
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

STANDBY_OLD_S = 900.0
"""Seconds for which a standby may keep what the master should have published by then."""

OUTBOX_OLD_S = 60.0
"""Seconds after which a message that still waits in an outbox is a problem."""

HUB_LAG_MS = 200.0
"""Milliseconds without the event loop running after which it is a problem."""


@dataclass(frozen=True, slots=True)
class AsteriskStatus:
    """One Asterisk. `last_event_s` is the age of its last event in seconds.

    `error` says why it is not connected. `backlog`: frames received and not
    yet applied. `gaps`: times that events may have been missed.
    """

    name: str
    connected: bool
    events: int
    active_calls: int
    url: str = ""
    version: str | None = None
    last_event_s: float | None = None
    backlog: int = 0
    gaps: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """One message server. `outbox` messages wait for it, the oldest for `oldest_s` seconds (0: none waits).

    `stuck`: those among them that the broker can't route or refuses.
    `standby`: the master publishes these; here they wait until it is known that it has, or fails.
    """

    name: str
    connected: bool
    outbox: int
    oldest_s: float
    backend: str = ""
    confirmed: int = 0
    stuck: int = 0
    error: str | None = None
    standby: bool = False


@dataclass(frozen=True, slots=True)
class MailStatus:
    """The mailbox. `last_check` is ISO 8601, None before the first."""

    reading: bool
    last_check: str | None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Requests in each folder of the queue."""

    pending: int
    processing: int
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One of the nodes, as it says of itself; `here`: it lives. `since` is ISO 8601."""

    name: str
    here: bool
    mode: str
    priority: int
    since: str | None = None


@dataclass(frozen=True, slots=True)
class HaStatus:
    """The election: `master` is the name of the node that holds the lease, None if nobody does.

    `reason` is the sentence of the last decision, `since` (ISO 8601) when it
    was made; `lease_left_s` counts while this node holds the lease.
    """

    backend: str
    connected: bool
    master: str | None
    mode: str = "auto"
    reason: str = ""
    since: str | None = None
    lease_left_s: float | None = None
    nodes: tuple[NodeStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One supervised service. `state` is the supervisor's word: starting, running, backoff, fatal, ..."""

    name: str
    state: str
    restarts: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class HubStatus:
    """How late the event loop ran over the last minute, in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now: which part, and one sentence about it."""

    part: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole daemon at one moment.

    `epoch` grows with every election. `uptime_s` in seconds. `lab`: nothing
    in here is real. `shadow`: it watches, but publishes and answers nothing.
    `log` is the path of the current log file. `notices` are sentences of the
    root about what this node can't reach (a definitions folder, ...), `advice`
    those about what is not wrong and could be better: not in `health`.
    """

    node: str
    role: str
    epoch: int
    version: str
    uptime_s: float
    asterisk: tuple[AsteriskStatus, ...] = ()
    brokers: tuple[BrokerStatus, ...] = ()
    mail: MailStatus | None = None
    queue: QueueStatus | None = None
    ha: HaStatus | None = None
    lab: bool = False
    shadow: bool = False
    services: tuple[ServiceStatus, ...] = ()
    hub: HubStatus | None = None
    log: str | None = None
    notices: tuple[Problem, ...] = ()
    advice: tuple[Problem, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON: objects, lists, strings, numbers, booleans, None."""
        plain: dict[str, object] = asdict(self)
        # json would write a tuple as a list too; a reader of the dict should see what JSON has.
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def health(snapshot: Snapshot) -> tuple[Problem, ...]:
    """What is wrong, in the order of the journey of an event; empty when all is well."""
    problems = [*_of_asterisk(snapshot), *_of_brokers(snapshot)]
    if snapshot.ha is not None and not snapshot.ha.connected:
        problems.append(Problem("ha", f"{snapshot.ha.backend} is not reachable: nobody can become master"))
    elif snapshot.ha is not None and snapshot.ha.backend != "file" and snapshot.ha.master is None:
        problems.append(Problem("ha", "nobody is master: calls are kept and mails wait until somebody is"))
    if snapshot.mail is not None and not snapshot.mail.reading and snapshot.role == "master":
        problems.append(Problem("mail", "the mailbox is not being read"))
    problems += [
        Problem(f"service {service.name}", _because(f"is in state {service.state}", service.error))
        for service in snapshot.services
        if service.state in ("backoff", "fatal")
    ]
    if snapshot.hub is not None and snapshot.hub.p99_ms > HUB_LAG_MS:
        problems.append(Problem("hub", f"the event loop runs up to {snapshot.hub.p99_ms:.0f} ms late (p99)"))
    return (*problems, *snapshot.notices)


def _of_asterisk(snapshot: Snapshot) -> list[Problem]:
    return [
        Problem(f"asterisk {asterisk.name}", _because("is not connected", asterisk.error))
        for asterisk in snapshot.asterisk
        if not asterisk.connected
    ]


def _of_brokers(snapshot: Snapshot) -> list[Problem]:
    problems = []
    for broker in snapshot.brokers:
        part = f"broker {broker.name}"
        if broker.standby:
            if broker.outbox and broker.oldest_s > STANDBY_OLD_S:
                what = f"{broker.outbox} messages wait here, the oldest for {broker.oldest_s:.0f} s"
                problems.append(Problem(part, f"{what}: it is not known what the master has published"))
            continue
        if not broker.connected:
            problems.append(Problem(part, _because("is not connected", broker.error)))
        elif broker.error is not None:
            problems.append(Problem(part, broker.error))
        if broker.outbox and broker.oldest_s > OUTBOX_OLD_S and snapshot.role == "master":
            problems.append(
                Problem(part, f"{broker.outbox} messages wait, the oldest for {broker.oldest_s:.0f} s")
            )
        if broker.stuck:
            problems.append(Problem(part, f"{broker.stuck} messages can't be routed or are refused"))
    return problems


def _because(what: str, error: str | None) -> str:
    return f"{what}: {error}" if error else what
