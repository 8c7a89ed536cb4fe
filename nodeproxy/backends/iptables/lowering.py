"""From the plan of one service port to its own chains and its places in the trees.

    NP-SVC-*   cluster pool: masquerade mark for the ClusterIP, known clients, a draw per endpoint
    NP-SVL-*   local pool: the same
    NP-EXT-*   whoever comes from outside: marked or not, to one of the two pools (DP-4, DP-5)
    NP-ALLOW-* a load balancer IP with source ranges: who may go on to NP-EXT (DP-41)
    NP-TO-*    an endpoint of a Service with affinity: note the client, translate

Only Services with affinity have a chain for each endpoint; the others translate in the rule that
draws, so an endpoint is one rule. Masquerading hairpins needs no rule for each endpoint either,
see `frame`. Names are hashes of service port and endpoint: the same after a restart, and with them
the lists of clients (DP-64). Sorted backwards, every chain comes before those that lead to it: the
order `transaction` writes them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import msgspec

from nodeproxy.backends.iptables import frame
from nodeproxy.backends.iptables.dispatch import Place, short_hash
from nodeproxy.backends.iptables.frame import from_pod
from nodeproxy.backends.iptables.objects import (
    Accept,
    Chain,
    Chance,
    Dnat,
    Drop,
    FromNetwork,
    Goto,
    Known,
    Local,
    Match,
    Note,
    OfProtocol,
    Reject,
    Reset,
    Rule,
    SetMark,
    Table,
    ToNetwork,
)
from nodeproxy.backends.iptables.settings import host
from nodeproxy.backends.iptables.text import comment_for
from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.keys import Protocol
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    FamilySettings,
    Frontend,
    FrontendKind,
    PoolKind,
    ServicePortPlan,
    Target,
    Treatment,
)


class Entry(msgspec.Struct, frozen=True):
    """What packets to a place meet."""

    table: Table
    root: str
    """Which of the table's trees."""
    place: Place
    rules: tuple[Rule, ...]


class Lowered(msgspec.Struct):
    """Everything that belongs to one service port alone."""

    chains: list[Chain]
    """Of the nat table."""
    entries: list[Entry]


def lower(plan: ServicePortPlan, settings: FamilySettings) -> Lowered:
    """The chains and entries of one service port."""
    return _Lowering(plan, settings).run()


class _Lowering:
    """Collects what one plan needs, frontend by frontend."""

    def __init__(self, plan: ServicePortPlan, settings: FamilySettings) -> None:
        self._plan = plan
        self._settings = settings
        self._is_ipv6 = plan.family is Family.IPV6
        self._protocol = OfProtocol(plan.key.protocol)
        self._identity = f"{plan.key}{plan.key.protocol.name}"
        suffix = short_hash(self._identity)
        self._pool_names = {
            PoolKind.CLUSTER: f"NP-SVC-{suffix}",
            PoolKind.LOCAL: f"NP-SVL-{suffix}",
        }
        self._external = f"NP-EXT-{suffix}"
        self._firewall = f"NP-ALLOW-{suffix}"
        self._comment = comment_for(plan.key)
        self._found = Lowered([], [])

    def run(self) -> Lowered:
        plan = self._plan
        kinds = {frontend.kind for frontend in plan.frontends}
        for frontend in plan.frontends:
            if frontend.kind is FrontendKind.CLUSTER_IP:
                self._internal(frontend)
            else:
                self._from_outside(frontend)
        for kind in PoolKind:
            if plan.pool(kind):
                self._found.chains.append(self._pool(kind, kinds))
        if kinds - {FrontendKind.CLUSTER_IP} and plan.selection.has_any:
            self._found.chains.append(Chain(self._external, tuple(self._external_rules())))
        if FrontendKind.LOAD_BALANCER_IP in kinds and self._is_restricted:
            self._found.chains.append(Chain(self._firewall, tuple(self._firewall_rules())))
        if plan.affinity_seconds:
            self._endpoints()
        self._health_check()
        return self._found

    @property
    def _is_restricted(self) -> bool:
        """Without endpoints everybody is refused alike (DP-43)."""
        return bool(self._plan.source_ranges) and self._plan.selection.has_any

    # -- entries ---------------------------------------------------------------------------------

    def _internal(self, frontend: Frontend) -> None:
        """The ClusterIP: internalTrafficPolicy decides which pool it has (DP-2)."""
        treatment = self._plan.internal_treatment
        if treatment is Treatment.FORWARD:
            chain = self._pool_names[self._plan.internal_pool]
            self._entry(Table.NAT, frame.SERVICES, frontend, (self._rule(Goto(chain)),))
        else:
            self._entry(Table.FILTER, frame.SERVICES, frontend, self._refusal(treatment))

    def _from_outside(self, frontend: Frontend) -> None:
        """Every other frontend: externalTrafficPolicy decides (DP-3..5)."""
        is_nodeport = frontend.kind is FrontendKind.NODE_PORT
        is_restricted = frontend.kind is FrontendKind.LOAD_BALANCER_IP and self._is_restricted
        if self._plan.selection.has_any:
            chain = self._firewall if is_restricted else self._external
            root = frame.NODEPORTS if is_nodeport else frame.SERVICES
            self._entry(Table.NAT, root, frontend, (self._rule(Goto(chain)),))
        if is_restricted:
            not_admitted = (self._rule(Drop()),)
            self._entry(Table.FILTER, frame.SERVICES, frontend, not_admitted)
        treatment = self._plan.external_treatment
        if treatment is not Treatment.FORWARD:
            root = frame.NODEPORTS if is_nodeport else frame.EXTERNAL
            self._entry(Table.FILTER, root, frontend, self._refusal(treatment))

    def _refusal(self, treatment: Treatment) -> tuple[Rule, ...]:
        """TCP by reset, see docs/decisions/0002-refusals-by-reset.md."""
        if treatment is Treatment.DROP:
            return (self._rule(Drop()),)
        is_tcp = self._plan.key.protocol is Protocol.TCP
        return (self._rule(Reset() if is_tcp else Reject(self._is_ipv6)),)

    def _rule(self, target: Goto | Drop | Reset | Reject) -> Rule:
        return Rule((self._comment,), target)

    def _entry(self, table: Table, root: str, frontend: Frontend, rules: tuple[Rule, ...]) -> None:
        place = Place(frontend.addr, frontend.protocol, frontend.port)
        self._found.entries.append(Entry(table, root, place, rules))

    def _health_check(self) -> None:
        """Load balancers may ask, whatever else the node admits (DP-59)."""
        port = self._plan.health_check_node_port
        if port:
            place = Place(_NO_ADDRESS, Protocol.TCP, port)
            comment = comment_for(f"{self._plan.key.service} health check")
            rules = (Rule((comment,), Accept()),)
            self._found.entries.append(Entry(Table.FILTER, frame.HEALTH, place, rules))

    # -- chains ----------------------------------------------------------------------------------

    def _pool(self, kind: PoolKind, kinds: set[FrontendKind]) -> Chain:
        targets = self._plan.pool(kind)
        is_internal = kind is self._plan.internal_pool and FrontendKind.CLUSTER_IP in kinds
        masquerade = self._cluster_ip_masquerade() if is_internal else ()
        draws = self._sticky_draws if self._plan.affinity_seconds else self._draws
        return Chain(self._pool_names[kind], (*masquerade, *draws(targets)))

    def _draws(self, targets: Sequence[Target]) -> Iterator[Rule]:
        for matches, target in zip(
            _draw_matches(self._protocol, len(targets)), targets, strict=True
        ):
            yield Rule(matches, Dnat(target))

    def _sticky_draws(self, targets: Sequence[Target]) -> Iterator[Rule]:
        """Known clients first, in the order of the endpoints (DP-63)."""
        names = [self._endpoint_chain(target) for target in targets]
        for name in names:
            known = Known(name, self._plan.affinity_seconds, self._is_ipv6)
            yield Rule((known,), Goto(name))
        for chances, name in zip(_chances(len(names)), names, strict=True):
            yield Rule(chances, Goto(name))

    def _endpoints(self) -> None:
        """One chain for each endpoint of either pool: they share the lists (DP-65)."""
        pools = (self._plan.pool(kind) for kind in PoolKind)
        for target in dict.fromkeys(target for pool in pools for target in pool):
            name = self._endpoint_chain(target)
            rule = Rule((self._protocol, Note(name, self._is_ipv6)), Dnat(target))
            self._found.chains.append(Chain(name, (rule,)))

    def _endpoint_chain(self, target: Target) -> str:
        return f"NP-TO-{short_hash(f'{self._identity}{target}')}"

    def _cluster_ip_masquerade(self) -> tuple[Rule, ...]:
        """DP-20: everything, or whatever is not from a pod, or nothing."""
        settings = self._settings
        to_cluster_ip = ToNetwork(host(self._plan.cluster_ip))
        mark = SetMark(settings.masquerade_mark)
        if settings.masquerade_all:
            return (Rule((to_cluster_ip,), mark),)
        if settings.local_detector is not None:
            other = from_pod(settings.local_detector, negate=True)
            return (Rule(_in_order(other, to_cluster_ip), mark),)
        return ()

    def _external_rules(self) -> Iterator[Rule]:
        cluster, local = (self._pool_names[kind] for kind in PoolKind)
        mark = SetMark(self._settings.masquerade_mark)
        if self._plan.external_policy is not TrafficPolicy.LOCAL:
            yield Rule((), mark)
            if self._plan.selection.cluster:
                yield Rule((), Goto(cluster))
            return
        if self._plan.selection.cluster:
            if self._settings.local_detector is not None:
                yield Rule((from_pod(self._settings.local_detector, negate=False),), Goto(cluster))
            yield Rule((Local(is_source=True),), mark)
            yield Rule((Local(is_source=True),), Goto(cluster))
        if self._plan.selection.local:
            yield Rule((), Goto(local))

    def _firewall_rules(self) -> Iterator[Rule]:
        """Whoever finds no rule keeps the load balancer IP as destination, and is dropped."""
        for network in self._plan.source_ranges:
            yield Rule((FromNetwork(network),), Goto(self._external))
        if self._plan.admits_vips:
            for frontend in self._plan.frontends:
                if frontend.kind is FrontendKind.LOAD_BALANCER_IP:
                    yield Rule((FromNetwork(host(frontend.addr)),), Goto(self._external))


@cache
def _chances(number: int) -> tuple[tuple[Match, ...], ...]:
    """For each of `number` rules, what lets it be chosen as often as any other (DP-60)."""
    return (*((Chance(number - index),) for index in range(number - 1)), ())


@cache
def _draw_matches(protocol: OfProtocol, number: int) -> tuple[tuple[Match, ...], ...]:
    return tuple((protocol, *chance) for chance in _chances(number))


def _in_order(source: Match, destination: ToNetwork) -> tuple[Match, Match]:
    """The order of iptables-save: source, destination, interface."""
    if isinstance(source, FromNetwork):
        return (source, destination)
    return (destination, source)


_NO_ADDRESS = Addr(b"")
