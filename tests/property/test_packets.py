"""What the rules do to packets is what spec 30 says, in each mode, whatever the cluster's past.

Clients connect and come back while objects change, so records of affinity count as well. The
cluster is that of `histories`, but every Service has ports, and slices that know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from nodeproxy.model.addresses import FAMILIES, Family, family_of, parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import FamilySettings, LocalDetector, PlanKey, ServicePortPlan
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import SliceBuilder, slice_
from tests.support.histories import OWN_NODE, SERVICES, batches, nodes, service_cidrs, services
from tests.support.scenarios.levels import IPTABLES_LEVELS, LEVELS
from tests.support.scenarios.model import Dataplane, Host, Packet, Place, Reaches
from tests.support.scenarios.running import MakeDataplane, answer_text

Plans = Mapping[PlanKey, ServicePortPlan]

NODE_ADDRESSES = frozenset(
    parse_addr(text)
    for text in (
        *("192.168.0.2", "192.168.1.2", "1.2.3.4", "127.0.0.1"),
        *("2001:db8::2", "2001:db8:f::4", "::1"),
    )
)


def host(name: str, place: Place, ipv4: str, ipv6: str) -> Host:
    return Host(name, place, parse_addr(ipv4), parse_addr(ipv6))


SENDERS = (
    host("node", Place.NODE, "192.168.0.2", "2001:db8::2"),
    # The load balancer IP as an address of the node (DP-41).
    host("node", Place.NODE, "1.2.3.4", "2001:db8:f::4"),
    host("pod-1", Place.POD_HERE, "10.0.0.1", "fd00::1"),
    host("pod-3", Place.POD_HERE, "10.0.0.3", "fd00::3"),
    host("far", Place.ELSEWHERE, "10.0.0.5", "fd00::5"),
    host("client", Place.ELSEWHERE, "192.168.0.9", "2001:db8::9"),
    host("stranger", Place.ELSEWHERE, "203.0.113.130", "2001:db8:bad::130"),
)
_STRAYS = (
    *("10.96.0.97", "10.96.0.98", "10.96.0.200", "1.2.3.4", "192.168.0.2", "192.168.1.2"),
    *("127.0.0.1", "10.0.0.1", "fd00:96::97", "fd00:96::200", "2001:db8::2", "::1"),
)
_DETECTORS = st.sampled_from(
    [
        None,
        LocalDetector(cidr=parse_cidr("10.0.0.0/29")),
        LocalDetector(cidr=parse_cidr("fd00::/64")),
        LocalDetector(interface="pod-1"),
        LocalDetector(interface_prefix="pod-"),
    ]
)
_OPTIONS = st.builds(
    PlanOptions,
    masquerade_all=st.booleans(),
    node_port_addresses=st.sampled_from(
        [
            None,
            (),
            (parse_cidr("192.168.1.0/24"),),
            (parse_cidr("192.168.1.0/24"), parse_cidr("127.0.0.0/8")),
        ]
    ),
)


@st.composite
def known_slices(draw: st.DrawFn) -> SliceBuilder:
    """A slice with every port a Service may have."""
    v6 = draw(st.booleans())
    owner = draw(st.sampled_from(SERVICES))
    name = f"{owner}-{6 if v6 else 4}-{draw(st.sampled_from('xy'))}"
    builder = slice_(name, service=owner, address_type="IPv6" if v6 else "IPv4")
    for port_name, number in (("", 8080), ("http", 8080), ("dns", 8053)):
        builder.port(number, port_name, "TCP").port(number, port_name, "UDP")
    for n in draw(st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True)):
        builder.endpoint(
            f"fd00::{n}" if v6 else f"10.0.0.{n}",
            node=draw(st.sampled_from([OWN_NODE, "n2"])),
            ready=draw(st.sampled_from([True, True, True, False])),
            serving=True,
            terminating=draw(st.sampled_from([False, False, True])),
            zones=draw(st.sampled_from([("zone-a",), ("zone-b",), ()])),
        )
    return builder


@st.composite
def pasts(draw: st.DrawFn) -> list[SourceEvent]:
    """A cluster that is there, and what happens to it then."""
    builders = [draw(services()) for _ in range(3)]
    events: list[SourceEvent] = [builder.upserted() for builder in builders]
    events += [draw(known_slices()).upserted() for _ in range(4)]
    anything = st.one_of(services(), known_slices(), known_slices(), nodes(), service_cidrs())
    for builder in draw(st.lists(anything, max_size=8)):
        is_removed = draw(st.integers(0, 6)) == 0 and "Node" not in type(builder).__name__
        events.append(builder.removed() if is_removed else builder.upserted())
    return events


@st.composite
def packets(draw: st.DrawFn, plans: Plans, former: list[Packet]) -> Packet:
    """Mostly to a frontend there is, or the same as before."""
    kind = draw(st.integers(0, 7))
    if former and kind > 4:
        return draw(st.sampled_from(former))
    sender = draw(st.sampled_from(SENDERS))
    frontends = [(key.family, f) for key in sorted(plans) for f in plans[key].frontends]
    if frontends and kind:
        family, frontend = draw(st.sampled_from(frontends))
        own = [addr for addr in sorted(NODE_ADDRESSES) if family_of(addr) is family]
        destination = frontend.addr or draw(st.sampled_from(own))
        source = sender.address(family)
        return Packet(sender, source, destination, frontend.protocol, frontend.port)
    destination = parse_addr(draw(st.sampled_from(_STRAYS)))
    transport = draw(st.sampled_from([Protocol.TCP, Protocol.UDP, None]))
    port = draw(st.sampled_from([80, 8080, 30080])) if transport else 0
    source = sender.address(family_of(destination))
    return Packet(sender, source, destination, transport, port)


@pytest.mark.parametrize("levels", [LEVELS, IPTABLES_LEVELS], ids=["nftables", "iptables"])
@settings(deadline=None, max_examples=60)
@given(pasts(), _OPTIONS, _DETECTORS, st.data())
def test_rules_do_to_packets_what_the_specification_says(
    levels: Mapping[str, MakeDataplane],
    events: list[SourceEvent],
    options: PlanOptions,
    detector: LocalDetector | None,
    data: st.DataObject,
):
    state = ClusterState(OWN_NODE)
    planner = Planner(state, options)
    specification, rules = (make(NODE_ADDRESSES) for make in levels.values())
    former: list[Packet] = []

    for batch in data.draw(batches(events)):
        planner.replan(state.apply(batch))
        own_settings = dict(with_detector(planner.settings, detector))
        for dataplane in (specification, rules):
            dataplane.update(planner.plans, own_settings)
        for _ in range(data.draw(st.integers(0, 5))):
            packet = data.draw(packets(planner.plans, former))
            former.append(packet)
            send(packet, specification, rules, data)
        seconds = data.draw(st.sampled_from([0, 0, 20, 20_000]))
        specification.wait(seconds)
        rules.wait(seconds)


def with_detector(
    found: Mapping[Family, FamilySettings], detector: LocalDetector | None
) -> Iterator[tuple[Family, FamilySettings]]:
    """The settings with a way to tell pods, in the families where it has a meaning."""
    for family in FAMILIES:
        fits = detector is None or detector.cidr is None or detector.cidr.family is family
        yield family, replace(found[family], local_detector=detector if fits else None)


def send(packet: Packet, specification: Dataplane, rules: Dataplane, data: st.DataObject) -> None:
    """Compare the answers, then connect."""
    wanted, found = specification.answer(packet), rules.answer(packet)
    assert found == wanted, f"{packet}: {answer_text(found)}, not {answer_text(wanted)}"
    if isinstance(wanted, Reaches):
        targets = sorted(arrival.target for arrival in wanted.arrivals)
        target = data.draw(st.sampled_from(targets))
        specification.connect(packet, target)
        rules.connect(packet, target)
