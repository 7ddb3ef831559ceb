"""Whether ZooKeeper can carry the election: each server, the login, the namespace, the voters. Service.

Nothing is changed: whether the namespace may be written is asked with a change that ZooKeeper must refuse
for another reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.preflight.report import Check
from daemon.settings import HaSettings, Settings
from ha import problems
from ha.ensemble import Ensemble, Server
from ha.errors import HaError, NoAuth, NoNode
from ha.fourletter import is_here
from ha.paths import EPOCH
from ha.zookeeper import ANY, Create, Refused, Tree
from ha.zookeeper import Check as VersionCheck

STEP = 5.0
"""Seconds for a connection, and for an answer."""

_LOGIN = "correct ha.username and ha.password: they must be those with which the namespace was made"


@dataclass(frozen=True, slots=True)
class _Place:
    """The namespace, or what of it is there already."""

    path: str
    whole: bool


def zookeeper_checks(settings: Settings) -> Iterator[Check]:
    """Every server of ha.hosts, then what they say together."""
    ha = settings.ha
    if ha.backend != "zookeeper":
        return
    tree = _tree(ha, login=True)
    try:
        connected = tree.start(STEP)
        ensemble = tree.servers(STEP)
        for server in ensemble.servers:
            yield _server(server)
        if not connected:
            where = ", ".join(tree.hosts)
            mend = "start ZooKeeper on most of its servers: one alone of three does not serve"
            yield Check("ZooKeeper session", where, False, f"no session within {STEP:g} s", mend)
            return
        yield _namespace(tree, ha)
        yield _ensemble(tree, ha, ensemble)
    finally:
        tree.stop()


def _tree(ha: HaSettings, *, login: bool) -> Tree:
    """Above the namespace, so that none is made."""
    password = ha.password.get_secret_value() if ha.password is not None and login else ""
    return Tree(
        ha.hosts,
        "",
        ha.session_timeout,
        username=ha.username if login else "",
        password=password,
        name="check",
    )


def _server(server: Server) -> Check:
    if server.too_old:
        reason = f"it is {server.version}, and 3.6 or later is needed"
        return Check("ZooKeeper", server.address, False, reason, "install ZooKeeper 3.6 or later there")
    if "whitelist" in server.problem:
        mend = "4lw.commands.whitelist=srvr,mntr,conf in zoo.cfg, so that it can be watched"
        return Check("ZooKeeper", server.address, True, "it answers, and does not say what it is", mend)
    if server.problem:
        mend = "start ZooKeeper there, or correct ha.hosts"
        return Check("ZooKeeper", server.address, False, server.problem, mend)
    return Check("ZooKeeper", server.address, True, f"{server.version}, {server.mode}")


def _namespace(tree: Tree, ha: HaSettings) -> Check:
    """May this login read and write there?"""
    what, where = "ZooKeeper namespace", ha.namespace
    try:
        place = _there(tree, where)
        if place.whole:
            _readable(tree, where)
        done = tree.multi(
            [
                Create(f"{place.path.rstrip('/')}/arimonitor-check"),
                VersionCheck(where + "/no-such-node", ANY),
            ],
            STEP,
        )
    except NoAuth as error:
        return Check(what, where, False, str(error), _LOGIN)
    except HaError as error:
        return Check(what, where, False, str(error), "correct ha.namespace, or ZooKeeper")
    if isinstance(done, Refused) and done.index == 0:
        mend = _LOGIN if place.whole else f"let this login create below {place.path}, or set ha.namespace"
        return Check(what, where, False, str(done.error), mend)
    if not place.whole:
        return Check(what, where, True, f"will be made below {place.path}")
    advice = ""
    if ha.username and _open_to_strangers(ha):
        advice = f"it was made without a login, so everybody may read it: set the ACL of {where}"
    return Check(what, where, True, "can be read and written", advice)


def _there(tree: Tree, namespace: str) -> _Place:
    parts = namespace.strip("/").split("/")
    for depth in range(len(parts), 0, -1):
        path = "/" + "/".join(parts[:depth])
        if tree.exists(path, STEP) is not None:
            return _Place(path, depth == len(parts))
    return _Place("/", False)


def _readable(tree: Tree, namespace: str) -> None:
    tree.children(namespace, STEP)
    try:
        tree.get(namespace + EPOCH, STEP)
    except NoNode:
        return  # no node has run yet


def _open_to_strangers(ha: HaSettings) -> bool:
    stranger = _tree(ha, login=False)
    try:
        if not stranger.start(STEP):
            return False
        stranger.children(ha.namespace, STEP)
    except HaError:
        return False
    finally:
        stranger.stop()
    return True


def _ensemble(tree: Tree, ha: HaSettings, ensemble: Ensemble) -> Check:
    leader = ensemble.leader
    said = problems.sentences(
        asked=ha.session_timeout,
        granted=tree.negotiated_timeout,
        ensemble=Ensemble((), ensemble.voters),
    )
    if leader is not None and ensemble.voters != 1 and is_here(leader.address):
        said += (f"the leader {leader.address} runs on this host: give the third server the highest myid",)
    number = ensemble.voters
    reason = f"{number} voter{'s' if number != 1 else ''}, session {tree.negotiated_timeout or 0:g} s"
    return Check("ZooKeeper ensemble", ", ".join(tree.hosts), True, reason, "; ".join(said))
