"""What the chains depend on beside the plans: the family's settings and those of this mode."""

from __future__ import annotations

import msgspec

from nodeproxy.backends.iptables.dispatch import LEAF_RULES
from nodeproxy.model.addresses import LOOPBACK_NETWORKS, Addr, Cidr, Family
from nodeproxy.plan.types import FamilySettings

LOOPBACK = {network.family: network for network in LOOPBACK_NETWORKS}


class IptablesOptions(msgspec.Struct, frozen=True):
    """What only this mode has."""

    localhost_nodeports: bool = True
    """NodePorts answer on 127.0.0.0/8 too, where NodePort addresses cover it (DP-57)."""
    drops_invalid: bool = True
    """Forwarded packets that connection tracking calls invalid are dropped (DP-70)."""
    leaf_rules: int = LEAF_RULES
    """Keys in a leaf of a dispatch tree. A huge number makes a linear list, as the peer has it:
    what the benchmark compares with."""


def opens_loopback(settings: FamilySettings, options: IptablesOptions) -> bool:
    """True if NodePorts answer on loopback addresses: IPv4 only (DP-57)."""
    if settings.family is not Family.IPV4 or not options.localhost_nodeports:
        return False
    node_ports, loopback = settings.node_ports, LOOPBACK[Family.IPV4]
    return node_ports.match_all or any(
        cidr.holds(loopback) or loopback.holds(cidr) for cidr in node_ports.cidrs
    )


def host(addr: Addr) -> Cidr:
    """The network of one address."""
    return Cidr(addr, len(addr) * 8)
