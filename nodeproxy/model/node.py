"""What the agent knows about the node it runs on."""

from __future__ import annotations

import msgspec

from nodeproxy.model.addresses import Addr, Cidr, Family


class NodeInfo(msgspec.Struct, frozen=True):
    """The fields of the own Node object that matter here (spec 60 section 5)."""

    name: str
    zone: str = ""
    """Label topology.kubernetes.io/zone; empty when absent (EP-52)."""
    addresses: tuple[Addr, ...] = ()
    """InternalIPs in order, then ExternalIPs (NODE-2)."""
    pod_cidrs: tuple[Cidr, ...] = ()
    is_being_deleted: bool = False
    """deletionTimestamp is set, or the cluster autoscaler announced it by its taint (HZ-6)."""

    def address_of(self, family: Family) -> Addr | None:
        """The first address of a family, None if the Node has none."""
        size = family.addr_bytes
        return next((addr for addr in self.addresses if len(addr) == size), None)
