"""Which endpoints answer on this node (spec 10 section 5; TS-401..429, EX-1..10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from nodeproxy.model.addresses import Addr, Family, parse_addr
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.services import ServicePort, TrafficPolicy
from nodeproxy.plan.selection import select
from nodeproxy.plan.types import HintReason, Reason, Selection, Target, Topology

CLUSTER, LOCAL = TrafficPolicy.CLUSTER, TrafficPolicy.LOCAL


@dataclass(frozen=True)
class E:
    """An endpoint 10.1.2.`octet`:80 in shorthand; `state` is R, ST or X as in the spec's table.

    X is neither ready nor serving nor terminating, GONE terminating without serving.
    """

    octet: int
    state: str = "R"
    zones: str = ""
    nodes: str = ""
    local: bool = False

    def endpoint(self) -> Endpoint:
        return Endpoint(
            addr=Addr(bytes([10, 1, 2, self.octet])),
            port=80,
            ready=self.state == "R",
            serving=self.state in ("R", "ST"),
            terminating=self.state in ("ST", "GONE"),
            is_local=self.local,
            zone_hints=tuple(f"zone-{letter}" for letter in self.zones),
            node_hints=tuple(self.nodes.split()),
        )


def port(
    internal: TrafficPolicy = CLUSTER,
    external: TrafficPolicy = CLUSTER,
    *,
    accessible: bool = False,
) -> ServicePort:
    return ServicePort(
        key=ServicePortKey("default", "web", "", Protocol.TCP),
        family=Family.IPV4,
        cluster_ip=parse_addr("10.96.0.10"),
        port=80,
        node_port=30080 if accessible else 0,
        internal_policy=internal,
        external_policy=external,
    )


def choose(
    endpoints: Sequence[E],
    service_port: ServicePort | None = None,
    *,
    node: str = "node-1",
    zone: str = "zone-a",
) -> Selection:
    found = tuple(e.endpoint() for e in endpoints)
    return select(found, service_port or port(), node, zone)


def octets(targets: tuple[Target, ...]) -> list[int]:
    return [target.addr[-1] for target in targets]


@dataclass
class Case:
    """One line of a table: endpoints and policies, and what must come out."""

    endpoints: list[E]
    internal: TrafficPolicy = CLUSTER
    external: TrafficPolicy = CLUSTER
    accessible: bool = False
    node: str = "node-1"
    zone: str = "zone-a"
    cluster: list[int] = field(default_factory=list)
    local: list[int] = field(default_factory=list)
    has_any: bool = True

    def check(self) -> None:
        service_port = port(self.internal, self.external, accessible=self.accessible)
        selection = choose(self.endpoints, service_port, node=self.node, zone=self.zone)
        assert octets(selection.cluster) == self.cluster
        assert octets(selection.local) == self.local
        assert selection.has_any is self.has_any


def four(*, local: str = "", unready: str = "", hints: str = "abca", nodes: str = "") -> list[E]:
    """10.1.2.3 to .6 with a zone hint each ("-" for none); `local`, `unready` name octets."""
    node_hints = nodes.split() or [""] * 4
    return [
        E(
            octet,
            "X" if str(octet) in unready else "R",
            zone.strip("-"),
            node.strip("-"),
            str(octet) in local,
        )
        for octet, zone, node in zip((3, 4, 5, 6), hints, node_hints, strict=True)
    ]


NODES = "node-1 node-2 node-3 node-4"
LR, RR = E(3, local=True), E(4)
LST, RST = E(3, "ST", local=True), E(4, "ST")

SCENARIOS = {
    "TS-401": Case(four(), cluster=[3, 6]),
    "TS-402": Case(four(local="34"), external=LOCAL, accessible=True, cluster=[3, 6], local=[3, 4]),
    "TS-403": Case(four(local="34"), internal=LOCAL, accessible=True, cluster=[3, 6], local=[3, 4]),
    "TS-404 no zone": Case(four(), zone="", cluster=[3, 4, 5, 6]),
    "TS-404 no hint for zone": Case(four(hints="aaaa"), zone="zone-b", cluster=[3, 4, 5, 6]),
    "TS-405": Case(four(unready="6"), cluster=[3]),
    "TS-406": Case(four(unready="36"), cluster=[4, 5]),
    "TS-407": Case(four(hints="ab-a"), cluster=[3, 4, 5, 6]),
    "TS-408": Case(
        [E(3, zones="abc"), E(4, zones="bc"), E(5, zones="bd"), E(6, zones="c")],
        zone="zone-c",
        cluster=[3, 4, 6],
    ),
    "TS-410": Case(four(nodes=NODES), cluster=[3]),
    "TS-411": Case(four(hints="a-ca", nodes="node-1 - node-3 node-4"), cluster=[3, 4, 5, 6]),
    "TS-412": Case(four(nodes=NODES), node="node-0", cluster=[3, 6]),
    "TS-413": Case(
        [
            E(3, zones="a", local=True),
            E(4, zones="b", local=True),
            E(5, zones="a"),
            E(6, zones="b"),
        ],
        external=LOCAL,
        accessible=True,
        cluster=[3, 5],
        local=[3, 4],
    ),
    "TS-414": Case([], internal=LOCAL, has_any=False),
    "TS-415": Case([E(3), E(4)], internal=LOCAL),
    "TS-416 all local": Case([E(3, local=True), E(4, local=True)], internal=LOCAL, local=[3, 4]),
    "TS-416 some local": Case([E(3), E(4, local=True)], internal=LOCAL, local=[4]),
    "TS-417": Case([E(3, "X"), E(4, "X")], has_any=False),
    "TS-418": Case([E(3, "X"), E(4)], cluster=[4]),
    "TS-419": Case([E(3, "ST"), E(4, "ST")], cluster=[3, 4]),
    "TS-420": Case([LR, RR], internal=LOCAL, accessible=True, cluster=[3, 4], local=[3]),
    "TS-421": Case([LR, RR], external=LOCAL, accessible=True, cluster=[3, 4], local=[3]),
    "TS-422": Case(
        [LR, RR], internal=LOCAL, external=LOCAL, accessible=True, cluster=[3, 4], local=[3]
    ),
    "TS-423": Case([E(3), E(4)], internal=LOCAL, external=LOCAL, accessible=True, cluster=[3, 4]),
    "TS-424": Case(
        [E(3, "ST"), E(4, "ST")],
        internal=LOCAL,
        external=LOCAL,
        accessible=True,
        cluster=[3, 4],
    ),
    "TS-425": Case(
        [E(3), E(4, "X", local=True), E(5, "ST", local=True), E(6, "ST")],
        external=LOCAL,
        accessible=True,
        cluster=[3],
        local=[5],
    ),
    "TS-426": Case([LR, RR], external=LOCAL, cluster=[3, 4]),
    "TS-427": Case([LR, RR], internal=LOCAL, local=[3]),
    "TS-428": Case([], has_any=False),
    "TS-429": Case([E(3, "X")], has_any=False),
    "EX-1": Case(four(nodes=NODES), cluster=[3]),
    "EX-2": Case(four(nodes=NODES), node="node-0", cluster=[3, 6]),
    "EX-3": Case(four(hints="a-ca", nodes="node-1 - node-3 node-4"), cluster=[3, 4, 5, 6]),
    "EX-4": Case(four(), zone="", cluster=[3, 4, 5, 6]),
    "EX-5": Case(four(hints="aaaa"), zone="zone-b", cluster=[3, 4, 5, 6]),
    "EX-6": Case(four(unready="36"), cluster=[4, 5]),
    "EX-7": Case(four(unready="6"), cluster=[3]),
    "EX-8": Case(
        [E(3, zones="abc"), E(4, zones="bc"), E(5, zones="bd"), E(6, zones="c")],
        zone="zone-c",
        cluster=[3, 4, 6],
    ),
    "EX-9": Case(four(local="34"), external=LOCAL, accessible=True, cluster=[3, 6], local=[3, 4]),
    "table 1": Case([LR, RR], accessible=True, cluster=[3, 4]),
    "table 2": Case([LST, RST, E(5, "X")], cluster=[3, 4]),
    "table 3": Case([E(3, "X"), E(4, "GONE")], has_any=False),
    "table 4": Case([LST, RR], cluster=[4]),
    "table 5": Case([RR], internal=LOCAL),
    "table 6": Case([LR, RR], internal=LOCAL, local=[3]),
    "table 7": Case([LST, RR], internal=LOCAL, local=[3]),
    "table 8": Case([LR, RR], internal=LOCAL, accessible=True, cluster=[3, 4], local=[3]),
    "table 9": Case([LR, RR], external=LOCAL, accessible=True, cluster=[3, 4], local=[3]),
    "table 10": Case(
        [E(3), E(4, "X", local=True), E(5, "ST", local=True), E(6, "ST")],
        external=LOCAL,
        accessible=True,
        cluster=[3],
        local=[5],
    ),
    "table 11": Case(
        [E(3, "ST"), E(4, "ST")],
        internal=LOCAL,
        external=LOCAL,
        accessible=True,
        cluster=[3, 4],
    ),
    "table 12": Case([LR, RR], external=LOCAL, cluster=[3, 4]),
    "table 13": Case([E(3, "X")], internal=LOCAL, has_any=False),
}


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_pools(case: Case):
    case.check()


def test_published_endpoints_that_are_not_ready_are_ready_to_us():
    """EX-10: publishNotReadyAddresses sets ready also on terminating pods."""
    terminating = Endpoint(parse_addr("10.1.2.3"), 80, True, True, True, False)

    assert octets(select((terminating,), port(), "node-1", "").cluster) == [3]


class TestLocalReachable:
    """EP-49, DP-23: what may have to hairpin on this node."""

    def test_local_endpoints_of_the_cluster_pool_are(self):
        assert octets(choose([LR, RR]).local_reachable) == [3]

    def test_local_endpoints_that_hints_leave_out_are_only_if_the_local_pool_has_them(self):
        """EX-9: .4 is hinted elsewhere but local."""
        with_policy = choose(four(local="34"), port(external=LOCAL, accessible=True))
        without = choose(four(local="34"))

        assert octets(with_policy.local_reachable) == [3, 4]
        assert octets(without.local_reachable) == [3]

    def test_a_union_is_sorted(self):
        """EP-49 [N]; the cluster pool has 5, the local one 3 and 4."""
        endpoints = [
            E(3, "R", "b", local=True),
            E(4, "R", "b", local=True),
            E(5, "R", "a", local=True),
            E(6, "R", "a"),
        ]

        selection = choose(endpoints, port(external=LOCAL, accessible=True))

        assert octets(selection.cluster) == [5, 6]
        assert octets(selection.local_reachable) == [3, 4, 5]

    def test_terminating_ones_that_serve_locally_are(self):
        """TS-425."""
        endpoints = [E(3), E(5, "ST", local=True)]

        selection = choose(endpoints, port(external=LOCAL, accessible=True))

        assert octets(selection.local_reachable) == [5]

    def test_without_local_endpoints_there_are_none(self):
        assert choose([RR]).local_reachable == ()

    def test_with_the_local_pool_alone_it_is_that_pool(self):
        selection = choose([LR, RR], port(internal=LOCAL))

        assert octets(selection.local_reachable) == [3]


class TestSharing:
    """Equal pools are one object: that halves the memory of a big cluster."""

    def test_a_node_that_runs_everything_holds_one_tuple(self):
        selection = choose([LR], port(external=LOCAL, accessible=True))

        assert selection.cluster is selection.local is selection.local_reachable

    def test_the_local_pool_and_what_is_reachable_of_it_are_one(self):
        selection = choose([LR, RR], port(external=LOCAL, accessible=True))

        assert selection.local is selection.local_reachable


class TestReasons:
    @pytest.mark.parametrize(
        ("endpoints", "service_port", "cluster", "local"),
        [
            pytest.param([RR], port(), Reason.READY, Reason.NOT_USED, id="ready"),
            pytest.param([RST], port(), Reason.TERMINATING, Reason.NOT_USED, id="terminating"),
            pytest.param([], port(), Reason.NO_ENDPOINTS, Reason.NOT_USED, id="none"),
            pytest.param([E(3, "X")], port(), Reason.NONE_USABLE, Reason.NOT_USED, id="unusable"),
            pytest.param([RR], port(LOCAL), Reason.NOT_USED, Reason.NONE_LOCAL, id="remote"),
            pytest.param([RST], port(LOCAL), Reason.NOT_USED, Reason.NONE_LOCAL, id="remote ST"),
            pytest.param([LR], port(LOCAL), Reason.NOT_USED, Reason.READY, id="local"),
            pytest.param([LST, RR], port(LOCAL), Reason.NOT_USED, Reason.TERMINATING, id="LST"),
            pytest.param([], port(LOCAL), Reason.NOT_USED, Reason.NO_ENDPOINTS, id="none local"),
            pytest.param(
                [E(3, "X", local=True)],
                port(LOCAL),
                Reason.NOT_USED,
                Reason.NONE_USABLE,
                id="unusable local",
            ),
            pytest.param(
                [E(3, "X", local=True), RR],
                port(external=LOCAL, accessible=True),
                Reason.READY,
                Reason.NONE_LOCAL,
                id="unusable local, ready remote",
            ),
        ],
    )
    def test_each_pool_has_one(
        self, endpoints: list[E], service_port: ServicePort, cluster: Reason, local: Reason
    ):
        selection = choose(endpoints, service_port)

        assert (selection.cluster_reason, selection.local_reason) == (cluster, local)

    @pytest.mark.parametrize(
        ("endpoints", "node", "zone", "topology", "reason"),
        [
            pytest.param(
                four(nodes=NODES),
                "node-1",
                "zone-a",
                Topology.SAME_NODE,
                HintReason.APPLIED,
                id="node",
            ),
            pytest.param(
                four(), "node-1", "zone-a", Topology.SAME_ZONE, HintReason.APPLIED, id="zone"
            ),
            pytest.param(
                four(nodes="node-1 - node-3 node-4"),
                "node-1",
                "zone-a",
                Topology.SAME_ZONE,
                HintReason.APPLIED,
                id="zone although a node hint is missing",
            ),
            pytest.param(
                four(hints="----", nodes=NODES),
                "node-1",
                "",
                Topology.SAME_NODE,
                HintReason.APPLIED,
                id="node without zone",
            ),
            pytest.param(
                four(hints="----"),
                "node-1",
                "zone-a",
                Topology.ANY,
                HintReason.NOT_HINTED,
                id="no hints",
            ),
            pytest.param(
                four(hints="ab-a"),
                "node-1",
                "zone-a",
                Topology.ANY,
                HintReason.SOME_NOT_HINTED,
                id="one without",
            ),
            pytest.param(
                four(), "node-1", "", Topology.ANY, HintReason.NODE_WITHOUT_ZONE, id="no zone"
            ),
            pytest.param(
                four(),
                "node-1",
                "zone-x",
                Topology.ANY,
                HintReason.NO_HINT_FOR_NODE,
                id="another zone",
            ),
            pytest.param(
                four(hints="----", nodes=NODES),
                "node-0",
                "zone-a",
                Topology.ANY,
                HintReason.NO_HINT_FOR_NODE,
                id="another node",
            ),
            pytest.param(
                four(unready="3456"),
                "node-1",
                "zone-a",
                Topology.ANY,
                HintReason.NO_READY_ENDPOINTS,
                id="none ready",
            ),
        ],
    )
    def test_hints_have_one(
        self, endpoints: list[E], node: str, zone: str, topology: Topology, reason: HintReason
    ):
        """EP-50, EP-52."""
        selection = choose(endpoints, node=node, zone=zone)

        assert (selection.topology, selection.hint_reason) == (topology, reason)

    def test_hints_do_not_matter_where_only_the_local_pool_is_used(self):
        """EP-45."""
        selection = choose(four(local="4"), port(LOCAL))

        assert octets(selection.local) == [4]
        assert (selection.topology, selection.hint_reason) == (Topology.ANY, HintReason.NOT_USED)

    def test_hints_of_terminating_endpoints_do_not_matter(self):
        """EP-44: topology is ignored in the fallback."""
        selection = choose([E(3, "ST", "a"), E(4, "ST", "b")])

        assert octets(selection.cluster) == [3, 4]


@pytest.mark.parametrize(
    "service_port",
    [
        ServicePort(
            key=port().key,
            family=Family.IPV4,
            cluster_ip=port().cluster_ip,
            port=80,
            external_policy=LOCAL,
            **way_in,
        )
        for way_in in (
            {"node_port": 30080},
            {"external_ips": (parse_addr("1.2.3.4"),)},
            {"load_balancer_ips": (parse_addr("1.2.3.4"),)},
        )
    ],
    ids=["NodePort", "external IP", "load balancer IP"],
)
def test_any_way_in_makes_the_external_policy_count(service_port: ServicePort):
    """EP-41, EP-43."""
    assert octets(choose([LR, RR], service_port).local) == [3]
