"""The chains that do not depend on Services: what every packet meets first and last.

    nat     PREROUTING, OUTPUT -> NP-SERVICES     -> NP-S (tree by address), node's address -> NP-N
            POSTROUTING        -> NP-POSTROUTING  hairpin or marked: masquerade
    filter  INPUT   -> NP-INPUT    -> NP-S, NP-H, NP-EXTERNAL
            FORWARD -> NP-FORWARD  -> accept what belongs to connections, NP-S, NP-EXTERNAL
            OUTPUT  -> NP-OUTPUT   -> NP-S
                       NP-EXTERNAL -> NP-E (tree by address), node's address -> NP-N

NP-S in filter refuses at ClusterIPs and drops sources a load balancer IP does not admit; NP-E and
NP-N refuse at external addresses and NodePorts without endpoints, as the peer not for what the
node sends itself (DP-13); NP-H accepts health checks (DP-59). All six are trees of `dispatch`.
"""

from __future__ import annotations

from nodeproxy.backends.iptables.dispatch import Tree
from nodeproxy.backends.iptables.objects import (
    Accept,
    Chain,
    ClearMark,
    Drop,
    FromInterface,
    FromNetwork,
    InState,
    Jump,
    Local,
    Marked,
    Masquerade,
    Match,
    Return,
    Rule,
    SetMark,
    Table,
    ToItself,
    ToNetwork,
)
from nodeproxy.backends.iptables.settings import LOOPBACK, IptablesOptions, host, opens_loopback
from nodeproxy.model.addresses import Family
from nodeproxy.plan.types import FamilySettings, LocalDetector

SERVICES, NODEPORTS, EXTERNAL, HEALTH = "NP-S", "NP-N", "NP-E", "NP-H"
"""Roots of the trees; `SERVICES` and `NODEPORTS` are in both tables."""

_AS_SENT = InState("INVALID,RELATED,ESTABLISHED,UNTRACKED,DNAT", negate=True)
"""The first packet of a connection that nobody translated: an endpoint may have the address and
port of a frontend that is refused, and what goes there by another Service must pass."""


class Trees:
    """The six trees of one family."""

    # Mutable state: that of the trees.
    def __init__(self, family: Family, options: IptablesOptions) -> None:
        length, leaf = family.addr_bytes, options.leaf_rules
        self.services = Tree(SERVICES, length, leaf)
        self.external = Tree(EXTERNAL, length, leaf)
        self.nodeports = Tree(NODEPORTS, 0, leaf)
        self._all = (
            (Table.NAT, Tree(SERVICES, length, leaf)),
            (Table.NAT, Tree(NODEPORTS, 0, leaf)),
            (Table.FILTER, self.services),
            (Table.FILTER, self.external),
            (Table.FILTER, self.nodeports),
            (Table.FILTER, Tree(HEALTH, 0, leaf)),
        )
        self._by_root = {(table, tree.root): tree for table, tree in self._all}

    def all(self) -> tuple[tuple[Table, Tree], ...]:
        """Every tree, with the table its chains are in."""
        return self._all

    def find(self, table: Table, root: str) -> Tree:
        """The tree of a table with this root."""
        return self._by_root[table, root]

    @property
    def refused(self) -> int:
        """How many places are refused or restricted in the filter table."""
        return len(self.services) + len(self.external) + len(self.nodeports)


def build_frame(
    settings: FamilySettings, options: IptablesOptions
) -> dict[Table, tuple[Chain, ...]]:
    """The fixed chains of both tables."""
    to_nodeports = _to_nodeports(settings, options)
    martians = _martians(settings, options)
    to_services = Rule((_AS_SENT,), Jump(SERVICES))
    to_external = Rule((_AS_SENT,), Jump("NP-EXTERNAL"))
    nat = (
        Chain("NP-SERVICES", (Rule((), Jump(SERVICES)), *to_nodeports)),
        Chain("NP-POSTROUTING", _masquerading(settings)),
    )
    filter_ = (
        Chain("NP-INPUT", (*martians, to_services, Rule((), Jump(HEALTH)), to_external)),
        Chain("NP-FORWARD", (*_forwarding(settings, options), to_services, to_external)),
        Chain("NP-OUTPUT", (*martians, to_services)),
        Chain("NP-EXTERNAL", (Rule((), Jump(EXTERNAL)), *to_nodeports)),
    )
    return {Table.FILTER: filter_, Table.NAT: nat}


def from_pod(detector: LocalDetector, *, negate: bool) -> Match:
    """The test of spec 30 section 4."""
    if detector.cidr is not None:
        return FromNetwork(detector.cidr, negate)
    if detector.interface:
        return FromInterface(detector.interface, is_prefix=False, negate=negate)
    return FromInterface(detector.interface_prefix, is_prefix=True, negate=negate)


def _masquerading(settings: FamilySettings) -> tuple[Rule, ...]:
    """A connection that was sent back to where it came from (DP-23), and those with the mark."""
    bit = settings.masquerade_mark
    to_itself = ToItself(settings.family is Family.IPV6)
    return (
        Rule((InState("DNAT"), to_itself), SetMark(bit)),
        Rule((Marked(bit, negate=True),), Return()),
        Rule((), ClearMark(bit)),
        Rule((), Masquerade()),
    )


def _forwarding(settings: FamilySettings, options: IptablesOptions) -> tuple[Rule, ...]:
    """DP-70; established connections are by far the most, so they are asked for first."""
    invalid = (Rule((InState("INVALID"),), Drop()),) if options.drops_invalid else ()
    return (
        Rule((InState("RELATED,ESTABLISHED"),), Accept()),
        *invalid,
        Rule((Marked(settings.masquerade_mark),), Accept()),
    )


def _martians(settings: FamilySettings, options: IptablesOptions) -> tuple[Rule, ...]:
    """With route_localnet others could reach what listens on loopback only (DP-57)."""
    if not opens_loopback(settings, options):
        return ()
    loopback = LOOPBACK[settings.family]
    unasked = InState("RELATED,ESTABLISHED,DNAT", negate=True)
    return (Rule((FromNetwork(loopback, negate=True), ToNetwork(loopback), unasked), Drop()),)


def _to_nodeports(settings: FamilySettings, options: IptablesOptions) -> tuple[Rule, ...]:
    """How to tell the node's addresses that accept NodePorts (DP-54); the end of a chain.

    The routing table is asked, so addresses that come and go need no change of the rules.
    """
    node_ports, local = settings.node_ports, Local(is_source=False)
    loopback, leaves = LOOPBACK[settings.family], Jump(NODEPORTS)
    is_closed = not opens_loopback(settings, options)
    if node_ports.match_all:
        not_loopback = (ToNetwork(loopback, negate=True),) if is_closed else ()
        return (Rule((*not_loopback, local), leaves),)
    exact = [Rule((ToNetwork(host(addr)),), leaves) for addr in node_ports.primary]
    inside = [Rule((ToNetwork(cidr), local), leaves) for cidr in node_ports.cidrs]
    if is_closed and any(cidr.holds(loopback) or loopback.holds(cidr) for cidr in node_ports.cidrs):
        # A rule has room for one destination only.
        inside.insert(0, Rule((ToNetwork(loopback),), Return()))
    return (*exact, *inside)
