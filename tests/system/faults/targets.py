"""Who is meant by the words of a scenario, at the moment when it is asked; starting and placing what is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers.hosts import Host
from tests.servers.waiting import wait_until
from tests.system.faults.cluster import Cluster, Node


@dataclass
class Targets:
    """The words of `NODE_WORDS`, `HOST_WORDS`, `SERVER_WORDS` on one cluster."""

    cluster: Cluster

    def _nodes(self, word: str) -> list[Node]:
        match word:
            case "master":
                return [self.cluster.master()]
            case "standby":
                return [self.cluster.standby()]
            case "both":
                return list(self.cluster.nodes.values())
        return [self.cluster.nodes[word]]

    def _host(self, word: str) -> Host:
        match word:
            case "host-of-master":
                return self.cluster.master().host
            case "host-of-standby":
                return self.cluster.standby().host
            case "host-of-zookeeper-leader":
                return self.cluster.hosts[self.cluster.leader()]
        return self.cluster.hosts[word]

    def _on(self, host: Host) -> list[Node]:
        """The nodes on a host; the master is blind where the Asterisk's host is gone, and so is the other."""
        return [node for node in self.cluster.nodes.values() if host.name in (node.host.name, "asterisk")]

    def _zookeepers(self, word: str) -> list[str]:
        everywhere = list(self.cluster.zookeepers())
        match word.removeprefix("zookeeper").lstrip("-"):
            case "":
                return everywhere
            case "leader":
                return [self.cluster.leader() or "witness"]
            case "follower":
                return [next(h for h in everywhere if self.cluster.mode(h) == "follower")]
            case "on-master":
                return [self.cluster.master().host.name]
            case "on-standby":
                return [self.cluster.standby().host.name]
        return ["witness"]

    def _processes(self, word: str) -> tuple[list[Node], list[object]]:
        """Daemons and servers that a word means."""
        servers = self.cluster.zookeepers() if word.startswith("zookeeper") else {}
        if servers:
            return [], [servers[host] for host in self._zookeepers(word)]
        if word in ("broker", "imap", "smtp"):
            return [], [getattr(self.cluster, word)]
        return self._nodes(word), []


def start(node: Node) -> None:
    """Start a daemon that was killed; it need not be able to do anything yet."""
    if not node.alive:
        node.daemon.process = None
        node.daemon.start()
    node.expected = True


def settle_zookeeper(cluster: Cluster, wanted: str) -> None:
    """Its leader is on this host, which is one of the two with the highest numbers."""
    servers = cluster.zookeepers()
    wait_until(cluster.leader, "ZooKeeper has a leader", every=0.1)
    if cluster.leader() == wanted:
        return
    # Whoever has the highest number among those that are there wins the next election.
    if wanted == "audio2" and cluster.leader() == "audio":
        settle_zookeeper(cluster, "witness")
    leader = cluster.leader()
    servers[leader].kill()
    wait_until(lambda: cluster.leader() == wanted, f"ZooKeeper's leader is on {wanted}", every=0.1)
    servers[leader].start()
