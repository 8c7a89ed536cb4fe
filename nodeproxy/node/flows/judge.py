"""Is this flow stale: does it go on to somewhere that is no endpoint of its Service any more?

    destination (as the client sends)            verdict on it
    --------------------------------------       ------------------------------------------------
    address and port of a frontend          -->  the endpoints that may answer, all others: stale
    NodePort on an address of the node      -->  the same
    a frontend that nobody has any more     -->  stale if it was translated
    anything else                           -->  not ours, stays

At start, and then only, a translated flow to an address of a ServiceCIDR that no Service has is
stale too: its Service was deleted while nobody looked (CT-15).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from nodeproxy.model.addresses import LOOPBACK_NETWORKS, Addr, Cidr
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Frontend, NodePortAddresses, ServicePortPlan


class Verdict(NamedTuple):
    """Who may answer the flows to one destination."""

    allowed: frozenset[bytes]
    """Endpoints, each its address and its port."""
    spares_untranslated: bool = False
    """Flows to the destination itself stay, those that nothing has ever translated."""


ABANDONED = Verdict(frozenset(), spares_untranslated=True)
"""On a destination that no Service has any more."""


def packed(addr: Addr, port: int) -> bytes:
    """An address and a port as the kernel has them in a row; a NodePort has no address."""
    return addr + port.to_bytes(2, "big")


def destination_of(frontend: Frontend) -> bytes:
    """Where its flows are sent to."""
    return packed(frontend.addr, frontend.port)


def verdict_on(plan: ServicePortPlan, endpoints: Iterable[Endpoint]) -> Verdict:
    """Who may answer for a service port.

    UDP: every endpoint that serves, whatever the policies say (CT-5), and every one that the plan
    uses, so that what gets new flows keeps its old ones (CT-10). TCP connections end when their
    endpoint is gone altogether, not before: one that terminates may finish its work (CT-16).

    Args:
        plan: of the service port.
        endpoints: all that its source tells.
    """
    is_udp = plan.key.protocol is Protocol.UDP
    allowed = {packed(e.addr, e.port) for e in endpoints if e.serving or not is_udp}
    for pool in (plan.selection.cluster, plan.selection.local):
        allowed.update(packed(*target) for target in pool)
    return Verdict(frozenset(allowed), spares_untranslated=not is_udp)


class Vacancies(msgspec.Struct, frozen=True):
    """Addresses for Services that no Service has."""

    networks: tuple[Cidr, ...] = ()
    """ServiceCIDRs."""
    taken: frozenset[Addr] = frozenset()
    """Addresses of Services, of whatever port and protocol."""

    def has(self, addr: Addr) -> bool:
        """True if it is one of them."""
        return addr not in self.taken and any(net.contains(addr) for net in self.networks)


class Judge:
    """Judges the flows of one family and protocol."""

    # Mutable: what was found out about addresses, kept because a million flows have few of them.
    def __init__(
        self,
        verdicts: Mapping[bytes, Verdict],
        taken: Collection[bytes] = frozenset(),
        own_networks: Iterable[Cidr] = (),
        node_ports: NodePortAddresses | None = None,
        vacancies: Vacancies | None = None,
    ) -> None:
        """See the picture above.

        Args:
            verdicts: by destination.
            taken: all destinations that somebody has, looked at or not; they go before NodePorts.
            own_networks: what the node takes for its own addresses (CT-9).
            node_ports: which of these accept NodePorts.
            vacancies: at start.
        """
        self._verdicts = verdicts
        self._taken = taken
        self._own_networks = tuple(own_networks)
        self._node_ports = node_ports or NodePortAddresses()
        self._vacancies = vacancies
        self._accepts: dict[bytes, bool] = {}
        self._is_vacant: dict[bytes, bool] = {}

    def is_stale(self, destination: bytes, answerer: bytes) -> bool:
        """True if a flow to `destination` may not be answered by `answerer` (CT-7)."""
        verdict = self._verdicts.get(destination)
        if verdict is None:
            verdict = self._verdicts.get(destination[-2:])
            if verdict is None or not self._is_node_port(destination):
                return self._vacancies is not None and self._is_left_over(destination, answerer)
        if answerer in verdict.allowed:
            return False
        return not (verdict.spares_untranslated and answerer == destination)

    def _is_node_port(self, destination: bytes) -> bool:
        """A port of the node itself, not of any host (CT-9), and not of a frontend there."""
        if destination in self._taken:
            return False
        addr = destination[:-2]
        known = self._accepts.get(addr)
        if known is None:
            known = self._accepts[addr] = self._accepts_node_ports(Addr(addr))
        return known

    def _accepts_node_ports(self, addr: Addr) -> bool:
        if not any(network.contains(addr) for network in self._own_networks):
            return False
        if self._node_ports.match_all:
            return not any(network.contains(addr) for network in LOOPBACK_NETWORKS)
        return addr in self._node_ports.primary or any(
            network.contains(addr) for network in self._node_ports.cidrs
        )

    def _is_left_over(self, destination: bytes, answerer: bytes) -> bool:
        """Translated to somewhere else although no Service has the address."""
        addr = destination[:-2]
        known = self._is_vacant.get(addr)
        if known is None:
            vacancies = self._vacancies or Vacancies()
            known = self._is_vacant[addr] = vacancies.has(Addr(addr))
        return known and answerer[:-2] != addr
