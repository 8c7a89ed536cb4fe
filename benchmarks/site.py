"""The private node of a benchmark: every endpoint of every size answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.cluster import POD_PORT
from lab.namespace import Namespace
from lab.topology import Lab, private_node
from lab.traffic import Answer, Outcome, Target, ask

POD_NETWORKS = ("10.128.0.0/10", "10.255.0.0/16")
"""Where the endpoints of generated clusters are, first ones and replacements; the lab's own pods
lie between them."""
_LOOK_SECONDS = 0.05  # a SYN that nobody heard is sent again after a second only


class Site:
    """A node, a pod that asks, and a crowd that answers for whole pod networks."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        crowd = lab.crowd
        for network in POD_NETWORKS:
            crowd.namespace.ip(f"route add local {network} dev lo")
            lab.node.ip(f"route add {network} via {crowd.ipv4} dev {crowd.name} onlink")
        lab.serve(tcp=[POD_PORT])
        self.probe_addresses = [ipv4 for ipv4, _ in lab.crowd_addresses(250)]
        """Endpoints for the probe, outside of the generated clusters."""

    @property
    def node(self) -> Namespace:
        """Where the agent runs."""
        return self._lab.node

    def ask(self, cluster_ip: str) -> Outcome:
        """Open one new connection through a ClusterIP, from a pod."""
        caller = self._lab.pods[0].namespace
        return ask(caller, Target("tcp", cluster_ip, 80), timeout=_LOOK_SECONDS)

    def server_of(self, cluster_ip: str) -> str:
        """Who answers there; empty if nobody does."""
        outcome = self.ask(cluster_ip)
        return outcome.server if isinstance(outcome, Answer) else ""

    def forget_rules(self) -> None:
        """Empty the node's ruleset, whoever wrote it."""
        self.node.run("nft", "flush", "ruleset")


@contextlib.contextmanager
def open_site() -> Iterator[Site]:
    """Build it; nothing is left of it when the block or this process ends."""
    with private_node(("caller",)) as lab:
        yield Site(lab)
