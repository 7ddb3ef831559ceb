"""What the demo shows, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

KEYS = "s switchover   k kill   f freeze   c cut off   r restore   q quit      (k, f, c: the master)"
WIDTH = 100
_BOLD, _GREEN, _RED, _DIM, _OFF = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: its status, {} where it does not answer; what is done to it ("" if nothing)."""

    name: str
    status: Mapping[str, object]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `journal`: when the master last wrote it. `events`: what happened, in order.

    `gap`: the longest silence at the consumer lately, in seconds.
    """

    seconds: float
    nodes: Sequence[NodeView]
    zookeeper: Mapping[str, str]
    calls: int
    calls_open: int
    facts: int
    messages: int
    repeats: int
    missing: int
    by_node: Mapping[str, int]
    mails: int
    answered: int
    gap: float
    journal: str = ""
    events: Sequence[str] = ()


def render(frame: Frame, *, colour: bool = True) -> list[str]:
    """The lines, at most 100 characters wide without their colours."""
    paint = _paint if colour else _plain
    lines = [
        paint(_BOLD, f"ARIMONITOR on two hosts        {frame.seconds:6.1f} s"),
        "",
        f"{'NODE':8} {'ROLE':8} {'EPOCH':>14} {'CALLS':>6} {'OUTBOX':>7} {'QUEUE':>6} {'MAIL':>8}  NOW",
    ]
    lines += [_node(node, paint) for node in frame.nodes]
    states = "   ".join(f"{host} {state or 'away'}" for host, state in frame.zookeeper.items())
    lost = paint(_RED if frame.missing else _GREEN, f"{frame.missing} under way or missing")
    came = ", ".join(f"{number:,} from {node}" for node, number in frame.by_node.items())
    lines += [
        "",
        f"ZooKeeper   {states}",
        f"Calls       {frame.calls:,} so far, {frame.calls_open} go on",
        f"Consumer    {frame.messages:,} of {frame.facts:,} messages, {lost}; {frame.repeats} came again",
        f"            {came or 'nothing yet'}; longest silence lately {frame.gap:.1f} s",
        f"Mails       {frame.mails} sent, {frame.answered} answered",
        f"Journal     {frame.journal or 'nothing yet'}",
        "",
        *(paint(_DIM, event[:WIDTH]) for event in frame.events[-8:]),
        "",
        paint(_BOLD, KEYS),
    ]
    return lines


def _node(node: NodeView, paint: Callable[[str, str], str]) -> str:
    now = paint(_RED, node.trouble) if node.trouble else ""
    status = node.status
    if not status:
        return f"{node.name:8} {'-':8} {'':>14} {'':>6} {'':>7} {'':>6} {'':>8}  {now or 'does not answer'}"
    asterisks, brokers = _rows(status, "asterisk"), _rows(status, "brokers")
    queue, mail = status.get("queue") or {}, status.get("mail")
    assert isinstance(queue, Mapping)
    waiting = int(queue.get("pending", 0)) + int(queue.get("processing", 0))
    role = str(status["role"])
    shown = paint(_GREEN, f"{role:8}") if role == "master" else f"{role:8}"
    reading = "reads" if isinstance(mail, Mapping) and mail.get("reading") else "-"
    return (
        f"{node.name:8} {shown} {epoch(int(str(status['epoch']))):>14}"
        f" {sum(int(str(each['active_calls'])) for each in asterisks):>6}"
        f" {sum(int(str(each['outbox'])) for each in brokers):>7} {waiting:>6} {reading:>8}  {now}"
    )


def epoch(number: int) -> str:
    """generation.version of a token; a small one as it is."""
    return f"{number >> 32}.{number & 0xFFFFFFFF}" if number >> 32 else str(number)


def _rows(status: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    rows = status.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _paint(colour: str, text: str) -> str:
    return f"{colour}{text}{_OFF}"


def _plain(colour: str, text: str) -> str:
    return text
