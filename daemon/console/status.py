"""The snapshot as text for people: the greeting and `status`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.console.render import age, count, duration, plain, table
from daemon.snapshot import AsteriskStatus, BrokerStatus, HaStatus, NodeStatus, Snapshot, health
from ha.lease import spelled

LAB_LINE = "*** LAB: recorded calls on embedded parts; nothing here is real ***"


def banner(snapshot: Snapshot) -> str:
    """What a session begins with."""
    line = f"ARIMONITOR {snapshot.version} on {snapshot.node} ({snapshot.role}); help lists the commands."
    return f"{line}\n{LAB_LINE}" if snapshot.lab else line


def status_text(now: Snapshot) -> str:
    """The whole picture for people."""
    head = [
        ("Node", f"{now.node}, {now.role}, epoch {spelled(now.epoch)}" + (", SHADOW" if now.shadow else "")),
        ("Version", now.version),
        ("Up", duration(now.uptime_s)),
    ]
    if now.ha is not None:
        connected = "connected" if now.ha.connected else "NOT CONNECTED"
        head.append(("Failover", f"{now.ha.backend}, {connected}, master: {master_of(now.ha)}"))
        nodes = ", ".join(map(_node, now.ha.nodes)) + ("" if now.ha.connected else " (as last seen)")
        if now.ha.nodes:
            head.append(("Nodes", nodes))
        if now.ha.reason:
            since = f" (since {_moment(now.ha.since)})" if now.ha.since else ""
            head.append(("Decision", f"{now.ha.reason}{since}"))
    if now.mail is not None:
        reading = "reading" if now.mail.reading else "not reading"
        head.append(("Mail", f"{reading}, last check {_moment(now.mail.last_check)}"))
    elif now.queue is not None and now.ha is not None and now.role != "master":
        head.append(("Mail", f"read by {now.ha.master}" if now.ha.master else "not read: nobody is master"))
    if now.queue is not None:
        queue = now.queue
        numbers = f"{queue.pending} pending, {queue.processing} processing"
        head.append(("Queue", f"{numbers}, {queue.completed} completed, {queue.failed} failed"))
    if now.hub is not None:
        lag = f"p50 {now.hub.p50_ms:.1f} ms, p99 {now.hub.p99_ms:.1f} ms, worst {now.hub.max_ms:.1f} ms"
        head.append(("Hub lag", f"{lag} (last minute)"))
    head.append(("Log", plain(now.log)))
    parts = [LAB_LINE] if now.lab else []
    parts += [table(head), _asterisk_text(now.asterisk), _brokers_text(now)]
    if now.services:
        sick = [service for service in now.services if service.state != "running"]
        rows = [(one.name, one.state, f"{one.restarts} restarts", one.error or "") for one in sick]
        total = len(now.services)
        lines = [f"Services: {total - len(sick)} of {total} running.", table(rows, indent="  ")]
        parts.append("\n".join(filter(None, lines)))
    wrong = [f"WRONG: {problem.part} {problem.message}" for problem in health(now)]
    notes = [f"NOTE: {each.part} {each.message}" for each in now.advice]
    parts.append("\n".join([*(wrong or ["All is well."]), *notes]))
    return "\n\n".join(parts)


def master_of(ha: HaStatus) -> str:
    """Whom this node takes for the master."""
    return ha.master or ("NOBODY" if ha.connected else "not known")


def _node(node: NodeStatus) -> str:
    if node.here:
        return f"{node.name} here"
    return f"{node.name} AWAY since {_moment(node.since)}" if node.since else f"{node.name} AWAY"


def _moment(iso: str | None) -> str:
    """ISO 8601 to the second, without the zone: that of the node's configuration."""
    return iso[:19].replace("T", " ") if iso else "-"


def _asterisk_text(asterisks: Sequence[AsteriskStatus]) -> str:
    if not asterisks:
        return "No Asterisk is configured."
    rows = [("ASTERISK", "STATE", "EVENTS", "CALLS", "LAST EVENT", "NOTE")]
    for one in asterisks:
        state = "connected" if one.connected else "AWAY"
        calls = count(one.active_calls)
        rows.append((one.name, state, count(one.events), calls, age(one.last_event_s), one.error or ""))
    return table(rows, right=(2, 3, 4))


def _brokers_text(now: Snapshot) -> str:
    brokers = now.brokers
    if not brokers:
        return "No broker is configured."
    rows = [("BROKER", "STATE", "OUTBOX", "OLDEST", "CONFIRMED", "NOTE")]
    for one in brokers:
        state = "standby" if one.standby else "connected" if one.connected else "AWAY"
        oldest = age(one.oldest_s) if one.outbox else "-"
        rows.append((one.name, state, count(one.outbox), oldest, count(one.confirmed), _note(one, now.ha)))
    return table(rows, right=(2, 3, 4))


def _note(broker: BrokerStatus, ha: HaStatus | None) -> str:
    if broker.error or not broker.standby:
        return broker.error or ""
    return f"{ha.master} publishes" if ha is not None and ha.master else "nobody publishes: it is kept here"
