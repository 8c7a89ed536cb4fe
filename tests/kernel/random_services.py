"""Random Services and settings, and random packets to and around them; all from one generator."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from lab.topology import CLUSTER_CIDRS, NODE_ADDRESSES, NODE_OTHER_ADDRESSES
from nodeproxy.model.addresses import FAMILIES, Cidr, Family, parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.types import FamilySettings, LocalDetector, NodePortAddresses
from tests.kernel.surroundings import LOOPBACK, PORTS, Caller, Surroundings
from tests.support.builders import ServiceBuilder, SliceBuilder, node, service, slice_
from tests.support.programming import OWN_NODE
from tests.support.questions import Protocol

SERVICE_CIDRS = ("10.96.0.0/16", "fd00:96::/112")
_SOURCE_RANGES = (
    "192.168.0.0/24", "203.0.113.0/25", "203.0.113.128/25", "10.244.0.0/24", "10.244.0.11/32",
    "2001:db8::/64", "2001:db8:bad::/48", "fd00:10:244::/64", "fd00:10:244:7::12/128",
)  # fmt: skip
_ZONES = ("zone-a", "zone-a", "zone-b")
"""The node is in the first; hints make the local pool another than the node's part of all."""
_SIZES = (0, 0, 1, 1, 2, 2, 3, 4, 5, 7, 12)


class Mood(NamedTuple):
    """What a round is rich in; all but the first are shares."""

    services: int
    affinity: float
    local: float
    """Of Services with externalTrafficPolicy Local."""
    hinted: float
    newcomers: float
    """Of packets that are of no client that was there before."""


MOODS = (Mood(14, 0.3, 0.4, 0.2, 0.6), Mood(4, 1.0, 0.8, 0.8, 0.15))


class Draft(NamedTuple):
    """A Service and where packets to it go."""

    events: list[SourceEvent]
    destinations: list[tuple[Protocol, str, int]]
    """Protocol, address and port of all frontends; "node" stands for any address of the node."""


class Sent(NamedTuple):
    """A packet that somebody sends."""

    caller: Caller
    protocol: Protocol
    destination: str
    port: int

    def __str__(self) -> str:
        return f"{self.caller.address} -> {self.protocol} [{self.destination}]:{self.port}"


def random_settings(rng: Random, family: Family) -> FamilySettings:
    """Settings of every kind."""
    index = FAMILIES.index(family)
    detectors = (
        None,
        LocalDetector(cidr=parse_cidr(CLUSTER_CIDRS[index])),
        LocalDetector(cidr=parse_cidr(("10.244.0.0/24", "fd00:10:244::/64")[index])),
        LocalDetector(interface="pod2"),
        LocalDetector(interface_prefix="pod"),
    )
    addresses = (
        NodePortAddresses(),
        NodePortAddresses(primary=(parse_addr(NODE_ADDRESSES[index]),)),
        NodePortAddresses(cidrs=(parse_cidr(f"{NODE_OTHER_ADDRESSES[index]}/{(24, 64)[index]}"),)),
    )
    known: tuple[Cidr, ...] = (parse_cidr(SERVICE_CIDRS[index]),)
    return FamilySettings(
        family=family,
        masquerade_mark=rng.choice((0x4000, 0x1)),
        masquerade_all=rng.random() < 0.15,
        local_detector=rng.choice(detectors),
        node_ports=rng.choice(addresses),
        service_cidrs=rng.choice(((), known)),
    )


def own_node() -> SourceEvent:
    """The node's own object."""
    own = node(OWN_NODE).zone(_ZONES[0])
    for address in NODE_ADDRESSES:
        own.internal_ip(address)
    return own.upserted()


def random_service(rng: Random, number: int, around: Surroundings, mood: Mood) -> Draft:
    """A Service, up to the fifteenth, with two ports and up to a dozen endpoints of a family."""
    web = service(f"web-{number}").cluster_ip(f"10.96.0.{number}", f"fd00:96::{number:x}")
    ports: list[tuple[Protocol, int, int]] = []
    for protocol, offset in (("tcp", 0), ("udp", 1)):
        port, node_port = rng.choice((80, 443, 8080)), 30000 + 2 * number + offset
        web.port(port, protocol, protocol.upper()).node_port(node_port)
        ports.append(("tcp" if protocol == "tcp" else "udp", port, node_port))
    reached = [f"10.96.0.{number}", f"fd00:96::{number:x}", *_outside(rng, number, web)]
    _policies(rng, web, mood)
    slices = random_endpoints(rng, number, around, mood)
    destinations = [(protocol, a, port) for protocol, port, _ in ports for a in reached]
    destinations += [(protocol, "node", node_port) for protocol, _, node_port in ports] * 2
    return Draft([web.upserted(), *slices], destinations)


def _outside(rng: Random, number: int, web: ServiceBuilder) -> list[str]:
    """External IPs, some of them addresses of the node, and VIPs."""
    reached: list[str] = []
    if rng.random() < 0.5:
        free = (f"198.51.100.{number}", f"2001:db8:e::{number:x}")
        external = rng.choice((free, free, NODE_ADDRESSES, NODE_OTHER_ADDRESSES))
        web.external_ip(*external)
        reached += external
    if rng.random() < 0.5:
        vips = (f"1.2.3.{number}", f"2001:db8:f::{number:x}")
        web.load_balancer_ip(*vips)
        reached += vips
        if rng.random() < 0.5:
            web.source_range(*rng.sample(_SOURCE_RANGES, rng.randint(1, 4)))
    return reached


def _policies(rng: Random, web: ServiceBuilder, mood: Mood) -> None:
    if rng.random() < mood.local:
        web.local()
    if rng.random() < 0.3:
        web.internal_local()
    if rng.random() < mood.affinity:
        web.affinity(rng.choice((600, 10800)))


def random_endpoints(
    rng: Random, number: int, around: Surroundings, mood: Mood
) -> list[SourceEvent]:
    """The endpoints of a Service, in the place of those it may have had."""
    return [built.upserted() for built in _slices(rng, number, around, mood)]


def _slices(rng: Random, number: int, around: Surroundings, mood: Mood) -> Iterator[SliceBuilder]:
    for family in FAMILIES:
        name = f"web-{number}-{family.lower()}"
        found = slice_(name, service=f"web-{number}", address_type=family.value)
        for protocol in ("tcp", "udp"):
            found.port(rng.choice(PORTS), protocol, protocol.upper())
        candidates = around.endpoints[family]
        # Half of the Services keep to the few hosts that are no crowd.
        pool = candidates if rng.random() < 0.5 else candidates[:8]
        hinted = rng.random() < mood.hinted
        for address, where in rng.sample(pool, min(rng.choice(_SIZES), len(pool))):
            zones = (rng.choice(_ZONES),) if hinted else ()
            state = rng.random()
            if hinted or state < 0.8:
                found.endpoint(address, node=where, zones=zones)
            elif state < 0.9:
                found.terminating(address, node=where)
            else:
                found.not_ready(address, node=where)
        yield found


def random_packets(
    rng: Random, around: Surroundings, drafts: list[Draft], mood: Mood, count: int
) -> list[Sent]:
    """Packets, many of clients that come back, to the same frontend or to another."""
    sent: list[tuple[Sent, Draft]] = []
    for _ in range(count):
        fate = rng.random()
        if not sent or fate < mood.newcomers:
            draft = rng.choice(drafts)
            sent.append((random_packet(rng, around, draft), draft))
        elif fate < (1 + mood.newcomers) / 2:
            sent.append(rng.choice(sent))
        else:
            former, draft = rng.choice(sent)
            sent.append((_by(former.caller, random_packet(rng, around, draft)), draft))
    return [packet for packet, _ in sent]


def _by(caller: Caller, packet: Sent) -> Sent:
    """The same packet from this caller, if it can send it; loopback talks to itself only."""
    if packet.caller.family is not caller.family:
        return packet
    is_loopback = not {packet.destination, caller.address}.isdisjoint(LOOPBACK)
    return packet if is_loopback else packet._replace(caller=caller)


def random_packet(rng: Random, around: Surroundings, draft: Draft) -> Sent:
    """A packet to a frontend, or to something that looks like one."""
    protocol, address, port = rng.choice(draft.destinations)
    if address == "node":
        address = rng.choice(around.node_addresses)
    family = Family.IPV6 if ":" in address else Family.IPV4
    strange = rng.random()
    if strange < 0.05:
        port = rng.choice((81, 30999, *PORTS))
    elif strange < 0.08:
        address = rng.choice(around.endpoints[family])[0]
        port = rng.choice((port, *PORTS))
    elif strange < 0.10:
        address = ("10.96.99.99", "fd00:96::9999")[FAMILIES.index(family)]
    elif strange < 0.12:
        loopback = LOOPBACK[FAMILIES.index(family)]
        return Sent(around.node_itself(loopback), protocol, loopback, port)
    elif strange < 0.16:
        protocol, port = "ping", 0
    return Sent(rng.choice(around.callers[family]), protocol, address, port)
