"""Random histories of a small cluster, for property tests.

The cluster is small on purpose: three Services, four slices, addresses that everybody wants.
So the same names come back, claims collide, slices change owner, and objects turn bad and good
again, within a few events.
"""

from __future__ import annotations

from hypothesis import strategies as st

from nodeproxy.model.events import Removed, SourceEvent, Upserted
from tests.support.builders import (
    EndpointsBuilder,
    NodeBuilder,
    ServiceBuilder,
    ServiceCIDRBuilder,
    SliceBuilder,
    endpoints,
    node,
    service,
    service_cidr,
    slice_,
)

OWN_NODE = "n1"
SERVICES = ("a", "b", "c")
SLICES = ("s1", "s2", "s3", "s4")
ZONES = ("", "zone-a", "zone-b")

SERVICE_CIDRS = ("kubernetes", "extra")

Builder = ServiceBuilder | SliceBuilder | EndpointsBuilder | NodeBuilder | ServiceCIDRBuilder

_PORTS = st.sampled_from([("", 80), ("http", 80), ("dns", 53)])
_ADDRESSES = st.sampled_from([f"10.0.0.{n}" for n in range(1, 7)])
_WAYS_IN = st.sampled_from(["ip", "ip6", "vip", "vip6", "bad"])
_RANGES = st.sampled_from(
    # The node's address is in one of them (DP-41); two are halves of a third.
    ["192.168.0.0/24", "203.0.113.0/25", "203.0.113.128/25", "203.0.113.0/24", "2001:db8::/32"]
)
_AFFINITY = st.sampled_from([None, None, 10, 60, 10800])
_SERVICE_NETWORKS = st.sampled_from(["10.96.0.0/24", "10.97.0.0/16", "fd00:96::/112"])
_HINTS = st.sampled_from([(), ("zone-a",), ("zone-b",), ("zone-a", "zone-b")])


@st.composite
def services(draw: st.DrawFn) -> ServiceBuilder:
    """One of three Services, with some of everything, now and then unusable."""
    name = draw(st.sampled_from(SERVICES))
    builder = service(name).cluster_ip(f"10.96.0.{ord(name)}", f"fd00:96::{ord(name)}")
    if draw(st.booleans()):
        builder.cluster_ip(f"10.96.0.{ord(name)}")
    for port_name, number in draw(st.lists(_PORTS, max_size=2)):
        builder.port(number, port_name, draw(st.sampled_from(["TCP", "UDP", "QUIC"])))
        if draw(st.booleans()):
            builder.node_port(draw(st.sampled_from([30080, 30081])))
    for way_in in draw(st.lists(_WAYS_IN, max_size=3)):
        if way_in.startswith("vip"):
            text = {"vip": "1.2.3.4", "vip6": "2001:db8:f::4"}[way_in]
            builder.load_balancer_ip(text).health_check(30000)
        else:
            texts = {"ip": "1.2.3.4", "ip6": "2001:db8:f::4", "bad": "nonsense"}
            builder.external_ip(texts[way_in])
    builder.source_range(*draw(st.lists(_RANGES, max_size=2)))
    if (seconds := draw(_AFFINITY)) is not None:
        builder.affinity(seconds)
    builder.spec(
        external_traffic_policy=draw(st.sampled_from(["Cluster", "Local"])),
        internal_traffic_policy=draw(st.sampled_from(["Cluster", "Local", None])),
    )
    return builder


@st.composite
def slices(draw: st.DrawFn) -> SliceBuilder:
    """One of four slices, of any of the Services."""
    v6 = draw(st.booleans())
    builder = slice_(
        draw(st.sampled_from(SLICES)),
        service=draw(st.sampled_from([*SERVICES, None])),
        address_type="IPv6" if v6 else "IPv4",
    )
    for port_name, number in draw(st.lists(_PORTS, min_size=1, max_size=2)):
        builder.port(number + 8000, port_name, draw(st.sampled_from(["TCP", "UDP"])))
    for text in draw(st.lists(_ADDRESSES, max_size=4)):
        builder.endpoint(
            f"fd00::{text.rpartition('.')[2]}" if v6 else text,
            node=draw(st.sampled_from([OWN_NODE, "n2", None])),
            ready=draw(st.sampled_from([True, True, False])),
            serving=draw(st.sampled_from([True, False, None])),
            terminating=draw(st.sampled_from([False, True])),
            zones=draw(_HINTS),
            nodes=draw(st.sampled_from([(), (OWN_NODE,), ("n2",)])),
        )
    return builder


@st.composite
def endpoints_objects(draw: st.DrawFn) -> EndpointsBuilder:
    """The Endpoints object of one of the Services."""
    builder = endpoints(draw(st.sampled_from(SERVICES)))
    for port_name, number in draw(st.lists(_PORTS, max_size=2)):
        builder.subset().port(number + 8000, port_name)
        for text in draw(st.lists(_ADDRESSES, max_size=3)):
            builder.address(text, node=draw(st.sampled_from([OWN_NODE, "n2"])))
    return builder


@st.composite
def nodes(draw: st.DrawFn) -> NodeBuilder:
    """The own Node or another."""
    builder = node(draw(st.sampled_from([OWN_NODE, OWN_NODE, "n2"])))
    builder.internal_ip(draw(st.sampled_from(["192.168.0.2", "192.168.0.2", "192.168.1.2"])))
    return builder.zone(draw(st.sampled_from(ZONES)))


@st.composite
def service_cidrs(draw: st.DrawFn) -> ServiceCIDRBuilder:
    """One of two ServiceCIDRs, which may hold the same networks."""
    builder = service_cidr(draw(st.sampled_from(SERVICE_CIDRS)))
    return builder.cidr(*draw(st.lists(_SERVICE_NETWORKS, max_size=2, unique=True)))


def builders() -> st.SearchStrategy[Builder]:
    """Any object."""
    return st.one_of(
        services(),
        services(),
        slices(),
        slices(),
        endpoints_objects(),
        nodes(),
        service_cidrs(),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[SourceEvent]:
    """Events in the order in which they happened; about one in four is a removal.

    The own Node is never removed: its last known version stays in force (EP-54), so that one
    outcome does depend on history.
    """
    events: list[SourceEvent] = []
    for builder in draw(st.lists(builders(), max_size=14)):
        goes = draw(st.integers(0, 3)) == 0 and not isinstance(builder, NodeBuilder)
        events.append(builder.removed() if goes else builder.upserted())
    return events


def outcome(events: list[SourceEvent]) -> list[Upserted]:
    """The objects that exist after a history, as if they had always been as they are."""
    last = {
        (event.kind, event.namespace, event.name): event
        for event in events
        if isinstance(event, Upserted | Removed)
    }
    return [event for event in last.values() if isinstance(event, Upserted)]


@st.composite
def batches(draw: st.DrawFn, events: list[SourceEvent]) -> list[list[SourceEvent]]:
    """A history cut into rounds, some events told twice."""
    rounds: list[list[SourceEvent]] = [[]]
    for event in events:
        rounds[-1] += [event] * draw(st.sampled_from([1, 1, 2]))
        if draw(st.booleans()):
            rounds.append([])
    return rounds
