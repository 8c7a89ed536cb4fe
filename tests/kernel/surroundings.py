"""Who asks and who listens in the agreement tests: the hosts of a lab by address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lab import nft
from lab.namespace import Namespace
from lab.topology import (
    CLIENT_ADDRESSES,
    NODE_ADDRESSES,
    NODE_OTHER_ADDRESSES,
    STRANGER_ADDRESSES,
    Lab,
)
from nodeproxy.model.addresses import FAMILIES, Family
from tests.support.programming import OWN_NODE

PORTS = (8080, 5353)
"""Every host listens on these, by TCP and UDP."""
NODE_PORTS = (*PORTS, 80, 443, *range(30_000, 30_032))
"""The node listens where Services do: what no rule picks up is answered, not refused."""
LOOPBACK = ("127.0.0.1", "::1")
ELSEWHERE = "n2"
_CROWD = 20
_NO_LIMIT_OF_ERRORS = {"net.ipv4.icmp_ratemask": "0", "net.ipv6.icmp.ratelimit": "0"}

_NOWHERE = """
table inet nowhere {
    chain other-networks {
        ct state new ip daddr != { 127.0.0.0/8, 192.168.0.0/16, 10.244.0.0/16, 203.0.113.0/24 } \\
            reject with icmp host-unreachable
        ct state new ip6 daddr != { ::1, 2001:db8::/47, 2001:db8:bad::/64, fd00:10:244::/56 } \\
            reject with icmpv6 addr-unreachable
    }
    chain forward { type filter hook forward priority 10; jump other-networks; }
    chain output { type filter hook output priority 10; jump other-networks; }
}
"""
"""What goes on to nowhere is told so on the node: routes to nowhere, as the router has them, tell
IPv4 sources once a second at most, whatever the settings for ICMP."""


class Caller(NamedTuple):
    """A host with one of its addresses."""

    namespace: Namespace
    address: str
    interface: str | None
    """Where its packets come in; None for the node itself."""

    @property
    def family(self) -> Family:
        return Family.IPV6 if ":" in self.address else Family.IPV4


class Surroundings:
    """The hosts of one lab, with servers started on all of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        for pod in (*lab.pods, *lab.far_pods, lab.crowd):
            pod.namespace.set_sysctls(_NO_LIMIT_OF_ERRORS)
        nft.load(lab.node, _NOWHERE)
        lab.serve(tcp=PORTS, udp=PORTS)
        lab.serve_on_node(tcp=NODE_PORTS, udp=NODE_PORTS)
        callers = tuple(self._callers())
        self.callers = {family: [c for c in callers if c.family is family] for family in FAMILIES}
        self.endpoints = {family: list(self._endpoints(family)) for family in FAMILIES}
        """Address and node of everything that may be an endpoint."""
        self.hosts = {address for family in FAMILIES for address, _ in self.endpoints[family]}
        self.hosts |= {caller.address for caller in callers} | set(LOOPBACK)

    @property
    def node_addresses(self) -> tuple[str, ...]:
        return (*NODE_ADDRESSES, *NODE_OTHER_ADDRESSES)

    def node_itself(self, address: str) -> Caller:
        """The node under this address of its own."""
        return Caller(self.lab.node, address, None)

    def listens(self, address: str, port: int) -> bool:
        """Somebody answers there; loopback is the node's, as only the node asks there."""
        if address in (*self.node_addresses, *LOOPBACK):
            return port in NODE_PORTS
        return address in self.hosts and port in PORTS

    def _callers(self) -> Iterator[Caller]:
        for pod in self.lab.pods:
            yield from (Caller(pod.namespace, a, pod.name) for a in pod.addresses)
        yield from (Caller(self.lab.node, a, None) for a in self.node_addresses)
        outside = (*CLIENT_ADDRESSES, *STRANGER_ADDRESSES)
        yield from (Caller(self.lab.client, a, "eth0") for a in outside)
        for pod in self.lab.far_pods:
            yield from (Caller(pod.namespace, a, "eth0") for a in pod.addresses)

    def _endpoints(self, family: Family) -> Iterator[tuple[str, str]]:
        index = FAMILIES.index(family)
        yield from ((pod.addresses[index], OWN_NODE) for pod in self.lab.pods)
        yield NODE_ADDRESSES[index], OWN_NODE
        yield from ((pod.addresses[index], ELSEWHERE) for pod in self.lab.far_pods)
        yield from ((pair[index], ELSEWHERE) for pair in self.lab.crowd_addresses(_CROWD))
