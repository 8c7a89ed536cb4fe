"""The frame of a table: sets, maps, base chains and the rules that tie them together.

    nat prerouting, output                        filter input, forward, output (new connections)
      services                                      nodeport-check   (input)
        mark what needs masquerading                service-check    refuse what has no endpoint
        externalTrafficPolicy Local:                cluster-ip-check refuse unknown ports
          external-policy  -> one of the two picks
        pick-service                              nat postrouting
          @services-4 -> service-4                  masquerading
             draws one of 4 slots, again if empty     marked: masquerade
        node's own address: nodeports                 hairpin: masquerade
          the same with NodePorts

A frontend is an element of the class set its number of endpoints puts it in, and each of its
endpoints an element of `service-endpoints`, keyed by frontend and slot. A change of Services or
endpoints is a change of elements only; the frame changes with the settings and when a class is
used for the first time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

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
)
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool
from nodeproxy.model.addresses import Addr, Cidr, Family, parse_cidr
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.plan.types import FamilySettings, LocalDetector

# Sets. A key that begins with an address is a frontend reached by address; the sets of NodePorts
# have no address, so they are not multiplied by the addresses of the node.
CLUSTER_IPS = "cluster-ips"
EXTERNAL_SERVICES = "external-services"
EXTERNAL_NODEPORTS = "external-nodeports"
POLICY_LOCAL_SERVICES = "policy-local-services"
POLICY_LOCAL_NODEPORTS = "policy-local-nodeports"
NO_ENDPOINTS = "no-endpoint-services"
NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports"
NO_LOCAL_ENDPOINTS = "no-local-endpoint-services"
NO_LOCAL_ENDPOINT_NODEPORTS = "no-local-endpoint-nodeports"
HAIRPIN = "hairpin-connections"

ADDRESS_KEY = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
NODEPORT_KEY = (Field.PROTOCOL, Field.PORT)
_HAIRPIN_KEY = (Field.SOURCE, *ADDRESS_KEY)
_POOLS_BY_NAME = {pool.value: pool for pool in SlotPool}
_POOL_KEYS = {
    SlotPool.SERVICE: ADDRESS_KEY,
    SlotPool.LOCAL_SERVICE: ADDRESS_KEY,
    SlotPool.NODEPORT: NODEPORT_KEY,
    SlotPool.LOCAL_NODEPORT: NODEPORT_KEY,
}


def _plain(name: str, fields: tuple[Field, ...], comment: str) -> SetSpec:
    return SetSpec(name, fields, ValueKind.NOTHING, comment)


_FIXED_SETS = (
    _plain(CLUSTER_IPS, (Field.DESTINATION,), "ClusterIPs of Services"),
    _plain(EXTERNAL_SERVICES, ADDRESS_KEY, "reached from outside: masquerade"),
    _plain(EXTERNAL_NODEPORTS, NODEPORT_KEY, "reached from outside: masquerade"),
    _plain(POLICY_LOCAL_SERVICES, ADDRESS_KEY, "externalTrafficPolicy Local"),
    _plain(POLICY_LOCAL_NODEPORTS, NODEPORT_KEY, "externalTrafficPolicy Local"),
    _plain(NO_ENDPOINTS, ADDRESS_KEY, "refused: no endpoints"),
    _plain(NO_ENDPOINT_NODEPORTS, NODEPORT_KEY, "refused: no endpoints"),
    _plain(NO_LOCAL_ENDPOINTS, ADDRESS_KEY, "dropped: none on this node"),
    _plain(NO_LOCAL_ENDPOINT_NODEPORTS, NODEPORT_KEY, "dropped: none on this node"),
    _plain(HAIRPIN, _HAIRPIN_KEY, "endpoints on this node that may reach themselves"),
    *(
        SetSpec(pool.endpoints, fields, ValueKind.ENDPOINT, "frontend and slot to endpoint")
        for pool, fields in _POOL_KEYS.items()
    ),
)
_FIXED_SETS_BY_NAME = {spec.name: spec for spec in _FIXED_SETS}

DRAWS = 8
"""How often an empty slot is drawn again before the draw is limited to slots that are filled."""


def class_set(slot_class: SlotClass) -> SetSpec:
    """The set of the frontends in a class."""
    least = slot_class.slots // 2 + 1
    count = str(least) if least >= slot_class.slots else f"{least} to {slot_class.slots}"
    return _plain(
        slot_class.set_name, _POOL_KEYS[slot_class.pool], f"frontends by endpoints: {count}"
    )


def set_spec(name: str) -> SetSpec | None:
    """The declaration of a set of ours, by its name; None for a name we never use."""
    if name in _FIXED_SETS_BY_NAME:
        return _FIXED_SETS_BY_NAME[name]
    slot_class = parse_class(name)
    return class_set(slot_class) if slot_class else None


@lru_cache(maxsize=256)
def parse_class(set_name: str) -> SlotClass | None:
    """The class whose set has this name; None if it is no class set."""
    prefix, _, digits = set_name.rpartition("s-")
    is_power = digits.isascii() and digits.isdecimal() and int(digits).bit_count() == 1
    pool = _POOLS_BY_NAME.get(prefix)
    return SlotClass(pool, int(digits)) if pool and is_power else None


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


def build_skeleton(settings: FamilySettings, classes: Collection[SlotClass]) -> Skeleton:
    """The frame of one family's table for these settings and slot classes."""
    service_check = Rule((MatchNewConnection(), Jump("service-check")))
    cluster_ip_check = Rule((MatchNewConnection(), Jump("cluster-ip-check")))
    ordered = sorted(classes)
    chains = (
        Chain("masquerading", _masquerading(settings.masquerade_mark)),
        Chain("service-check", _refusals(ADDRESS_KEY, NO_ENDPOINTS, NO_LOCAL_ENDPOINTS)),
        Chain(
            "nodeport-check",
            _refusals(NODEPORT_KEY, NO_ENDPOINT_NODEPORTS, NO_LOCAL_ENDPOINT_NODEPORTS),
        ),
        Chain("cluster-ip-check", _unknown_ports(settings)),
        *(_draw_chain(slot_class) for slot_class in ordered),
        *(_pick_chain(pool, ordered) for pool in SlotPool),
        _policy_chain(settings, "external-policy", SlotPool.SERVICE, SlotPool.LOCAL_SERVICE),
        _policy_chain(settings, "nodeport-policy", SlotPool.NODEPORT, SlotPool.LOCAL_NODEPORT),
        Chain("nodeports", _nodeports(settings)),
        Chain("services", _services(settings)),
        Chain("nat-prerouting", (Rule((Jump("services"),)),), _NAT_PREROUTING),
        Chain("nat-output", (Rule((Jump("services"),)),), _NAT_OUTPUT),
        Chain("nat-postrouting", (Rule((Jump("masquerading"),)),), _NAT_POSTROUTING),
        Chain("filter-input", (*_nodeport_check(settings), service_check), _FILTER_INPUT),
        Chain("filter-forward", (service_check, cluster_ip_check), _FILTER_FORWARD),
        Chain("filter-output", (service_check, cluster_ip_check), _FILTER_OUTPUT),
    )
    sets = (*_FIXED_SETS, *(class_set(slot_class) for slot_class in ordered))
    return Skeleton(settings.family, sets, chains)


def _draw_chain(slot_class: SlotClass) -> Chain:
    """Draw a slot; more than half of them are filled, and the lower half always is.

    Each draw is uniform over the filled slots. Eight in a row miss at most every 256th time; the
    last draw is limited to the slots that are certainly filled, so it cannot miss.
    """
    pool, slots = slot_class
    certain = slots // 2 + 1
    fields = _POOL_KEYS[pool]
    last = Rule((DnatToSlot(fields, min(certain, slots), pool.endpoints),))
    if certain >= slots:
        return Chain(slot_class.chain, (last,))
    draw = Rule((DnatToSlot(fields, slots, pool.endpoints),))
    return Chain(slot_class.chain, (*(draw,) * DRAWS, last), comment="empty slot: draw again")


def _pick_chain(pool: SlotPool, classes: Sequence[SlotClass]) -> Chain:
    """Find the class of the frontend; come back if it has no endpoints here."""
    rules = (
        Rule((InSet(_POOL_KEYS[pool], slot_class.set_name), Goto(slot_class.chain)))
        for slot_class in classes
        if slot_class.pool is pool
    )
    return Chain(pool.pick_chain, tuple(rules))


def _masquerading(mark: int) -> tuple[Rule, ...]:
    return (
        Rule((MatchMark(mark), ClearMark(mark), Masquerade())),
        Rule((MatchTranslated(), InSet(_HAIRPIN_KEY, HAIRPIN), Masquerade())),
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


def _policy_chain(settings: FamilySettings, name: str, cluster: SlotPool, local: SlotPool) -> Chain:
    """DP-5 in its order: pods, the node itself, everybody else."""
    rules = []
    if settings.local_detector is not None:
        from_pod = _from_pod(settings.local_detector, negate=False)
        rules.append(Rule((from_pod, Goto(cluster.pick_chain)), "from a pod of this node"))
    mark = SetMark(settings.masquerade_mark)
    from_node = (MatchLocal(Field.SOURCE), mark, Goto(cluster.pick_chain))
    rules.append(Rule(from_node, "from the node"))
    rules.append(Rule((Goto(local.pick_chain),)))
    return Chain(name, tuple(rules), comment="externalTrafficPolicy Local")


def _services(settings: FamilySettings) -> tuple[Rule, ...]:
    mark = SetMark(settings.masquerade_mark)
    return (
        *_cluster_ip_masquerade(settings),
        Rule((InSet(ADDRESS_KEY, POLICY_LOCAL_SERVICES), Goto("external-policy"))),
        Rule((InSet(ADDRESS_KEY, EXTERNAL_SERVICES), mark)),
        Rule((Jump(SlotPool.SERVICE.pick_chain),)),
        *(Rule((*match, Jump("nodeports"))) for match in _node_addresses(settings)),
    )


def _nodeports(settings: FamilySettings) -> tuple[Rule, ...]:
    mark = SetMark(settings.masquerade_mark)
    return (
        Rule((InSet(NODEPORT_KEY, POLICY_LOCAL_NODEPORTS), Goto("nodeport-policy"))),
        Rule((InSet(NODEPORT_KEY, EXTERNAL_NODEPORTS), mark)),
        Rule((Goto(SlotPool.NODEPORT.pick_chain),)),
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
