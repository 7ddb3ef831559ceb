"""Where things are below the namespace. Pure.

/epoch            persistent: who won last, and its data version, which every fenced change checks
/lease            ephemeral: the master's name
/nodes/NAME       ephemeral: a node that is here
/members/NAME     persistent: a node that is known
/req/XX/RID       the requests' records
/pub/A/B          how far the messages of Asterisk A to broker B are published
/ctl/...          switchover, pause, history
"""

from __future__ import annotations

EPOCH = "/epoch"
LEASE = "/lease"
NODES = "/nodes"
MEMBERS = "/members"
PUBLISHED = "/pub"
SWITCHOVER = "/ctl/switchover"
PAUSE = "/ctl/pause"
HISTORY = "/ctl/history"


def node(name: str) -> str:
    """Of a node that is here."""
    return f"{NODES}/{name}"


def member(name: str) -> str:
    """Of a node that is known."""
    return f"{MEMBERS}/{name}"


def mark(asterisk: str, broker: str) -> str:
    """Of a watermark; a broker's name may hold anything, a node of ZooKeeper's no slash."""
    return f"{PUBLISHED}/{asterisk}/{broker.replace('%', '%25').replace('/', '%2F')}"
