"""What holds for all Services of a family on this node, from the operator's choices.

options (flags) + own Node object + ServiceCIDRs -> FamilySettings for each family
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from nodeproxy.config.gates import ALLOW_SERVICE_EXTERNAL_IPS
from nodeproxy.config.schema import Config, LocalMode
from nodeproxy.model.addresses import FAMILIES, LOOPBACK_NETWORKS, Addr, Cidr, Family, parse_addr
from nodeproxy.model.node import NodeInfo
from nodeproxy.plan.types import FamilySettings, LocalDetector, NodePortAddresses

_UNTOLD = (
    "pods are not told from others, and connections to ClusterIPs from outside the pod network are "
    "not masqueraded"
)
_UNKNOWN = {Family.IPV4: parse_addr("127.0.0.1"), Family.IPV6: parse_addr("::1")}


class PlanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the configuration that shapes the plan."""

    detect_local_mode: LocalMode = LocalMode.CLUSTER_CIDR
    cluster_cidrs: tuple[Cidr, ...] = ()
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    masquerade_all: bool = False
    masquerade_mark: int = 0x4000
    """The bit itself."""
    node_port_addresses: tuple[Cidr, ...] | None = None
    """None means the node's primary address of each family (DP-53), () every address."""
    allows_external_ips: bool = True
    """False leaves `spec.externalIPs` unprogrammed (SVC-11)."""
    bind_address: Addr | None = None
    """A specific address takes the place of the node's own of that family (NODE-3)."""
    usable_families: tuple[Family, ...] = FAMILIES
    """What this kernel can do; the plan is the same without, only a remark is not."""


def plan_options_from(
    config: Config, usable_families: tuple[Family, ...] = FAMILIES
) -> PlanOptions:
    """The options for a planner."""
    return PlanOptions(
        detect_local_mode=config.detect_local_mode,
        cluster_cidrs=config.cluster_cidrs,
        bridge_interface=config.pod_bridge_interface,
        interface_name_prefix=config.pod_interface_name_prefix,
        masquerade_all=config.masquerade_all,
        masquerade_mark=1 << config.masquerade_bit,
        node_port_addresses=config.node_port_addresses,
        allows_external_ips=config.feature_gates.is_enabled(ALLOW_SERVICE_EXTERNAL_IPS),
        bind_address=config.bind_address,
        usable_families=usable_families,
    )


def family_settings(
    options: PlanOptions, node: NodeInfo | None, service_cidrs: Iterable[Cidr] = ()
) -> dict[Family, FamilySettings]:
    """Settings of both families.

    Args:
        options: what the operator chose.
        node: the own Node as far as known; without it no primary address can be told.
        service_cidrs: known ServiceCIDRs of both families; each family keeps its own in their
            order (TS-507).
    """
    known = tuple(service_cidrs)
    return {
        family: FamilySettings(
            family=family,
            masquerade_mark=options.masquerade_mark,
            masquerade_all=options.masquerade_all,
            local_detector=_local_detector(options, node, family),
            node_ports=_node_port_addresses(options, node, family),
            service_cidrs=tuple(cidr for cidr in known if cidr.family is family),
        )
        for family in FAMILIES
    }


def unlimited_node_ports(options: PlanOptions, settings: FamilySettings) -> str:
    """What to tell about a Service with a NodePort; empty if NodePorts are as limited as asked.

    `primary` stands for nothing in a family of which the node has no address, and nothing means
    everything (DP-52).
    """
    if options.node_port_addresses is not None or not settings.node_ports.match_all:
        return ""
    family = settings.family
    return (
        f"no {family} address of this node is known, so NodePorts are open on every {family} "
        "address it has; let its Node object tell one, or name networks with --nodeport-addresses"
    )


def remarks_on(options: PlanOptions, node: NodeInfo | None) -> tuple[str, ...]:
    """What an operator should know about the settings as the own Node has them do (NODE-8).

    Nothing here ends the agent, as it does kube-proxy: what is missing may come while it runs.
    """
    family = primary_family(options, node)
    return tuple(filter(None, (_missing_family(options, family), _missing_network(options, node))))


def _missing_family(options: PlanOptions, family: Family) -> str:
    """The primary family is none of the kernel's (NODE-6)."""
    if family in options.usable_families:
        return ""
    return (
        f"the primary address of this node is of {family}, which its kernel does not have or has "
        f"switched off; {family} Services do not work here"
    )


def _missing_network(options: PlanOptions, node: NodeInfo | None) -> str:
    """No network tells pods of the primary family, or of any, from others."""
    family = primary_family(options, node)
    if options.detect_local_mode is LocalMode.NODE_CIDR:
        cidrs = node.pod_cidrs if node else ()
        if not cidrs:
            return (
                "the Node object of this node has no podCIDRs, which --detect-local-mode=NodeCIDR "
                f"needs; until it has, {_UNTOLD}"
            )
        whose = "the podCIDRs of this node are"
    elif options.detect_local_mode is LocalMode.CLUSTER_CIDR and options.cluster_cidrs:
        cidrs = options.cluster_cidrs
        whose = "--cluster-cidr is"
    else:
        return ""
    if any(cidr.family is family for cidr in cidrs):
        return ""
    return f"{whose} not of {family}, the primary family of this node; {family} {_UNTOLD}"


def _local_detector(
    options: PlanOptions, node: NodeInfo | None, family: Family
) -> LocalDetector | None:
    """How pods are told apart (spec 30 section 4)."""
    match options.detect_local_mode:
        case LocalMode.CLUSTER_CIDR:
            return _first_network(options.cluster_cidrs, family)
        case LocalMode.NODE_CIDR:
            return _first_network(node.pod_cidrs if node else (), family)
        case LocalMode.BRIDGE_INTERFACE:
            return LocalDetector(interface=options.bridge_interface)
        case LocalMode.INTERFACE_NAME_PREFIX:
            return LocalDetector(interface_prefix=options.interface_name_prefix)
        case _:
            assert_never(options.detect_local_mode)


def _first_network(cidrs: Iterable[Cidr], family: Family) -> LocalDetector | None:
    """The first network of the family tells pods apart (DP-33); none, no detector (DP-30)."""
    cidr = next((cidr for cidr in cidrs if cidr.family is family), None)
    return LocalDetector(cidr=cidr) if cidr else None


def _node_port_addresses(
    options: PlanOptions, node: NodeInfo | None, family: Family
) -> NodePortAddresses:
    """Where NodePorts of a family are accepted; nothing for the family means everywhere.

    The pitfall of DP-51 is meant: IPv6 CIDRs alone leave IPv4 open on every address.
    """
    if options.node_port_addresses is None:
        primary = _primary_address(options, node, family)
        return NodePortAddresses(primary=(primary,) if primary else ())
    cidrs = tuple(cidr for cidr in options.node_port_addresses if cidr.family is family)
    if any(cidr.is_everything for cidr in cidrs):
        return NodePortAddresses()
    return NodePortAddresses(cidrs=cidrs)


def primary_family(options: PlanOptions, node: NodeInfo | None) -> Family:
    """The family of the node's primary address, IPv4 as long as none is known (NODE-3)."""
    chosen = options.bind_address
    if chosen is None or not any(chosen):
        chosen = node.addresses[0] if node and node.addresses else _UNKNOWN[Family.IPV4]
    return next(family for family in FAMILIES if len(chosen) == family.addr_bytes)


def node_address(options: PlanOptions, node: NodeInfo | None, family: Family) -> Addr:
    """The node's address of a family: 127.0.0.1 or ::1 as long as none is known (NODE-3)."""
    chosen = options.bind_address
    if chosen is not None and len(chosen) == family.addr_bytes and any(chosen):
        return chosen
    own = node.address_of(family) if node else None
    return own or _UNKNOWN[family]


def _primary_address(options: PlanOptions, node: NodeInfo | None, family: Family) -> Addr | None:
    """The node's address that the word `primary` stands for, never loopback (DP-52)."""
    addr = node_address(options, node, family)
    return None if any(network.contains(addr) for network in LOOPBACK_NETWORKS) else addr
