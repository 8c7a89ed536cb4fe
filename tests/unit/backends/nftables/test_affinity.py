"""Session affinity: ids, members and records of clients."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute
from nodeproxy.netlink.messages import KernelError, Received
from nodeproxy.plan.types import PlanKey, PoolKind
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_
from tests.support.fake_kernel import FakeKernel
from tests.support.programming import OWN_NODE, ProgrammedNode

V4 = Family.IPV4
KEY = PlanKey(V4, ServicePortKey("default", "web", "", Protocol.TCP))
CLIENT = "192.168.0.9"
HOUR_MS = 3_600_000


def web(seconds: int = 10_800) -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10").port(80).affinity(seconds)


def pods(*addresses: str, own: str = "") -> SliceBuilder:
    builder = slice_("web-1", service="web").port(8080)
    for address in addresses:
        builder.endpoint(address, node=OWN_NODE if address == own else "n2")
    return builder


def cluster_id() -> int:
    return AffinityIds().of(KEY, PoolKind.CLUSTER)


def remember(
    kernel: FakeKernel, endpoint: str, timeout_ms: int, expires_ms: int, number: int | None = None
) -> bytes:
    """Write a record as a packet of the client does."""
    key = parse_addr(CLIENT) + bytes([Protocol.TCP, 0, 0, 0])
    key += struct.pack("=I", cluster_id() if number is None else number)
    records = kernel.table(V4).sets["affinity"]
    records.elements[key] = {
        nf.NFTA_SET_ELEM_KEY: attribute(nf.NFTA_DATA_VALUE, key),
        nf.NFTA_SET_ELEM_DATA: attribute(
            nf.NFTA_DATA_VALUE, parse_addr(endpoint) + struct.pack(">H2x", 8080)
        ),
        nf.NFTA_SET_ELEM_TIMEOUT: struct.pack(">Q", timeout_ms),
        nf.NFTA_SET_ELEM_EXPIRATION: struct.pack(">Q", expires_ms),
    }
    return key


def lifetime(kernel: FakeKernel, key: bytes) -> tuple[int, int]:
    element = kernel.table(V4).sets["affinity"].elements[key]
    timeout, expires = (
        int.from_bytes(element[kind], "big")
        for kind in (nf.NFTA_SET_ELEM_TIMEOUT, nf.NFTA_SET_ELEM_EXPIRATION)
    )
    return timeout, expires


def test_the_id_of_a_pool_is_the_same_in_every_process() -> None:
    first, second = AffinityIds(), AffinityIds()

    assert first.of(KEY, PoolKind.CLUSTER) == second.of(KEY, PoolKind.CLUSTER)
    assert first.of(KEY, PoolKind.CLUSTER) != first.of(KEY, PoolKind.LOCAL)


def test_two_names_with_the_same_hash_get_different_ids() -> None:
    ids = AffinityIds()
    ids._taken.add(cluster_id())

    number = ids.of(KEY, PoolKind.CLUSTER)

    assert number == cluster_id() + 1


def test_ids_are_far_from_priorities_that_other_things_set() -> None:
    """A process may give its packets a small priority; it must not look like an id of ours."""
    ids = AffinityIds()
    keys = [KEY._replace(port=KEY.port._replace(name=f"web-{n}")) for n in range(200)]

    numbers = [ids.of(key, pool) for key in keys for pool in PoolKind]

    assert len(set(numbers)) == 400
    assert all(1 << 30 <= number < 1 << 31 for number in numbers)


async def test_services_without_affinity_have_no_rules_or_sets_for_it() -> None:
    node = ProgrammedNode()

    await node.take(
        service("web").cluster_ip("10.96.0.10").port(80).upserted(), pods("10.0.0.1").upserted()
    )

    assert not [name for name in node.kernel.table(V4).sets if name.startswith("affinity")]
    assert not [name for name in node.kernel.table(V4).chains if "affinity" in name]


async def test_every_frontend_of_a_service_port_has_the_same_id() -> None:
    """DP-61."""
    node = ProgrammedNode()
    web_everywhere = web().node_port(30080).external_ip("1.2.3.4").load_balancer_ip("5.6.7.8")

    await node.take(web_everywhere.upserted(), pods("10.0.0.1").upserted())

    listing = node.kernel.listing(V4)
    by_address = listing["affinity-services"]
    assert set(by_address) == {"10.96.0.10 tcp 80", "1.2.3.4 tcp 80", "5.6.7.8 tcp 80"}
    assert len({*by_address.values(), *listing["affinity-nodeports"].values()}) == 1


async def test_the_ports_of_a_service_have_ids_of_their_own() -> None:
    """DP-61."""
    node = ProgrammedNode()
    two = service("web").cluster_ip("10.96.0.10").port(80, "a").port(81, "b").affinity(60)
    ready = slice_("web-1", service="web").port(8080, "a").port(8080, "b").endpoint("10.0.0.1")

    await node.take(two.upserted(), ready.upserted())

    ids = node.kernel.listing(V4)["affinity-services"]
    assert ids["10.96.0.10 tcp 80"] != ids["10.96.0.10 tcp 81"]


async def test_both_pools_of_a_service_port_know_each_other() -> None:
    """DP-65: a connection through one pool is remembered for the other."""
    node = ProgrammedNode()
    local = web().local().load_balancer_ip("5.6.7.8")

    await node.take(local.upserted(), pods("10.0.0.1", "10.0.0.2", own="10.0.0.1").upserted())

    listing = node.kernel.listing(V4)
    cluster = listing["affinity-services"]["5.6.7.8 tcp 80"]
    own = listing["affinity-local-services"]["5.6.7.8 tcp 80"]
    assert listing["affinity-siblings"] == {cluster: own, own: cluster}
    assert set(listing["affinity-members-10800"]) == {
        f"{cluster} 10.0.0.1 8080",
        f"{cluster} 10.0.0.2 8080",
        f"{own} 10.0.0.1 8080",
    }


async def test_a_change_of_endpoints_changes_elements_only() -> None:
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1", "10.0.0.2").upserted())

    await node.take(pods("10.0.0.1", "10.0.0.3").upserted())

    kinds = set(node.kernel.commits[-1].kinds)
    assert kinds == {nf.NFT_MSG_NEWSETELEM, nf.NFT_MSG_DELSETELEM}


async def test_clients_of_an_endpoint_that_went_are_forgotten_and_others_not() -> None:
    """DP-62."""
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1", "10.0.0.2").upserted())
    gone = remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)

    await node.take(pods("10.0.0.2").upserted())
    stays = remember(node.kernel, "10.0.0.2", 10_800_000, HOUR_MS)
    await node.take(pods("10.0.0.2", "10.0.0.3").upserted())

    assert gone == stays, "one client, so one key"
    assert lifetime(node.kernel, stays) == (10_800_000, HOUR_MS)
    assert ("affinity", gone) in [
        deleted for commit in node.kernel.commits for deleted in commit.deleted
    ]


async def test_a_removed_service_leaves_no_records() -> None:
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)

    await node.take(web().removed())

    assert not node.kernel.table(V4).sets["affinity"].elements


async def test_affinity_switched_off_leaves_no_records() -> None:
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)

    await node.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())

    assert not node.kernel.listing(V4)["affinity-services"]
    assert not node.kernel.table(V4).sets["affinity"].elements


async def test_a_shorter_timeout_counts_from_the_last_use() -> None:
    """A client that was here 100 s ago has 200 s left of 300."""
    node = ProgrammedNode()
    await node.take(web(10_800).upserted(), pods("10.0.0.1").upserted())
    key = remember(node.kernel, "10.0.0.1", 10_800_000, 10_700_000)

    await node.take(web(300).upserted())

    assert lifetime(node.kernel, key) == (300_000, 200_000)


async def test_a_shorter_timeout_ends_records_that_are_older() -> None:
    node = ProgrammedNode()
    await node.take(web(10_800).upserted(), pods("10.0.0.1").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, 10_700_000)

    await node.take(web(60).upserted())

    assert not node.kernel.table(V4).sets["affinity"].elements


async def test_a_longer_timeout_counts_from_the_last_use() -> None:
    node = ProgrammedNode()
    await node.take(web(60).upserted(), pods("10.0.0.1").upserted())
    key = remember(node.kernel, "10.0.0.1", 60_000, 20_000)

    await node.take(web(100).upserted())

    assert lifetime(node.kernel, key) == (100_000, 60_000)


async def test_a_restart_keeps_records_and_corrects_what_went_meanwhile() -> None:
    """DP-64; the endpoint went while no agent ran."""
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1", "10.0.0.2").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)
    commits = len(node.kernel.commits)

    await node.restart()
    kept = len(node.kernel.table(V4).sets["affinity"].elements)
    written = len(node.kernel.commits) - commits
    node.state.apply([pods("10.0.0.2").upserted()])
    await node.restart()

    assert (kept, written) == (1, 0)
    assert not node.kernel.table(V4).sets["affinity"].elements


async def test_records_that_expire_meanwhile_do_not_stop_the_correction() -> None:
    """The kernel refuses to delete a record that is no more; the batch is made again."""
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1", "10.0.0.2").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)
    expiring = _ExpiringOnce(node.kernel)
    node.backend._tables[V4].records._channel = expiring

    report = await node.take(pods("10.0.0.2").upserted())

    assert expiring.has_expired
    assert not report.quarantined
    assert not node.kernel.table(V4).sets["affinity"].elements


class _ExpiringOnce:
    """A channel whose records are gone between the first reading and the first deleting."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.has_expired = False

    def dump(self, kind: int, family: int, body: bytes = b"") -> list[Received]:
        received = self._kernel.dump(kind, family, body)
        if not self.has_expired:
            self.has_expired = True
            self._kernel.table(V4).sets["affinity"].elements.clear()
        return received

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        return self._kernel.transact(batch, last_seq)


async def test_too_many_records_for_a_commit_are_corrected_beside_it() -> None:
    """Reading takes a time that grows with the square of their number."""
    node = ProgrammedNode()
    await node.take(web().upserted(), pods("10.0.0.1", "10.0.0.2").upserted())
    remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)
    node.backend._tables[V4].records._count = 1_000_000

    async with asyncio.TaskGroup() as group:
        corrector = group.create_task(node.backend.keep_records(node.kernel))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await node.take(pods("10.0.0.2").upserted())
        left_by_the_commit = len(node.kernel.table(V4).sets["affinity"].elements)
        while node.kernel.table(V4).sets["affinity"].elements:  # noqa: ASYNC110  no event to wait for
            await asyncio.sleep(0)
        corrector.cancel()

    assert left_by_the_commit == 1


async def test_an_endpoint_that_comes_into_the_other_pool_brings_its_clients() -> None:
    """DP-65: externalTrafficPolicy becomes Local; clients of endpoints here stay where they are."""
    node = ProgrammedNode()
    everywhere = web().load_balancer_ip("5.6.7.8")
    both = pods("10.0.0.1", "10.0.0.2", own="10.0.0.1").upserted()
    await node.take(everywhere.upserted(), both)
    key = remember(node.kernel, "10.0.0.1", 10_800_000, HOUR_MS)

    await node.take(web().load_balancer_ip("5.6.7.8").local().upserted())

    local_key = key[:-4] + struct.pack("=I", AffinityIds().of(KEY, PoolKind.LOCAL))
    assert set(node.kernel.table(V4).sets["affinity"].elements) == {key, local_key}
    assert lifetime(node.kernel, local_key) == (10_800_000, HOUR_MS)


async def test_a_pool_that_knows_a_client_keeps_its_endpoint() -> None:
    """DP-63."""
    node = ProgrammedNode()
    local = web().load_balancer_ip("5.6.7.8").local().upserted()
    await node.take(local, pods("10.0.0.1", "10.0.0.2", own="10.0.0.1").upserted())
    number = AffinityIds().of(KEY, PoolKind.LOCAL)
    remember(node.kernel, "10.0.0.2", 10_800_000, HOUR_MS)
    known = remember(node.kernel, "10.0.0.1", 10_800_000, 1_000, number)

    here = slice_("web-1", service="web").port(8080)
    for address in ("10.0.0.1", "10.0.0.2"):
        here.endpoint(address, node=OWN_NODE)
    await node.take(here.upserted())

    assert len(node.kernel.table(V4).sets["affinity"].elements) == 2
    assert lifetime(node.kernel, known) == (10_800_000, 1_000)
