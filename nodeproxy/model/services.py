"""A port of a Service in one family, with everything the data plane needs and nothing else."""

from __future__ import annotations

import enum

import msgspec

from nodeproxy.model.addresses import Addr, Cidr, Family
from nodeproxy.model.keys import ServicePortKey


class TrafficPolicy(enum.StrEnum):
    """internalTrafficPolicy and externalTrafficPolicy of a Service."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    """One port of one Service in one family (spec 20 section 2).

    Equality is over these derived attributes, so edits of labels, annotations, selectors or
    conditions compare equal and cause no work (SVC-42).
    """

    key: ServicePortKey
    family: Family
    cluster_ip: Addr
    port: int
    """1..65535."""
    node_port: int = 0
    """0 means none."""
    external_ips: tuple[Addr, ...] = ()
    """Of this family, in the order of the object (SVC-10)."""
    load_balancer_ips: tuple[Addr, ...] = ()
    """VIPs of this family whose ipMode is VIP (SVC-13)."""
    source_ranges: tuple[Cidr, ...] = ()
    """Merged, sorted, none touching another; empty means unrestricted (SVC-16..18, NFT-17)."""
    internal_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    external_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    affinity_seconds: int = 0
    """ClientIP affinity timeout; 0 means no affinity (SVC-22)."""
    health_check_node_port: int = 0
    """0 means none (SVC-30)."""

    @property
    def is_externally_accessible(self) -> bool:
        """True if anything but the ClusterIP leads to this port (EP-41)."""
        return bool(self.node_port or self.load_balancer_ips or self.external_ips)
