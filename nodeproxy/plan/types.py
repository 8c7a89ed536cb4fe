"""The plan: for each service port, which packets go where, and why.

A `ServicePortPlan` is a pure function of the cluster's objects and the node: it carries no
history, so the same cluster always gives the same plan, however its events arrived (design
invariant 5). Slot numbers, chain names and counters are a backend's business.

    frontend (where packets are sent)       pool (who may answer)
    ---------------------------------       ---------------------------------------------
    ClusterIP                       ------> internal: cluster, or local with iTP Local
    externalIP, VIP, NodePort
        eTP Cluster                 ------> cluster, always masqueraded
        eTP Local, from a pod       ------> cluster, never masqueraded
        eTP Local, from the node    ------> cluster, masqueraded
        eTP Local, from elsewhere   ------> local, client address kept; dropped if empty
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from nodeproxy.model.addresses import Addr, Cidr, Family, format_addr_port
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.services import TrafficPolicy


class FrontendKind(enum.StrEnum):
    """The ways a client can address a service port."""

    CLUSTER_IP = "ClusterIP"
    EXTERNAL_IP = "ExternalIP"
    LOAD_BALANCER_IP = "LoadBalancerIP"
    NODE_PORT = "NodePort"


class Frontend(NamedTuple):
    """One destination that packets are sent to before translation (DP-1)."""

    kind: FrontendKind
    addr: Addr
    """Empty for a NodePort: it matches on the node's addresses (DP-9)."""
    protocol: Protocol
    port: int

    def __str__(self) -> str:
        name = self.protocol.name.lower()
        if self.kind is FrontendKind.NODE_PORT:
            return f"node:{self.port}/{name}"
        return f"{format_addr_port(self.addr, self.port)}/{name}"


class Claim(NamedTuple):
    """What two service ports may not both have: the packets' destination (SVC-60)."""

    addr: Addr
    protocol: Protocol
    port: int


def claim_of(frontend: Frontend) -> Claim:
    """The destination a frontend occupies; NodePorts share the empty address."""
    return Claim(frontend.addr, frontend.protocol, frontend.port)


class Target(NamedTuple):
    """An endpoint as the destination of a translation."""

    addr: Addr
    port: int

    def __str__(self) -> str:
        return format_addr_port(self.addr, self.port)


class Treatment(enum.StrEnum):
    """What happens to a new connection to a frontend."""

    FORWARD = "forward"
    REJECT = "reject"
    DROP = "drop"


class PoolKind(enum.StrEnum):
    """Which list of endpoints answers."""

    CLUSTER = "cluster"
    LOCAL = "local"


class Topology(enum.StrEnum):
    """Which hints narrowed the cluster pool (EP-50)."""

    ANY = ""
    SAME_NODE = "PreferSameNode"
    SAME_ZONE = "PreferSameZone"


class Reason(enum.StrEnum):
    """Why a pool holds what it holds; the value is stable and may be matched by tools."""

    READY = "ready"
    """Ready endpoints serve (EP-44, EP-45)."""
    TERMINATING = "serving-terminating"
    """No endpoint is ready: those terminating but still serving keep the Service up."""
    NO_ENDPOINTS = "no-endpoints"
    """The Service has no endpoint at all (EP-40)."""
    NONE_USABLE = "none-usable"
    """There are endpoints, but none ready or serving while terminating (EP-47)."""
    NOT_USED = "not-used"
    """No traffic policy of this service port asks for this pool (EP-42, EP-43)."""
    NONE_LOCAL = "none-local"
    """Usable endpoints exist, none of them on this node (EP-45)."""


class HintReason(enum.StrEnum):
    """Why hints did or did not narrow the cluster pool (EP-50, EP-52)."""

    NOT_USED = "not-used"
    """The cluster pool is not used; the local pool never looks at hints (EP-45)."""
    NO_READY_ENDPOINTS = "no-ready-endpoints"
    NOT_HINTED = "not-hinted"
    """No ready endpoint carries a hint."""
    SOME_NOT_HINTED = "some-endpoints-without-hint"
    NO_HINT_FOR_NODE = "no-hint-for-this-node-or-zone"
    NODE_WITHOUT_ZONE = "node-without-zone"
    APPLIED = "applied"


class Selection(msgspec.Struct, frozen=True, gc=False):
    """The endpoints of one service port that may answer on this node (spec 10 section 5)."""

    cluster: tuple[Target, ...]
    """Sorted by packed address and port; empty when not used or none usable."""
    local: tuple[Target, ...]
    local_reachable: tuple[Target, ...]
    """The endpoints on this node that traffic may be sent to: those that can hairpin (DP-23)."""
    has_any: bool
    """False means reject, true with an empty pool means drop (EP-48)."""
    topology: Topology
    cluster_reason: Reason
    local_reason: Reason
    hint_reason: HintReason


class ServicePortPlan(msgspec.Struct, frozen=True, gc=False):
    """Everything this node does for one service port of one family."""

    key: ServicePortKey
    family: Family
    cluster_ip: Addr
    """Stays a ClusterIP even if another Service won its port: other ports of it are refused."""
    frontends: tuple[Frontend, ...]
    """Only those this service port won; another Service may hold a claimed one (SVC-60)."""
    internal_policy: TrafficPolicy
    external_policy: TrafficPolicy
    selection: Selection
    affinity_seconds: int = 0
    """How long a client is remembered after its last new connection; 0 means not at all."""
    source_ranges: tuple[Cidr, ...] = ()
    """Who may reach the load balancer IPs: merged, sorted, none touching another (NFT-17); empty
    means everybody (SVC-18)."""
    admits_vips: bool = False
    """The node's address lies in a range, so each load balancer IP may also be reached from
    itself: that is the source the kernel picks where the VIP is a local address (DP-41)."""
    health_check_node_port: int = 0
    local_ready: int = 0
    """Distinct ready local addresses over all ports of the Service in this family, for the
    health check answer (EP-33); 0 without a health check port."""

    @property
    def internal_pool(self) -> PoolKind:
        """The pool that answers on the ClusterIP (spec 30 section 1)."""
        is_local = self.internal_policy is TrafficPolicy.LOCAL
        return PoolKind.LOCAL if is_local else PoolKind.CLUSTER

    def pool(self, kind: PoolKind) -> tuple[Target, ...]:
        """The endpoints of a pool, in canonical order."""
        return self.selection.local if kind is PoolKind.LOCAL else self.selection.cluster

    @property
    def internal_treatment(self) -> Treatment:
        """What a new connection to the ClusterIP meets (DP-2)."""
        if self.pool(self.internal_pool):
            return Treatment.FORWARD
        return Treatment.DROP if self.selection.has_any else Treatment.REJECT

    @property
    def external_treatment(self) -> Treatment:
        """What a connection from outside to any external frontend meets (DP-3..5).

        With policy Local, pods and the node itself reach the cluster pool even where this says
        DROP: their packets are translated before the drop is looked up (DP-7).
        """
        if not self.selection.has_any:
            return Treatment.REJECT
        if self.external_policy is TrafficPolicy.LOCAL and not self.selection.local:
            return Treatment.DROP
        return Treatment.FORWARD


class LocalDetector(msgspec.Struct, frozen=True):
    """How to tell that a packet comes from a pod of this node (spec 30 section 4)."""

    cidr: Cidr | None = None
    """Source address inside this network (ClusterCIDR, NodeCIDR)."""
    interface: str = ""
    """Input interface has this name (BridgeInterface)."""
    interface_prefix: str = ""
    """Input interface name starts with this (InterfaceNamePrefix)."""


class NodePortAddresses(msgspec.Struct, frozen=True):
    """Which of the node's addresses accept NodePorts, for one family (DP-50..55)."""

    primary: tuple[Addr, ...] = ()
    """Exact addresses, from the word `primary` (DP-52)."""
    cidrs: tuple[Cidr, ...] = ()
    """Local addresses inside these networks."""

    @property
    def match_all(self) -> bool:
        """True if every local address but loopback accepts NodePorts (DP-54)."""
        return not self.primary and not self.cidrs


class FamilySettings(msgspec.Struct, frozen=True):
    """What holds for all Services of one family on this node."""

    family: Family
    masquerade_mark: int = 0x4000
    """The bit itself, `1 << masqueradeBit`."""
    masquerade_all: bool = False
    local_detector: LocalDetector | None = None
    node_ports: NodePortAddresses = NodePortAddresses()
    service_cidrs: tuple[Cidr, ...] = ()
    """Known ServiceCIDRs; addresses in them without a Service are dropped (DP-11)."""


class PlanKey(NamedTuple):
    """Where a ServicePortPlan lives: one per family and service port."""

    family: Family
    port: ServicePortKey

    def __str__(self) -> str:
        return f"{self.port} ({self.port.protocol.name}, {self.family})"


class Conflict(msgspec.Struct, frozen=True):
    """A frontend that two service ports claim; the first in key order has it (SVC-60)."""

    frontend: Frontend
    loser: PlanKey
    winner: ServicePortKey

    def __str__(self) -> str:
        return (
            f"Service {self.loser}: {self.frontend} belongs to Service {self.winner} already; "
            "not programmed for this one. Change the address or port of one of them"
        )


class PlanDelta(msgspec.Struct):
    """What changed in the plan since the last replan."""

    puts: dict[PlanKey, ServicePortPlan]
    """New or different plans."""
    removes: set[PlanKey]
    settings: dict[Family, FamilySettings]
    """Families whose settings changed; on the first replan, all of them."""
    conflicts: tuple[Conflict, ...] = ()
    """Conflicts not known before, to be told once."""
    remarks: tuple[str, ...] = ()
    """What an operator should know about the settings and has not been told."""

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to do."""
        return not (self.puts or self.removes or self.settings)


def format_pool(targets: tuple[Target, ...]) -> str:
    """`10.0.0.1:80, 10.0.0.2:80`, for messages."""
    return ", ".join(str(target) for target in targets)
