"""Settings that are valid and may still not be what was meant (NODE-7); told at start."""

from __future__ import annotations

from typing import Any

from nodeproxy.config import settings
from nodeproxy.config.schema import Config, LocalMode, OriginKind, ProxyMode, Remark
from nodeproxy.config.setting import Setting
from nodeproxy.model.addresses import FAMILIES, LOOPBACK_NETWORKS


def all_remarks(config: Config) -> list[Remark]:
    """Everything there is to say about settings that are valid, warnings first."""
    warnings = [Remark(text, is_warning=True) for text in doubts_about(config)]
    notes = [Remark(text) for text in notes_on(config)]
    return sorted((*config.remarks, *warnings, *notes), key=lambda remark: not remark.is_warning)


def doubts_about(config: Config) -> list[str]:
    """Settings that do something else than was probably meant."""
    return [
        *_open_families(config),
        *_loopback_node_ports(config),
        *_interfaces_for_nothing(config),
    ]


def _label(config: Config, setting: Setting[Any]) -> str:
    """What to call a setting: the place it was given at, or its flag."""
    return config.label(setting.name, setting.flag.spelling if setting.flag else setting.name)


def _open_families(config: Config) -> list[str]:
    """Networks of one family say nothing of the other.

    That is kube-proxy's rule (DP-51), so it stays; but it is told.
    """
    if not config.node_port_addresses:
        return []
    label = _label(config, settings.NODEPORT_ADDRESSES)
    listed = {cidr.family for cidr in config.node_port_addresses}
    return [
        f"{label}: no network of {family}, so every {family} address "
        "of the node accepts NodePorts; name networks of both families to limit both"
        for family in FAMILIES
        if family not in listed
    ]


def _loopback_node_ports(config: Config) -> list[str]:
    """Loopback addresses accept no NodePorts in this mode, whatever is asked for (DP-54)."""
    label = _label(config, settings.NODEPORT_ADDRESSES)
    return [
        f"{label}: {cidr} holds loopback addresses only, which accept no NodePorts in nftables mode"
        for cidr in config.node_port_addresses or ()
        if any(loopback.holds(cidr) for loopback in LOOPBACK_NETWORKS)
    ]


def _interfaces_for_nothing(config: Config) -> list[str]:
    """Naming an interface makes sense in one mode only, so that mode was meant."""
    modes = {
        settings.POD_BRIDGE_INTERFACE: LocalMode.BRIDGE_INTERFACE,
        settings.POD_INTERFACE_NAME_PREFIX: LocalMode.INTERFACE_NAME_PREFIX,
    }
    return [
        f"{_label(config, setting)}: ignored, because {_mode_is(config)}; it is for mode {mode}"
        for setting, mode in modes.items()
        if setting.name in config.unused
    ]


def _mode_is(config: Config) -> str:
    return f"{settings.DETECT_LOCAL_MODE.name} is {config.detect_local_mode}"


def notes_on(config: Config) -> list[str]:
    """Settings that are as usual as others, with a consequence that shows late (DP-30)."""
    return [*_notes_on_cluster_cidr(config), *_notes_on_loopback(config)]


def _notes_on_cluster_cidr(config: Config) -> list[str]:
    label = _label(config, settings.CLUSTER_CIDR)
    if settings.CLUSTER_CIDR.name in config.unused:
        return [f"{label}: ignored, because {_mode_is(config)}"]
    if config.detect_local_mode is not LocalMode.CLUSTER_CIDR:
        return []
    if config.cluster_cidrs or config.masquerade_all:
        return []
    return [
        f"{label}: not set, so pods cannot be told from others; connections "
        "to ClusterIPs from outside the pod network are not masqueraded"
    ]


def _notes_on_loopback(config: Config) -> list[str]:
    """Asked for, and not to be had in this mode (DP-54, DP-57)."""
    setting = settings.LOCALHOST_NODE_PORTS
    origin = config.origins.get(setting.name)
    # Files that were written by kube-proxy hold every default, and this is one.
    is_asked = origin and origin.kind is OriginKind.FLAG and config.localhost_node_ports
    if not is_asked or config.proxy_mode is not ProxyMode.NFTABLES:
        return []
    return [
        f"{_label(config, setting)}: no effect here: in nftables mode loopback addresses accept no "
        "NodePorts"
    ]
