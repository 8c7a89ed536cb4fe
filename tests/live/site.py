"""A node under test: the lab, an agent that runs on it, and the cluster it follows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import msgspec

from lab import objects
from lab.agent import AgentProcess
from lab.namespace import Namespace
from lab.objects import Backend, Policy, Port
from lab.topology import NODE_ADDRESSES, NODE_NAME, Lab, Pod
from lab.traffic import Answer, FailureKind, Outcome, Target, ask
from lab.waiting import eventually
from tests.live.clusters import Cluster

Family = Literal["IPv4", "IPv6"]
Protocol = Literal["tcp", "udp"]

POD_PORT = 8080
OTHER_POD_PORT = 5353
HOST_PORT = 9000
LOOK_SECONDS = 0.1
"""How long one question may take where it is repeated until its outcome is the right one; the
kernel sends a SYN that nobody heard again after a second only."""
ELSEWHERE = "another-node"


class PacketKind(msgspec.Struct, frozen=True):
    """The protocol and the family of packets."""

    protocol: Protocol
    family: Family

    def __str__(self) -> str:
        return f"{self.protocol}-{self.family}"


PACKET_KINDS = tuple(PacketKind(p, f) for p in ("tcp", "udp") for f in ("IPv4", "IPv6"))


class Web:
    """A Service of the cluster under test, with one TCP and one UDP port of the same number.

    Changes are told to the cluster at once; waiting for their effect is up to the test.
    """

    def __init__(self, cluster: Cluster, number: int, external: Policy, internal: Policy) -> None:
        self.name = f"web-{number}"
        self._cluster = cluster
        self._addresses = (f"10.96.{number // 250}.{number % 250 + 1}", f"fd00:10:96::{number:x}")
        self._external, self._internal = external, internal
        self.port = 80
        self.node_port = 30000 + number
        self._target_port = POD_PORT

    def cluster_ip(self, kind: PacketKind) -> Target:
        """Its ClusterIP."""
        return Target(kind.protocol, _choose(self._addresses, kind), self.port)

    def on_node(self, kind: PacketKind, addresses: Sequence[str] = NODE_ADDRESSES) -> Target:
        """Its NodePort on one of the node's address pairs."""
        return Target(kind.protocol, _choose(addresses, kind), self.node_port)

    def put(self, *, port: int = 80, target_port: int = POD_PORT) -> None:
        """Create or replace the Service."""
        self.port, self._target_port = port, target_port
        service = objects.service(
            self.name,
            self._addresses,
            self._ports(),
            external_policy=self._external,
            internal_policy=self._internal,
        )
        self._cluster.put_service(self.name, service)

    def scale_to(self, backends: Sequence[Backend]) -> None:
        """Replace its endpoints."""
        self._cluster.put_backends(self.name, self._ports(), backends)

    def delete(self) -> None:
        """Delete the Service with its endpoints."""
        self._cluster.delete(self.name)

    def _ports(self) -> list[Port]:
        protocols: tuple[Protocol, ...] = ("tcp", "udp")
        return [
            Port(protocol, protocol, self.port, self._target_port, self.node_port)
            for protocol in protocols
        ]


class Site:
    """What a live test works with."""

    def __init__(self, lab: Lab, cluster: Cluster, agent: AgentProcess) -> None:
        self.lab = lab
        self.cluster = cluster
        self.agent = agent
        self._numbers = itertools.count(1)

    @property
    def node(self) -> Namespace:
        """Where the agent runs."""
        return self.lab.node

    @property
    def client(self) -> Namespace:
        """A caller outside of the cluster."""
        return self.lab.client

    @property
    def caller(self) -> Namespace:
        """A pod that is no endpoint of anything."""
        return self.lab.pods[3].namespace

    def backends(self, count: int) -> list[Backend]:
        """The first pods, one to three, as endpoints on this node."""
        return [backend_of(pod) for pod in self.lab.pods[:count]]

    def publish(
        self,
        backends: Sequence[Backend],
        *,
        target_port: int = POD_PORT,
        external: Policy = "Cluster",
        internal: Policy = "Cluster",
    ) -> Web:
        """Create a Service that no other test uses."""
        web = Web(self.cluster, next(self._numbers), external, internal)
        web.put(target_port=target_port)
        web.scale_to(backends)
        return web

    def published(self, backends: Sequence[Backend], *, external: Policy = "Cluster") -> Web:
        """Create a Service and wait until it answers to every kind of packet."""
        web = self.publish(backends, external=external)
        for kind in PACKET_KINDS:
            first_answer(self.caller, web.cluster_ip(kind))
        return web


def backend_of(pod: Pod, node: str = NODE_NAME) -> Backend:
    """Make an endpoint of a pod; `node` says where the cluster believes it to be."""
    return Backend(pod.ipv4, pod.ipv6, node)


def address(backend: Backend, kind: PacketKind) -> str:
    """The address an answer of this endpoint comes from."""
    return backend.address(kind.family)


def first_answer(caller: Namespace, target: Target) -> Answer:
    """Ask until somebody answers, and return that answer."""
    outcome = eventually(
        f"an answer from {target} to {caller.name}",
        lambda: ask(caller, target, timeout=LOOK_SECONDS),
        lambda seen: isinstance(seen, Answer),
    )
    assert isinstance(outcome, Answer)
    return outcome


def server_of(caller: Namespace, target: Target) -> str:
    """Ask once and return the address that answered; it must answer."""
    outcome = ask(caller, target)
    assert isinstance(outcome, Answer), f"{target} asked by {caller.name}: {outcome}"
    return outcome.server


def first_failure(caller: Namespace, target: Target, *kinds: FailureKind) -> Outcome:
    """Ask until it fails in one of these ways, soon enough, and return that failure."""
    return eventually(
        f"{' or '.join(kinds)} from {target} to {caller.name}",
        lambda: ask(caller, target, timeout=LOOK_SECONDS),
        lambda seen: not isinstance(seen, Answer) and seen.kind in kinds,
    )


def _choose(addresses: Sequence[str], kind: PacketKind) -> str:
    return addresses[0 if kind.family == "IPv4" else 1]
