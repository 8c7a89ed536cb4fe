"""Settings that are valid and may still not be what was meant (NODE-7); told at start."""

from __future__ import annotations

from nodeproxy.config import flags
from nodeproxy.config.schema import Config
from nodeproxy.model.addresses import FAMILIES


def doubts_about(config: Config) -> list[str]:
    """Settings that open more than was meant: networks of one family say nothing of the other.

    That is kube-proxy's rule (DP-51), so it stays; but it is told.
    """
    if not config.node_port_addresses:
        return []
    listed = {cidr.family for cidr in config.node_port_addresses}
    return [
        f"{flags.NODEPORT_ADDRESSES.spelling}: no network of {family}, so every {family} address "
        "of the node accepts NodePorts; name networks of both families to limit both"
        for family in FAMILIES
        if family not in listed
    ]


def notes_on(config: Config) -> list[str]:
    """Settings that are as usual as others, with a consequence that shows late (DP-30)."""
    if config.cluster_cidrs or config.masquerade_all:
        return []
    return [
        f"{flags.CLUSTER_CIDR.spelling}: not set, so pods cannot be told from others; connections "
        "to ClusterIPs from outside the pod network are not masqueraded"
    ]
