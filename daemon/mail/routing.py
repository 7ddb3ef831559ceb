"""Where a request goes: whose recordings, which server. Pure.

`AUDIOS_FROM=` in the subject, else its `SERVER=`, else the sender's own
server, else the cluster's default; never which node happens to be master.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.jobs.model import Command, Failure
from daemon.mail.policy import Policy


@dataclass(frozen=True, slots=True)
class Route:
    """`audios_from` is audio or s3, "" for a command on a server; `server` "" where it doesn't matter."""

    audios_from: str
    server: str


def route(sender: str, command: Command, parameters: Mapping[str, str], policy: Policy) -> Route | Failure:
    """The route of an understood request, or why the sender may not go there."""
    allowed = policy.rights_of(sender).servers
    server = parameters.get("server", "")
    if server and allowed and server not in allowed:
        return Failure("server-not-allowed", {"server": server, "allowed": ", ".join(allowed)})
    if command == "RAMAIS":
        return _recordings(parameters.get("audios_from", ""), server, allowed, policy)
    if not server:
        # One server that it can mean is no guess; two are.
        candidates = allowed or tuple(policy.limits.servers)
        if len(candidates) != 1:
            return Failure("missing-key", {"key": "SERVER"})
        server = candidates[0]
    return Route("", server)


def _recordings(source: str, server: str, allowed: tuple[str, ...], policy: Policy) -> Route | Failure:
    servers = policy.limits.servers
    theirs = {servers[name] for name in allowed if name in servers}
    if source:
        if theirs and source not in theirs:
            return Failure("source-not-allowed", {"source": source, "allowed": ", ".join(allowed)})
        return Route(source, server)
    if server:
        return Route(servers[server], server)
    if len(allowed) == 1 and theirs:
        return Route(theirs.pop(), allowed[0])
    return Route(theirs.pop() if len(theirs) == 1 else policy.audios_from, "")
