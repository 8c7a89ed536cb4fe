"""The fixture of spec 50 section 1: 69 flows, of which exactly the stale ones go (TS-701)."""

from __future__ import annotations

import itertools

from lab.conntrack import Entry
from nodeproxy.model.addresses import Family, parse_cidr
from nodeproxy.model.events import SourceEvent
from tests.support.builders import node, service, slice_, upserted
from tests.support.cleaning import CleanedNode
from tests.support.fake_conntrack import FakeConntrack

CLUSTER_IP, VIP, EXTERNAL_IP = "172.30.1.1", "1.2.3.4", "192.168.99.100"
SERVICE_IPS = (CLUSTER_IP, VIP, EXTERNAL_IP)
PORT, OTHER_PORT, NODE_PORT = 8000, 3000, 32000
NODE_ADDRESS = "192.168.0.2"
SERVING, NOT_SERVING, GONE = "10.240.0.4", "10.240.1.5", "10.240.2.6"
TARGET_PORT, OLD_TARGET_PORT = 9090, 8080

_clients = itertools.count(1024)


def flow(to: tuple[str, int], by: tuple[str, int], protocol: str = "udp") -> Entry:
    return Entry.to(to, by, client=("203.0.113.2", next(_clients)), protocol=protocol)


def cluster(*, has_serving: bool = True) -> list[SourceEvent]:
    dns = service("dns").cluster_ip(CLUSTER_IP).port(PORT, "dns", "UDP").node_port(NODE_PORT)
    endpoints = slice_("dns-1", service="dns").port(TARGET_PORT, "dns", "UDP")
    if has_serving:
        endpoints.endpoint(SERVING)
    return upserted(
        node("n1").internal_ip(NODE_ADDRESS),
        dns.external_ip(EXTERNAL_IP).load_balancer_ip(VIP),
        endpoints.not_ready(NOT_SERVING),
    )


def generated() -> list[Entry]:
    """Every endpoint by every protocol and every way."""
    ways = [(ip, port) for ip in SERVICE_IPS for port in (PORT, OTHER_PORT)]
    ways.append((NODE_ADDRESS, NODE_PORT))
    return [
        flow(way, (endpoint, TARGET_PORT), protocol)
        for endpoint in (SERVING, NOT_SERVING, GONE)
        for protocol in ("udp", "tcp", "sctp")
        for way in ways
    ]


def of_old_port() -> list[Entry]:
    return [flow((ip, PORT), (SERVING, OLD_TARGET_PORT)) for ip in SERVICE_IPS]


def untranslated() -> list[Entry]:
    return [flow((ip, PORT), (ip, PORT)) for ip in SERVICE_IPS]


def is_stale(entry: Entry) -> bool:
    """The table of spec 50, row by row."""
    to = entry.original
    if entry.protocol != "udp" or to.destination_port == OTHER_PORT:
        return False
    return (entry.reply.source, entry.reply.source_port) != (SERVING, TARGET_PORT)


async def test_exactly_the_stale_udp_flows_are_deleted():
    """TS-701."""
    flows = generated() + of_old_port() + untranslated()
    conntrack = FakeConntrack(flows, own=[parse_cidr(f"{NODE_ADDRESS}/32")])
    cleaned = CleanedNode(conntrack)

    await cleaned.take(*cluster())

    assert len(generated()) == 63
    assert set(conntrack.entries) == {entry for entry in flows if not is_stale(entry)}
    assert cleaned.cleaner.statistics.deleted == {Family.IPV4: 14, Family.IPV6: 0}


async def test_a_kernel_without_filters_changes_nothing_about_it():
    flows = generated() + of_old_port() + untranslated()
    conntrack = FakeConntrack(flows, own=[parse_cidr(f"{NODE_ADDRESS}/32")])
    conntrack.ignores_filters = True

    await CleanedNode(conntrack).take(*cluster())

    assert set(conntrack.entries) == {entry for entry in flows if not is_stale(entry)}


async def test_one_dump_and_one_delete_for_each_stale_flow():
    """CT-3, CT-14; NodePort and service port are two questions."""
    conntrack = FakeConntrack(generated(), own=[parse_cidr(f"{NODE_ADDRESS}/32")])

    await CleanedNode(conntrack).take(*cluster())

    assert sorted(conntrack.requests) == ["delete"] * 8 + [
        f"dump IPv4 17 *:{NODE_PORT}",
        f"dump IPv4 17 *:{PORT}",
    ]


async def test_no_serving_endpoint_is_a_reason_to_delete():
    """CT-6: better than leaving clients with endpoints that are gone."""
    flows = [flow((CLUSTER_IP, PORT), (by, TARGET_PORT)) for by in (NOT_SERVING, GONE)]
    other = flow((CLUSTER_IP, OTHER_PORT), (GONE, TARGET_PORT))
    conntrack = FakeConntrack([*flows, other])

    await CleanedNode(conntrack).take(*cluster(has_serving=False))

    assert set(conntrack.entries) == {other}


async def test_slices_of_another_service_delete_nothing():
    """TS-703."""
    conntrack = FakeConntrack(generated(), own=[parse_cidr(f"{NODE_ADDRESS}/32")])
    cleaned = CleanedNode(conntrack)
    await cleaned.take(*cluster())
    conntrack.add(*generated())
    before = set(conntrack.entries)

    await cleaned.take(
        slice_("x-1", service="x").port(1, "dns", "UDP").endpoint("10.0.0.1").upserted()
    )

    assert set(conntrack.entries) == before
