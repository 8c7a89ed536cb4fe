"""When flows are deleted, and which, as endpoints and Services come and go."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from lab.conntrack import Entry
from nodeproxy import clock
from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import FAMILIES, Family, parse_cidr
from nodeproxy.node.flows.cleaner import FlowCleaner
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import Changes
from tests.support.builders import (
    ServiceBuilder,
    SliceBuilder,
    node,
    service,
    service_cidr,
    slice_,
    upserted,
)
from tests.support.cleaning import CleanedNode
from tests.support.fake_conntrack import FakeConntrack

IP, NODE_IP, FAR_HOST = "10.96.0.10", "192.168.0.2", "198.51.100.9"
FIRST, SECOND = "10.244.0.11", "10.244.0.12"
NODE_PORT = 30053
OWN = [parse_cidr(f"{NODE_IP}/32"), parse_cidr("127.0.0.0/8")]


def dns(protocol: str = "UDP", port: int = 53, node_port: int = NODE_PORT) -> ServiceBuilder:
    return service("dns").cluster_ip(IP).port(port, "dns", protocol).node_port(node_port)


def backends(*addresses: str, protocol: str = "UDP") -> SliceBuilder:
    built = slice_("dns-1", service="dns").port(5353, "dns", protocol)
    for address in addresses:
        built.endpoint(address)
    return built


def flow(to: tuple[str, int], by: str, protocol: str = "udp", client: int = 4000) -> Entry:
    return Entry.to(to, (by, 5353), client=("10.244.9.9", client), protocol=protocol)


TO_FIRST, TO_SECOND = flow((IP, 53), FIRST), flow((IP, 53), SECOND, client=4001)


async def settled(
    conntrack: FakeConntrack,
    *,
    cleans_tcp: bool = False,
    protocol: str = "UDP",
    addresses: tuple[str, ...] = (FIRST, SECOND),
) -> CleanedNode:
    """A node that has looked at everything there is once."""
    cleaned = CleanedNode(conntrack, cleans_tcp=cleans_tcp)
    objects = upserted(node("n1").internal_ip(NODE_IP), dns(protocol))
    await cleaned.take(*objects, backends(*addresses, protocol=protocol).upserted())
    conntrack.requests.clear()
    return cleaned


async def test_flow_of_a_removed_endpoint_is_deleted():
    conntrack = FakeConntrack([TO_FIRST, TO_SECOND], OWN)
    cleaned = await settled(conntrack)

    await cleaned.take(backends(SECOND).upserted())

    assert set(conntrack.entries) == {TO_SECOND}
    assert cleaned.cleaner.statistics.deleted[Family.IPV4] == 1


async def test_nothing_is_deleted_while_the_rules_lead_to_the_endpoint():
    """The flow would be born again at once."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)

    cleaned.decide(backends(SECOND).upserted())
    await cleaned.look()

    assert set(conntrack.entries) == {TO_FIRST}


async def test_what_a_failed_commit_decided_is_done_after_the_next():
    """CT-2: the peer forgets it."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    cleaned.decide(backends(SECOND).upserted())

    await cleaned.take(service("other").cluster_ip("10.96.0.99").port(80).upserted())

    assert not conntrack.entries


async def test_terminating_endpoint_keeps_its_flows_until_it_is_gone():
    """CT-5: it left the plan before, so its end changes no plan."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    rollout = backends(SECOND).endpoint(FIRST, ready=False, serving=True, terminating=True)

    await cleaned.take(rollout.upserted())
    during = set(conntrack.entries)
    await cleaned.take(backends(SECOND).upserted())

    assert during == {TO_FIRST}
    assert not conntrack.entries


async def test_unready_endpoint_that_gets_traffic_keeps_its_flows():
    """CT-10: publishNotReadyAddresses makes it ready, though it does not serve."""
    conntrack = FakeConntrack([TO_FIRST, flow((IP, 53), "10.244.0.99", client=4002)], OWN)

    await CleanedNode(conntrack).take(
        dns().upserted(),
        backends(SECOND).endpoint(FIRST, ready=True, serving=False).upserted(),
    )

    assert set(conntrack.entries) == {TO_FIRST}


async def test_flows_of_a_service_scaled_to_zero_are_deleted():
    """CT-6: the client is refused instead of sending to nobody."""
    conntrack = FakeConntrack([TO_FIRST, TO_SECOND], OWN)
    cleaned = await settled(conntrack)

    await cleaned.take(backends().upserted())

    assert not conntrack.entries


async def test_flows_of_a_deleted_service_are_deleted():
    to_node_port = flow((NODE_IP, NODE_PORT), FIRST)
    untranslated = Entry.to((IP, 53), (IP, 53))
    conntrack = FakeConntrack([TO_FIRST, to_node_port], OWN)
    cleaned = await settled(conntrack)
    conntrack.add(untranslated)

    await cleaned.take(dns().removed(), backends().removed())

    assert set(conntrack.entries) == {untranslated}


@pytest.mark.parametrize(
    ("stale", "changed"),
    [
        (TO_FIRST, dns(port=54)),
        (flow((NODE_IP, NODE_PORT), FIRST), dns(node_port=30054)),
        (TO_FIRST, service("dns").cluster_ip("10.96.0.20").port(53, "dns", "UDP")),
    ],
    ids=["port", "node port", "ClusterIP"],
)
async def test_flows_to_a_former_frontend_are_deleted(stale: Entry, changed: ServiceBuilder):
    conntrack = FakeConntrack([stale], OWN)
    cleaned = await settled(conntrack)
    before = set(conntrack.entries)

    await cleaned.take(changed.upserted())

    assert before == {stale}
    assert not conntrack.entries


async def test_frontend_that_went_to_another_service_is_judged_by_its_endpoints():
    to_other = flow((IP, 53), "10.244.0.77")
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    heir = service("heir").cluster_ip(IP).port(53, "dns", "UDP")
    pods = slice_("heir-1", service="heir").port(5353, "dns", "UDP").endpoint("10.244.0.77")
    conntrack.add(to_other)

    await cleaned.take(dns().removed(), backends().removed(), *upserted(heir, pods))

    assert set(conntrack.entries) == {to_other}


async def test_changed_target_port_deletes_flows_to_the_old_one():
    """CT-8."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)

    await cleaned.take(
        slice_("dns-1", service="dns").port(5300, "dns", "UDP").endpoint(FIRST).upserted()
    )

    assert not conntrack.entries


async def test_flows_to_other_hosts_on_the_number_of_a_node_port_stay():
    """CT-9: the peer deletes them."""
    foreign = [flow((FAR_HOST, NODE_PORT), FAR_HOST), flow(("127.0.0.1", NODE_PORT), "127.0.0.1")]
    stale = flow((NODE_IP, NODE_PORT), FIRST)
    conntrack = FakeConntrack([*foreign, stale], OWN)
    cleaned = await settled(conntrack)

    await cleaned.take(backends(SECOND).upserted())

    assert set(conntrack.entries) == set(foreign)


async def test_flows_of_the_time_before_the_start_are_looked_at_once():
    conntrack = FakeConntrack([TO_FIRST, flow((IP, 53), "10.244.0.99", client=4002)], OWN)

    await settled(conntrack)

    assert set(conntrack.entries) == {TO_FIRST}


async def test_service_deleted_before_the_start_loses_its_flows():
    """CT-15: only where a ServiceCIDR says that the address is for Services."""
    of_deleted, elsewhere = flow(("10.96.3.3", 53), FIRST), flow(("10.97.3.3", 53), FIRST)
    untranslated = Entry.to(("10.96.3.4", 53), ("10.96.3.4", 53))
    other_port = flow((IP, 3000), FIRST)
    conntrack = FakeConntrack([of_deleted, elsewhere, untranslated, other_port, TO_FIRST], OWN)

    await CleanedNode(conntrack).take(
        *upserted(service_cidr("kubernetes").cidr("10.96.0.0/16"), dns(), backends(FIRST))
    )

    assert set(conntrack.entries) == {elsewhere, untranslated, other_port, TO_FIRST}


async def test_tcp_connections_stay_by_default():
    """CT-4."""
    connection = flow((IP, 53), FIRST, "tcp")
    conntrack = FakeConntrack([connection], OWN)
    cleaned = await settled(conntrack, protocol="TCP")

    await cleaned.take(backends(SECOND, protocol="TCP").upserted())

    assert set(conntrack.entries) == {connection}
    assert conntrack.requests == []


async def test_tcp_connections_to_gone_endpoints_are_cut_on_request():
    """CT-16."""
    gone, there = flow((IP, 53), FIRST, "tcp"), flow((IP, 53), SECOND, "tcp", 4001)
    untranslated = Entry.to((IP, 53), (IP, 53), protocol="tcp")
    conntrack = FakeConntrack([gone, there, untranslated], OWN)
    cleaned = await settled(conntrack, protocol="TCP", cleans_tcp=True)

    await cleaned.take(backends(SECOND, protocol="TCP").upserted())

    assert set(conntrack.entries) == {there, untranslated}


async def test_tcp_connections_to_a_terminating_endpoint_stay_until_it_is_gone():
    connection = flow((IP, 53), FIRST, "tcp")
    conntrack = FakeConntrack([connection], OWN)
    cleaned = await settled(conntrack, protocol="TCP", cleans_tcp=True)
    finishing = backends(SECOND, protocol="TCP").endpoint(
        FIRST, ready=False, serving=False, terminating=True
    )

    await cleaned.take(finishing.upserted())

    assert set(conntrack.entries) == {connection}


async def test_tcp_connections_of_a_deleted_service_stay():
    """CT-16: its pods may live on."""
    connection = flow((IP, 53), FIRST, "tcp")
    conntrack = FakeConntrack([connection], OWN)
    cleaned = await settled(conntrack, protocol="TCP", cleans_tcp=True)

    await cleaned.take(dns("TCP").removed())

    assert set(conntrack.entries) == {connection}


async def test_sctp_associations_stay_even_if_tcp_is_cut():
    """CT-4."""
    association = flow((IP, 53), FIRST, "sctp")
    conntrack = FakeConntrack([association], OWN)
    cleaned = await settled(conntrack, protocol="SCTP", cleans_tcp=True)

    await cleaned.take(backends(SECOND, protocol="SCTP").upserted())

    assert set(conntrack.entries) == {association}


async def test_ipv6_flows_are_deleted_alike():
    stale = Entry.to(("fd00:96::a", 53), ("fd00:10::1", 5353), client=("fd00:10::9", 4000))
    kept = Entry.to(("fd00:96::a", 53), ("fd00:10::2", 5353), client=("fd00:10::9", 4001))
    conntrack = FakeConntrack([stale, kept])
    pods = slice_("dns-1", service="dns", address_type="IPv6").port(5353, "dns", "UDP")

    await CleanedNode(conntrack).take(
        service("dns").cluster_ip("fd00:96::a").port(53, "dns", "UDP").upserted(),
        pods.endpoint("fd00:10::2").upserted(),
    )

    assert set(conntrack.entries) == {kept}


async def test_a_change_of_tcp_services_asks_nothing():
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)

    await cleaned.take(
        service("web").cluster_ip("10.96.0.99").port(80, "http").upserted(),
        slice_("web-1", service="web").port(8080, "http").endpoint(FIRST).upserted(),
    )

    assert conntrack.requests == []


async def test_a_look_that_failed_is_done_again():
    """CT-11: the peer leaves it at that."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    cleaned.decide(backends(SECOND).upserted())
    cleaned.cleaner.installed()
    conntrack.fail_next_dump = errno.ENOMEM

    with pytest.raises(NetlinkError):
        await cleaned.look()
    await cleaned.look()

    assert not conntrack.entries


@pytest.mark.parametrize(("interrupted", "dumps"), [(0, 1), (3, 4), (99, 5)])
async def test_inconsistent_dumps_are_repeated_a_few_times_and_used(interrupted: int, dumps: int):
    """CT-11."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    conntrack.interrupted_dumps = interrupted
    without_node_port = service("dns").cluster_ip(IP).port(53, "dns", "UDP")

    await CleanedNode(conntrack).take(*upserted(without_node_port, backends(SECOND)))

    assert not conntrack.entries
    assert conntrack.requests.count(f"dump IPv4 17 {IP}:53") == dumps


async def test_everything_is_looked_at_a_second_time(monkeypatch: pytest.MonkeyPatch):
    """A packet on its way through the old rules may have made a new flow."""
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    await cleaned.take(backends(SECOND).upserted())
    conntrack.add(TO_FIRST)
    later = clock.monotonic() + 2.0

    await cleaned.look()
    at_once = set(conntrack.entries)
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    await cleaned.look()
    conntrack.requests.clear()
    await cleaned.look()

    assert at_once == {TO_FIRST}
    assert not conntrack.entries
    assert conntrack.requests == []


async def test_metrics_hear_of_every_look():
    """CT-13."""
    heard: list[tuple[Family, int]] = []
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    cleaned.cleaner.on_pass = lambda family, seconds, deleted: heard.append((family, deleted))

    await cleaned.take(backends(SECOND).upserted())

    assert heard == [(Family.IPV4, 1)]


async def test_the_part_works_by_itself_and_tells_a_failure_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nodeproxy.node.flows.cleaner._FIRST_RETRY_SECONDS", 0.0)
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    conntrack.fail_next_dump = errno.EBUSY
    done = asyncio.Event()
    cleaned.cleaner.on_pass = lambda *_: done.set()
    cleaned.decide(backends(SECOND).upserted())
    cleaned.cleaner.installed()

    with caplog.at_level(logging.INFO, "nodeproxy.flows"):
        part = asyncio.create_task(cleaned.cleaner.run())
        await done.wait()
        part.cancel()
        await asyncio.wait([part])

    assert not conntrack.entries
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert cleaned.cleaner.statistics.failures == 1
    assert conntrack.is_closed


async def test_nothing_is_asked_before_the_first_plan_is_installed():
    conntrack = FakeConntrack([TO_FIRST])
    cleaner = FlowCleaner(
        lambda: conntrack, FAMILIES, cleans_tcp=False, endpoints=lambda family, key: ()
    )

    cleaner.installed()
    await cleaner.look(conntrack)
    cleaner.decided(
        Changes(services=set(), node_changed=False, problems=()),
        PlanDelta(puts={}, removes=set(), settings={}),
    )
    await cleaner.look(conntrack)

    assert conntrack.requests == []


async def test_everything_is_looked_at_after_the_rules_were_lost():
    """CT-17."""
    untranslated = Entry.to((IP, 53), (IP, 53))
    conntrack = FakeConntrack([TO_FIRST], OWN)
    cleaned = await settled(conntrack)
    conntrack.add(untranslated)

    cleaned.cleaner.rules_were_lost()
    await cleaned.look()
    before_repair = set(conntrack.entries)
    await cleaned.take()

    assert untranslated in before_repair
    assert set(conntrack.entries) == {TO_FIRST}
