"""What an operator should know about the ensemble, as sentences. Pure."""

from __future__ import annotations

from ha.ensemble import Ensemble


def sentences(
    *,
    asked: float,
    granted: float | None,
    ensemble: Ensemble | None,
    trouble: str = "",
    barred: str = "",
) -> tuple[str, ...]:
    """None where all is well. `asked` and `granted` are seconds of the session, None: not known yet."""
    found = [trouble] if trouble else []
    if barred:
        found.append(f"this node can't lead: {barred}")
    if granted is not None and abs(granted - asked) > 0.001:
        found.append(
            f"ZooKeeper grants a session of {granted:g} s, not the {asked:g} s of ha.session_timeout: all"
            " deadlines follow the granted one (minSessionTimeout and maxSessionTimeout of zoo.cfg)"
        )
    if ensemble is None:
        return tuple(found)
    found += _voters(ensemble)
    for server in ensemble.servers:
        if server.problem:
            found.append(f"ZooKeeper {server.address} is of no use: {server.problem}")
        elif server.too_old:
            found.append(f"ZooKeeper {server.address} is {server.version}: 3.6 or later is needed")
    return tuple(found)


def advice(ensemble: Ensemble | None, *, leader_here: bool) -> tuple[str, ...]:
    """What is not wrong, and would be better otherwise."""
    leader = ensemble.leader if ensemble is not None else None
    if not leader_here or leader is None or ensemble is None or ensemble.voters == 1:
        return ()
    return (
        f"the ZooKeeper leader {leader.address} runs on this host: if the host is lost, ZooKeeper elects"
        " another first, and the takeover lasts 2 to 3 s longer (give the third server the highest myid)",
    )


def _voters(ensemble: Ensemble) -> list[str]:
    match ensemble.voters:
        case 1:
            return ["ZooKeeper has one server only: when it is away there is no failover (three are needed)"]
        case 2:
            return [
                "ZooKeeper has two voters only: when either is lost there is no majority and nobody can be"
                " master (a third, small one elsewhere mends that)"
            ]
        case int(number) if number % 2 == 0:
            return [
                f"ZooKeeper has {number} voters: an even number survives no more losses than {number - 1}"
            ]
    return []
