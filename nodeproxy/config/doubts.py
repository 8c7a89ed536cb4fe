"""Settings that are valid and may still not be what was meant (NODE-7); told at start."""

from __future__ import annotations

from nodeproxy.config import flags
from nodeproxy.config.schema import Config, LocalMode
from nodeproxy.model.addresses import FAMILIES, LOOPBACK_NETWORKS


def doubts_about(config: Config) -> list[str]:
    """Settings that do something else than was probably meant."""
    return [
        *_open_families(config),
        *_loopback_node_ports(config),
        *_interfaces_for_nothing(config),
    ]


def _open_families(config: Config) -> list[str]:
    """Networks of one family say nothing of the other.

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


def _loopback_node_ports(config: Config) -> list[str]:
    """Loopback addresses accept no NodePorts in this mode, whatever is asked for (DP-54)."""
    return [
        f"{flags.NODEPORT_ADDRESSES.spelling}: {cidr} holds loopback addresses only, which accept "
        "no NodePorts in nftables mode"
        for cidr in config.node_port_addresses or ()
        if any(loopback.holds(cidr) for loopback in LOOPBACK_NETWORKS)
    ]


def _interfaces_for_nothing(config: Config) -> list[str]:
    """Naming an interface makes sense in one mode only, so that mode was meant."""
    modes = {
        flags.POD_BRIDGE_INTERFACE: LocalMode.BRIDGE_INTERFACE,
        flags.POD_INTERFACE_NAME_PREFIX: LocalMode.INTERFACE_NAME_PREFIX,
    }
    return [
        f"{flag.spelling}: ignored, because {flags.DETECT_LOCAL_MODE.spelling} is "
        f"{config.detect_local_mode}; it is for {flags.DETECT_LOCAL_MODE.spelling}={mode}"
        for flag, mode in modes.items()
        if flag.name in config.unused_flags
    ]


def notes_on(config: Config) -> list[str]:
    """Settings that are as usual as others, with a consequence that shows late (DP-30)."""
    if flags.CLUSTER_CIDR.name in config.unused_flags:
        return [
            f"{flags.CLUSTER_CIDR.spelling}: ignored, because "
            f"{flags.DETECT_LOCAL_MODE.spelling} is {config.detect_local_mode}"
        ]
    if config.detect_local_mode is not LocalMode.CLUSTER_CIDR:
        return []
    if config.cluster_cidrs or config.masquerade_all:
        return []
    return [
        f"{flags.CLUSTER_CIDR.spelling}: not set, so pods cannot be told from others; connections "
        "to ClusterIPs from outside the pod network are not masqueraded"
    ]
