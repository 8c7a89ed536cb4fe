"""The fixed part of a table: sets, maps, base chains and the rules that tie them together.

    nat prerouting, output                       filter input, forward, output (new connections)
      services                                     nodeport-check   (input)
        mark ClusterIP traffic that needs it       service-check    refuse what has no endpoint
        vmap @service-ips ----> service-N          cluster-ip-check refuse unknown ports
             |                  external-N
             +----------------> external-local   nat postrouting
        node's own address                         masquerading
          nodeports                                  marked: masquerade
            vmap @service-nodeports > nodeport-N     hairpin: masquerade

`service-N` picks one of N slots: `dnat to (address . protocol . port . random slot) map
@service-endpoints`. A chain exists for each number of slots that is in use, so a change of
endpoints is a change of map elements only, whatever the number of Services.

Every frontend with externalTrafficPolicy Local shares one policy chain, which looks the frontend
up again among those with a cluster pool or a local pool (DP-5).
"""

from __future__ import annotations

from nodeproxy.backends.nftables.objects import (
    Chain,
    ClearMark,
    DnatToSlot,
    Drop,
    Field,
    Goto,
    Hook,
    InSet,
    Jump,
    Masquerade,
    MatchAddress,
    MatchInterface,
    MatchLocal,
    MatchMark,
    MatchNewConnection,
    MatchTcp,
    MatchTranslated,
    Reject,
    Reset,
    Rule,
    SetMark,
    SetSpec,
    Skeleton,
    Statement,
    ValueKind,
    VerdictMap,
)
from nodeproxy.model.addresses import Addr, Cidr, Family, parse_cidr
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.plan.types import FamilySettings, LocalDetector

# Sets and maps. A key that begins with an address is a frontend reached by address; the maps of
# NodePorts have no address, so they are not multiplied by the addresses of the node.
CLUSTER_IPS = "cluster-ips"
SERVICE_IPS = "service-ips"
SERVICE_NODEPORTS = "service-nodeports"
SERVICE_ENDPOINTS = "service-endpoints"
NODEPORT_ENDPOINTS = "nodeport-endpoints"
EXTERNAL_CLUSTER = "external-cluster"
EXTERNAL_LOCAL = "external-local"
NODEPORT_CLUSTER = "nodeport-cluster"
NODEPORT_LOCAL = "nodeport-local"
LOCAL_ENDPOINTS = "local-endpoints"
LOCAL_NODEPORT_ENDPOINTS = "local-nodeport-endpoints"
NO_ENDPOINTS = "no-endpoint-services"
NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports"
NO_LOCAL_ENDPOINTS = "no-local-endpoint-services"
NO_LOCAL_ENDPOINT_NODEPORTS = "no-local-endpoint-nodeports"
HAIRPIN = "hairpin-connections"

# Chains that elements refer to; the ones ending in a dash get the number of slots appended.
EXTERNAL_POLICY_CHAIN = "external-policy-local"
NODEPORT_POLICY_CHAIN = "nodeport-policy-local"
SERVICE_CHAIN = "service-"
EXTERNAL_CHAIN = "external-"
LOCAL_CHAIN = "local-"
NODEPORT_CHAIN = "nodeport-"
NODEPORT_CLUSTER_CHAIN = "nodeport-cluster-"
NODEPORT_LOCAL_CHAIN = "nodeport-local-"

ADDRESS_KEY = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
NODEPORT_KEY = (Field.PROTOCOL, Field.PORT)

SETS = (
    SetSpec(CLUSTER_IPS, (Field.DESTINATION,), ValueKind.NOTHING, "ClusterIPs of Services"),
    SetSpec(SERVICE_IPS, ADDRESS_KEY, ValueKind.VERDICT, "frontends reached by an address"),
    SetSpec(SERVICE_NODEPORTS, NODEPORT_KEY, ValueKind.VERDICT, "NodePorts"),
    SetSpec(SERVICE_ENDPOINTS, ADDRESS_KEY, ValueKind.ENDPOINT, "frontend and slot to endpoint"),
    SetSpec(NODEPORT_ENDPOINTS, NODEPORT_KEY, ValueKind.ENDPOINT, "NodePort and slot to endpoint"),
    SetSpec(
        EXTERNAL_CLUSTER, ADDRESS_KEY, ValueKind.VERDICT, "policy Local: for pods and the node"
    ),
    SetSpec(EXTERNAL_LOCAL, ADDRESS_KEY, ValueKind.VERDICT, "policy Local: for everybody else"),
    SetSpec(
        NODEPORT_CLUSTER, NODEPORT_KEY, ValueKind.VERDICT, "policy Local: for pods and the node"
    ),
    SetSpec(NODEPORT_LOCAL, NODEPORT_KEY, ValueKind.VERDICT, "policy Local: for everybody else"),
    SetSpec(
        LOCAL_ENDPOINTS, ADDRESS_KEY, ValueKind.ENDPOINT, "policy Local: endpoints on this node"
    ),
    SetSpec(
        LOCAL_NODEPORT_ENDPOINTS,
        NODEPORT_KEY,
        ValueKind.ENDPOINT,
        "policy Local: endpoints on this node",
    ),
    SetSpec(NO_ENDPOINTS, ADDRESS_KEY, ValueKind.NOTHING, "refused: no endpoints"),
    SetSpec(NO_ENDPOINT_NODEPORTS, NODEPORT_KEY, ValueKind.NOTHING, "refused: no endpoints"),
    SetSpec(NO_LOCAL_ENDPOINTS, ADDRESS_KEY, ValueKind.NOTHING, "dropped: none on this node"),
    SetSpec(
        NO_LOCAL_ENDPOINT_NODEPORTS, NODEPORT_KEY, ValueKind.NOTHING, "dropped: none on this node"
    ),
    SetSpec(
        HAIRPIN,
        (Field.SOURCE, *ADDRESS_KEY),
        ValueKind.NOTHING,
        "endpoints on this node that may reach themselves",
    ),
)

SETS_BY_NAME = {spec.name: spec for spec in SETS}

_NAT_PREROUTING = Hook(
    "nat", nf.NF_INET_PRE_ROUTING, nf.NF_IP_PRI_NAT_DST, "hook prerouting priority dstnat"
)
# nft knows the name dstnat for prerouting only; the number is what it prints for output.
_NAT_OUTPUT = Hook("nat", nf.NF_INET_LOCAL_OUT, nf.NF_IP_PRI_NAT_DST, "hook output priority -100")
_NAT_POSTROUTING = Hook(
    "nat", nf.NF_INET_POST_ROUTING, nf.NF_IP_PRI_NAT_SRC, "hook postrouting priority srcnat"
)
_FILTER_INPUT = Hook(
    "filter", nf.NF_INET_LOCAL_IN, nf.NF_IP_PRI_FILTER, "hook input priority filter"
)
_FILTER_FORWARD = Hook(
    "filter", nf.NF_INET_FORWARD, nf.NF_IP_PRI_FILTER, "hook forward priority filter"
)
_FILTER_OUTPUT = Hook(
    "filter", nf.NF_INET_LOCAL_OUT, nf.NF_IP_PRI_FILTER, "hook output priority filter"
)

_LOOPBACK = {Family.IPV4: parse_cidr("127.0.0.0/8"), Family.IPV6: parse_cidr("::1/128")}


def build_skeleton(settings: FamilySettings) -> Skeleton:
    """The fixed part of one family's table for these settings."""
    service_check = Rule((MatchNewConnection(), Jump("service-check")))
    cluster_ip_check = Rule((MatchNewConnection(), Jump("cluster-ip-check")))
    chains = (
        Chain("masquerading", _masquerading(settings.masquerade_mark)),
        Chain("service-check", _refusals(ADDRESS_KEY, NO_ENDPOINTS, NO_LOCAL_ENDPOINTS)),
        Chain(
            "nodeport-check",
            _refusals(NODEPORT_KEY, NO_ENDPOINT_NODEPORTS, NO_LOCAL_ENDPOINT_NODEPORTS),
        ),
        Chain("cluster-ip-check", _unknown_ports(settings)),
        Chain(
            EXTERNAL_POLICY_CHAIN,
            _policy_local(settings, ADDRESS_KEY, EXTERNAL_CLUSTER, EXTERNAL_LOCAL),
            comment="externalTrafficPolicy Local",
        ),
        Chain(
            NODEPORT_POLICY_CHAIN,
            _policy_local(settings, NODEPORT_KEY, NODEPORT_CLUSTER, NODEPORT_LOCAL),
            comment="externalTrafficPolicy Local",
        ),
        Chain("nodeports", (Rule((VerdictMap(NODEPORT_KEY, SERVICE_NODEPORTS),)),)),
        Chain("services", _services(settings)),
        Chain("nat-prerouting", (Rule((Jump("services"),)),), _NAT_PREROUTING),
        Chain("nat-output", (Rule((Jump("services"),)),), _NAT_OUTPUT),
        Chain("nat-postrouting", (Rule((Jump("masquerading"),)),), _NAT_POSTROUTING),
        Chain("filter-input", (*_nodeport_check(settings), service_check), _FILTER_INPUT),
        Chain("filter-forward", (service_check, cluster_ip_check), _FILTER_FORWARD),
        Chain("filter-output", (service_check, cluster_ip_check), _FILTER_OUTPUT),
    )
    return Skeleton(settings.family, SETS, chains)


def slot_chain(name: str, settings: FamilySettings) -> Chain:
    """The chain `service-7` and its like: pick one of as many slots as the name says."""
    prefix, _, digits = name.rpartition("-")
    slots = int(digits)
    mark = SetMark(settings.masquerade_mark)
    match prefix + "-":
        case "service-":
            return Chain(name, (_dnat(ADDRESS_KEY, slots, SERVICE_ENDPOINTS),))
        case "external-":
            rule = Rule((mark, Goto(f"{SERVICE_CHAIN}{slots}")))
            return Chain(name, (rule,), comment="from outside: masquerade")
        case "local-":
            return Chain(name, (_dnat(ADDRESS_KEY, slots, LOCAL_ENDPOINTS),))
        case "nodeport-":
            rule = Rule((mark, Goto(f"{NODEPORT_CLUSTER_CHAIN}{slots}")))
            return Chain(name, (rule,), comment="from outside: masquerade")
        case "nodeport-cluster-":
            return Chain(name, (_dnat(NODEPORT_KEY, slots, NODEPORT_ENDPOINTS),))
        case "nodeport-local-":
            return Chain(name, (_dnat(NODEPORT_KEY, slots, LOCAL_NODEPORT_ENDPOINTS),))
        case _:
            raise ValueError(f"{name} is not the name of a slot chain")


def slot_chains_for(name: str) -> tuple[str, ...]:
    """A slot chain and what it refers to, in the order of creation."""
    prefix, _, digits = name.rpartition("-")
    match prefix + "-":
        case "external-":
            return (f"{SERVICE_CHAIN}{digits}", name)
        case "nodeport-":
            return (f"{NODEPORT_CLUSTER_CHAIN}{digits}", name)
        case _:
            return (name,)


def is_slot_chain(name: str) -> bool:
    """True for the chains that exist per number of slots."""
    return name.rpartition("-")[2].isdecimal()


def _dnat(fields: tuple[Field, ...], slots: int, map_name: str) -> Rule:
    return Rule((DnatToSlot(fields, slots, map_name),))


def _masquerading(mark: int) -> tuple[Rule, ...]:
    hairpin = (Field.SOURCE, *ADDRESS_KEY)
    return (
        Rule((MatchMark(mark), ClearMark(mark), Masquerade())),
        Rule((MatchTranslated(), InSet(hairpin, HAIRPIN), Masquerade())),
    )


def _refusals(fields: tuple[Field, ...], rejected: str, dropped: str) -> tuple[Rule, ...]:
    return (*_refuse(InSet(fields, rejected)), Rule((InSet(fields, dropped), Drop())))


def _refuse(match: InSet) -> tuple[Rule, ...]:
    """Refuse at once, over IPv6 too: see docs/decisions/0002-refusals-by-reset.md (DP-8)."""
    return (Rule((MatchTcp(), match, Reset())), Rule((match, Reject())))


def _unknown_ports(settings: FamilySettings) -> tuple[Rule, ...]:
    """Refuse ports a ClusterIP does not have (DP-10), drop unallocated addresses (DP-11)."""
    known = _refuse(InSet((Field.DESTINATION,), CLUSTER_IPS))
    unallocated = (
        Rule((MatchAddress(Field.DESTINATION, cidr), Drop()), "address without a Service")
        for cidr in settings.service_cidrs
    )
    return (*known, *unallocated)


def _policy_local(
    settings: FamilySettings, fields: tuple[Field, ...], cluster: str, local: str
) -> tuple[Rule, ...]:
    """DP-5 in its order: pods, the node itself, everybody else."""
    rules = []
    if settings.local_detector is not None:
        from_pod = _from_pod(settings.local_detector, negate=False)
        rules.append(Rule((from_pod, VerdictMap(fields, cluster)), "from a pod of this node"))
    mark = SetMark(settings.masquerade_mark)
    rules.append(
        Rule((MatchLocal(Field.SOURCE), mark, VerdictMap(fields, cluster)), "from the node")
    )
    rules.append(Rule((VerdictMap(fields, local),)))
    return tuple(rules)


def _services(settings: FamilySettings) -> tuple[Rule, ...]:
    rules = [Rule((*match, Jump("nodeports"))) for match in _node_addresses(settings)]
    return (
        *_cluster_ip_masquerade(settings),
        Rule((VerdictMap(ADDRESS_KEY, SERVICE_IPS),)),
        *rules,
    )


def _cluster_ip_masquerade(settings: FamilySettings) -> tuple[Rule, ...]:
    """DP-20: everything, or whatever is not from a pod, or nothing."""
    to_cluster_ip = InSet((Field.DESTINATION,), CLUSTER_IPS)
    mark = SetMark(settings.masquerade_mark)
    if settings.masquerade_all:
        return (Rule((to_cluster_ip, mark), "masquerade all"),)
    if settings.local_detector is not None:
        not_from_pod = _from_pod(settings.local_detector, negate=True)
        return (Rule((to_cluster_ip, not_from_pod, mark), "not from a pod of this node"),)
    return ()


def _from_pod(detector: LocalDetector, *, negate: bool) -> Statement:
    if detector.cidr is not None:
        return MatchAddress(Field.SOURCE, detector.cidr, negate)
    if detector.interface:
        return MatchInterface(detector.interface, is_prefix=False, negate=negate)
    return MatchInterface(detector.interface_prefix, is_prefix=True, negate=negate)


def _nodeport_check(settings: FamilySettings) -> tuple[Rule, ...]:
    return tuple(
        Rule((MatchNewConnection(), *match, Jump("nodeport-check")))
        for match in _node_addresses(settings)
    )


def _node_addresses(settings: FamilySettings) -> list[tuple[Statement, ...]]:
    """How to tell the node's addresses that accept NodePorts (DP-54).

    The routing table is asked for each new connection, so addresses that come and go need no
    change of the rules. Loopback never counts.
    """
    family, node_ports = settings.family, settings.node_ports
    local = MatchLocal(Field.DESTINATION)
    not_loopback = MatchAddress(Field.DESTINATION, _LOOPBACK[family], negate=True)
    if node_ports.match_all:
        return [(local, not_loopback)]
    exact: list[tuple[Statement, ...]] = [
        (MatchAddress(Field.DESTINATION, _host(addr)),) for addr in node_ports.primary
    ]
    networks: list[tuple[Statement, ...]] = [
        (MatchAddress(Field.DESTINATION, cidr), local, not_loopback) for cidr in node_ports.cidrs
    ]
    return exact + networks


def _host(addr: Addr) -> Cidr:
    return Cidr(addr, len(addr) * 8)
