"""The frame of a table: base chains and the rules that tie its sets and maps together.

    nat prerouting, output                        filter input, forward, output (new connections)
      services                                      nodeport-check   (input)
        drop sources that are not allowed           service-check    refuse what has no endpoint
        mark what needs masquerading                cluster-ip-check refuse unknown ports
        externalTrafficPolicy Local:
          external-policy  -> one of the two picks
        pick-service                              nat postrouting
          affinity: known client?                   masquerading
          @services-4 -> service-4                    marked: masquerade
             draws one of 4 slots, again if empty     hairpin: masquerade
        node's own address: nodeports
          the same with NodePorts                 filter prerouting, output, behind nat
                                                    affinity: remember the client

A frontend is an element of the class set its number of endpoints puts it in, and each of its
endpoints an element of `service-endpoints`, keyed by frontend and slot. A change of Services or
endpoints is a change of elements only; the frame changes with the settings and when a class, or
an affinity timeout, is used for the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nodeproxy.backends.nftables.affinity import REMEMBER, affinity_chains, recall_rule
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
    NetworkInSet,
    Reject,
    Reset,
    Return,
    Rule,
    SetMark,
    Skeleton,
    Statement,
)
from nodeproxy.backends.nftables.sets import (
    ADDRESS_KEY,
    CLUSTER_IPS,
    EXTERNAL_NODEPORTS,
    EXTERNAL_SERVICES,
    HAIRPIN,
    NO_ENDPOINT_NODEPORTS,
    NO_ENDPOINTS,
    NO_LOCAL_ENDPOINT_NODEPORTS,
    NO_LOCAL_ENDPOINTS,
    NODEPORT_KEY,
    POLICY_LOCAL_NODEPORTS,
    POLICY_LOCAL_SERVICES,
    POOL_KEYS,
    RESTRICTED_SERVICES,
    SOURCE_KEY,
    Shape,
    allowed_name,
    sets_for,
)
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool
from nodeproxy.model.addresses import Addr, Cidr, Family, parse_cidr
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.plan.types import FamilySettings, LocalDetector

_ALLOWED_SOURCES = "allowed-sources"
DRAWS = 8
"""How often an empty slot is drawn again before the draw is limited to slots that are filled."""


_NAT_PREROUTING = Hook(
    "nat", nf.NF_INET_PRE_ROUTING, nf.NF_IP_PRI_NAT_DST, "hook prerouting priority dstnat"
)
# nft knows the name dstnat for prerouting only; the number is what it prints for output.
_NAT_OUTPUT = Hook("nat", nf.NF_INET_LOCAL_OUT, nf.NF_IP_PRI_NAT_DST, "hook output priority -100")
_NAT_POSTROUTING = Hook(
    "nat", nf.NF_INET_POST_ROUTING, nf.NF_IP_PRI_NAT_SRC, "hook postrouting priority srcnat"
)
# Behind the translation in the same hook: the destination is the endpoint already.
_TRANSLATED_PREROUTING = Hook(
    "filter",
    nf.NF_INET_PRE_ROUTING,
    nf.NF_IP_PRI_NAT_DST + 10,
    "hook prerouting priority dstnat + 10",
)
_TRANSLATED_OUTPUT = Hook(
    "filter", nf.NF_INET_LOCAL_OUT, nf.NF_IP_PRI_NAT_DST + 10, "hook output priority -90"
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


# New connections whose destination is still the one the client chose. An endpoint may have the
# address and port of a frontend of another Service, as a process of the node's own may.
_AS_SENT = (MatchNewConnection(), MatchTranslated(negate=True))


def build_skeleton(settings: FamilySettings, shape: Shape) -> Skeleton:
    """The frame of one family's table for these settings, and as wide as the shape asks."""
    service_check = Rule((*_AS_SENT, Jump("service-check")))
    cluster_ip_check = Rule((*_AS_SENT, Jump("cluster-ip-check")))
    ordered = sorted(shape.classes)
    has_affinity = bool(shape.timeouts)
    chains = (
        Chain("masquerading", _masquerading(settings.masquerade_mark)),
        Chain("service-check", _refusals(ADDRESS_KEY, NO_ENDPOINTS, NO_LOCAL_ENDPOINTS)),
        Chain(
            "nodeport-check",
            _refusals(NODEPORT_KEY, NO_ENDPOINT_NODEPORTS, NO_LOCAL_ENDPOINT_NODEPORTS),
        ),
        Chain("cluster-ip-check", _unknown_ports(settings)),
        *(_draw_chain(slot_class) for slot_class in ordered),
        *(affinity_chains(shape.timeouts) if has_affinity else ()),
        *(_pick_chain(pool, ordered, has_affinity=has_affinity) for pool in SlotPool),
        _policy_chain(settings, "external-policy", SlotPool.SERVICE, SlotPool.LOCAL_SERVICE),
        _policy_chain(settings, "nodeport-policy", SlotPool.NODEPORT, SlotPool.LOCAL_NODEPORT),
        Chain("nodeports", _nodeports(settings)),
        Chain(_ALLOWED_SOURCES, _allowed_sources(settings.family, shape.prefix_lengths)),
        Chain("services", _services(settings)),
        Chain("nat-prerouting", (Rule((Jump("services"),)),), _NAT_PREROUTING),
        Chain("nat-output", (Rule((Jump("services"),)),), _NAT_OUTPUT),
        Chain("nat-postrouting", (Rule((Jump("masquerading"),)),), _NAT_POSTROUTING),
        Chain("filter-input", (*_nodeport_check(settings), service_check), _FILTER_INPUT),
        Chain("filter-forward", (service_check, cluster_ip_check), _FILTER_FORWARD),
        Chain("filter-output", (service_check, cluster_ip_check), _FILTER_OUTPUT),
        *(_learning_chains() if has_affinity else ()),
    )
    return Skeleton(settings.family, sets_for(shape), chains)


def _draw_chain(slot_class: SlotClass) -> Chain:
    """Draw a slot; more than half of them are filled, and the lower half always is.

    Each draw is uniform over the filled slots. Eight in a row miss at most every 256th time; the
    last draw is limited to the slots that are certainly filled, so it cannot miss.
    """
    pool, slots = slot_class
    certain = slots // 2 + 1
    fields = POOL_KEYS[pool]
    last = Rule((DnatToSlot(fields, min(certain, slots), pool.endpoints),))
    if certain >= slots:
        return Chain(slot_class.chain, (last,))
    draw = Rule((DnatToSlot(fields, slots, pool.endpoints),))
    return Chain(slot_class.chain, (*(draw,) * DRAWS, last), comment="empty slot: draw again")


def _pick_chain(pool: SlotPool, classes: Sequence[SlotClass], *, has_affinity: bool) -> Chain:
    """Find the endpoint of a client known by affinity, then the class of the frontend.

    Comes back if the frontend has no endpoints here.
    """
    rules = [
        Rule((InSet(POOL_KEYS[pool], slot_class.set_name), Goto(slot_class.chain)))
        for slot_class in classes
        if slot_class.pool is pool
    ]
    known = [recall_rule(pool)] if has_affinity else []
    return Chain(pool.pick_chain, (*known, *rules))


def _learning_chains() -> tuple[Chain, ...]:
    """Remember where translation sent a client; by then the packet goes to the endpoint."""
    learn = Rule((MatchNewConnection(), MatchTranslated(), Jump(REMEMBER)))
    return (
        Chain("affinity-prerouting", (learn,), _TRANSLATED_PREROUTING),
        Chain("affinity-output", (learn,), _TRANSLATED_OUTPUT),
    )


def _masquerading(mark: int) -> tuple[Rule, ...]:
    return (
        Rule((MatchMark(mark), ClearMark(mark), Masquerade())),
        Rule((MatchTranslated(), InSet(SOURCE_KEY, HAIRPIN), Masquerade())),
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


def _allowed_sources(family: Family, prefix_lengths: Iterable[int]) -> tuple[Rule, ...]:
    """Come back for sources in a range of the frontend's, drop the others (DP-41).

    A hash lookup for each length of prefix in use; an interval set would answer in one, but taking
    an element out of it cost 7 ms at 1,000 elements.
    """
    found = (
        NetworkInSet(length, ADDRESS_KEY, allowed_name(length))
        if length < family.addr_bytes * 8
        else InSet(SOURCE_KEY, allowed_name(length))
        for length in sorted(prefix_lengths)
    )
    return (*(Rule((match, Return())) for match in found), Rule((Drop(),)))


def _services(settings: FamilySettings) -> tuple[Rule, ...]:
    mark = SetMark(settings.masquerade_mark)
    return (
        Rule((InSet(ADDRESS_KEY, RESTRICTED_SERVICES), Jump(_ALLOWED_SOURCES))),
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
        Rule((*_AS_SENT, *match, Jump("nodeport-check"))) for match in _node_addresses(settings)
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
