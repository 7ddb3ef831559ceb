"""The snapshot as text for people: the greeting and `status`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.console.render import age, count, duration, plain, table
from daemon.snapshot import AsteriskStatus, BrokerStatus, Snapshot, health

LAB_LINE = "*** LAB: recorded calls on embedded parts; nothing here is real ***"


def banner(snapshot: Snapshot) -> str:
    """What a session begins with."""
    line = f"ARIMONITOR {snapshot.version} on {snapshot.node} ({snapshot.role}); help lists the commands."
    return f"{line}\n{LAB_LINE}" if snapshot.lab else line


def status_text(now: Snapshot) -> str:
    """The whole picture for people."""
    head = [
        ("Node", f"{now.node}, {now.role}, epoch {now.epoch}" + (", SHADOW" if now.shadow else "")),
        ("Version", now.version),
        ("Up", duration(now.uptime_s)),
    ]
    if now.ha is not None:
        connected = "connected" if now.ha.connected else "NOT CONNECTED"
        head.append(("Failover", f"{now.ha.backend}, {connected}, master: {plain(now.ha.master)}"))
        nodes = ", ".join(f"{node.name} {'here' if node.here else 'AWAY'}" for node in now.ha.nodes)
        if nodes:
            head.append(("Nodes", nodes))
        if now.ha.reason:
            head.append(("Decision", now.ha.reason))
    if now.mail is not None:
        reading = "reading" if now.mail.reading else "not reading"
        head.append(("Mail", f"{reading}, last check {plain(now.mail.last_check)}"))
    if now.queue is not None:
        queue = now.queue
        numbers = f"{queue.pending} pending, {queue.processing} processing"
        head.append(("Queue", f"{numbers}, {queue.completed} completed, {queue.failed} failed"))
    if now.hub is not None:
        lag = f"p50 {now.hub.p50_ms:.1f} ms, p99 {now.hub.p99_ms:.1f} ms, worst {now.hub.max_ms:.1f} ms"
        head.append(("Hub lag", f"{lag} (last minute)"))
    head.append(("Log", plain(now.log)))
    parts = [LAB_LINE] if now.lab else []
    parts += [table(head), _asterisk_text(now.asterisk), _brokers_text(now.brokers)]
    if now.services:
        sick = [service for service in now.services if service.state != "running"]
        rows = [(one.name, one.state, f"{one.restarts} restarts", one.error or "") for one in sick]
        total = len(now.services)
        lines = [f"Services: {total - len(sick)} of {total} running.", table(rows, indent="  ")]
        parts.append("\n".join(filter(None, lines)))
    wrong = [f"WRONG: {problem.part} {problem.message}" for problem in health(now)]
    parts.append("\n".join(wrong) or "All is well.")
    return "\n\n".join(parts)


def _asterisk_text(asterisks: Sequence[AsteriskStatus]) -> str:
    if not asterisks:
        return "No Asterisk is configured."
    rows = [("ASTERISK", "STATE", "EVENTS", "CALLS", "LAST EVENT", "NOTE")]
    for one in asterisks:
        state = "connected" if one.connected else "AWAY"
        calls = count(one.active_calls)
        rows.append((one.name, state, count(one.events), calls, age(one.last_event_s), one.error or ""))
    return table(rows, right=(2, 3, 4))


def _brokers_text(brokers: Sequence[BrokerStatus]) -> str:
    if not brokers:
        return "No broker is configured."
    rows = [("BROKER", "STATE", "OUTBOX", "OLDEST", "CONFIRMED", "NOTE")]
    for one in brokers:
        state = "standby" if one.standby else "connected" if one.connected else "AWAY"
        oldest = age(one.oldest_s) if one.outbox else "-"
        rows.append((one.name, state, count(one.outbox), oldest, count(one.confirmed), one.error or ""))
    return table(rows, right=(2, 3, 4))
