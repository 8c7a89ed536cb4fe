"""What a change of the cluster changes in the kernel, and what it leaves alone."""

from __future__ import annotations

from nodeproxy.netlink import nf_tables as nf
from tests.support.builders import service
from tests.support.programming import ProgrammedNode
from tests.unit.backends.nftables.objects import (
    V4,
    V6,
    WEB,
    behind,
    endpoints_of,
    local_pods,
    members,
    pods,
    pods_at,
    web,
)


async def test_the_first_commit_makes_tables_sets_and_chains(node: ProgrammedNode):
    await node.take(web().upserted(), pods(2).upserted())

    for family in (V4, V6):
        table = node.kernel.table(family)
        assert "service-endpoints" in table.sets
        assert {"services", "nat-prerouting", "masquerading"} <= table.chains.keys()
    assert members(node)["services-2"] == {WEB}
    assert len(behind(node)) == 2


async def test_an_empty_cluster_gets_the_frame_and_no_elements(node: ProgrammedNode):
    await node.take()

    assert members(node) == {}
    assert endpoints_of(node) == {pool: {} for pool in endpoints_of(node)}


async def test_a_replaced_endpoint_costs_two_element_operations(node: ProgrammedNode):
    await node.take(web().upserted(), pods_at("10.0.0.1", "10.0.0.2", "10.0.0.3").upserted())

    report = await node.take(pods_at("10.0.0.1", "10.0.0.4", "10.0.0.3").upserted())

    assert report.operations == 2
    assert behind(node) == {"10.0.0.1", "10.0.0.3", "10.0.0.4"}


async def test_a_removed_endpoint_costs_three_element_operations(node: ProgrammedNode):
    """The last slot moves into the hole; within the class nothing else moves."""
    await node.take(web().upserted(), pods(8).upserted())

    report = await node.take(pods(7, first=2).upserted())

    assert report.operations == 3
    assert len(behind(node)) == 7


async def test_an_endpoint_more_within_the_class_is_one_operation(node: ProgrammedNode):
    await node.take(web().upserted(), pods(6).upserted())

    report = await node.take(pods(7).upserted())

    assert report.operations == 1
    assert len(behind(node)) == 7


async def test_a_change_of_endpoints_sends_elements_only(node: ProgrammedNode):
    await node.take(web().upserted(), pods(5).upserted())
    before = len(node.kernel.commits)

    await node.take(pods(6, first=3).upserted())

    kinds = {kind for commit in node.kernel.commits[before:] for kind in commit.kinds}
    assert kinds <= {nf.NFT_MSG_NEWSETELEM, nf.NFT_MSG_DELSETELEM}


async def test_no_change_commits_nothing(node: ProgrammedNode):
    await node.take(web().upserted(), pods(3).upserted())

    node.stage(web().upserted(), pods(3).upserted())

    assert not node.backend.needs_commit


async def test_scaling_through_all_classes_and_back(node: ProgrammedNode):
    await node.take(web().upserted())

    for count in (1, 2, 3, 4, 5, 9, 17, 16, 8, 4, 2, 1):
        await node.take(pods(count).upserted())

        assert len(behind(node)) == count


async def test_scaled_to_zero_it_refuses_and_comes_back(node: ProgrammedNode):
    await node.take(web().upserted(), pods(2).upserted())

    await node.take(pods(0).upserted())
    refused = members(node)
    await node.take(pods(2).upserted())

    assert refused == {"cluster-ips": {"10.96.0.10"}, "no-endpoint-services": {WEB}}
    assert members(node) == {"cluster-ips": {"10.96.0.10"}, "services-2": {WEB}}
    assert len(behind(node)) == 2


async def test_a_deleted_service_leaves_no_element(node: ProgrammedNode):
    builder = web().node_port(30080).external_ip("1.2.3.4").load_balancer_ip("5.6.7.8").local()
    await node.take(builder.upserted(), local_pods("10.0.0.1", "10.0.0.2").upserted())

    await node.take(builder.removed())

    assert not any(node.kernel.listing(V4).values())


async def test_a_changed_port_moves_all_its_elements(node: ProgrammedNode):
    await node.take(web().upserted(), pods(2).upserted())

    await node.take(web(port=81).upserted())

    assert members(node)["services-2"] == {"10.96.0.10 tcp 81"}
    assert set(endpoints_of(node)["service"]) == {"10.96.0.10 tcp 81"}


async def test_several_changes_before_a_commit_add_up(node: ProgrammedNode):
    await node.take(web().upserted(), pods(2).upserted())
    before = len(node.kernel.commits)

    node.stage(pods(0).upserted())
    node.stage(web(port=81).upserted())
    node.stage(web().upserted(), pods(2).upserted())
    await node.backend.commit()

    assert len(node.kernel.commits) == before
    assert len(behind(node)) == 2


class TestSharedElements:
    async def test_a_cluster_ip_stays_while_a_port_of_it_is_left(self, node: ProgrammedNode):
        both = web().port(81, "admin")
        await node.take(both.upserted(), pods(1).upserted())

        await node.take(web().upserted())
        with_one = members(node)
        await node.take(web().removed())

        assert with_one["cluster-ips"] == {"10.96.0.10"}
        assert "cluster-ips" not in members(node)

    async def test_a_pod_behind_two_services_hairpins_until_both_are_gone(
        self, node: ProgrammedNode
    ):
        pair = "10.0.0.1 10.0.0.1 tcp 8080"
        await node.take(web().upserted(), local_pods("10.0.0.1").upserted())
        await node.take(web("shop", 11).upserted(), local_pods("10.0.0.1", name="shop").upserted())

        await node.take(web().removed())
        with_one = members(node)
        await node.take(web("shop", 11).removed())

        assert with_one["hairpin-connections"] == {pair}
        assert "hairpin-connections" not in members(node)


class TestClaims:
    async def test_a_frontend_moves_to_the_next_claimant_in_one_commit(self, node: ProgrammedNode):
        """SVC-60: both want 1.2.3.4:80, the first in key order has it."""
        a = web("a", 1).external_ip("1.2.3.4")
        b = web("b", 2).external_ip("1.2.3.4")
        await node.take(a.upserted(), b.upserted())
        await node.take(
            pods_at("10.0.0.1", name="a").upserted(), pods_at("10.0.0.2", name="b").upserted()
        )
        owner_first = behind(node, "1.2.3.4 tcp 80")
        before = len(node.kernel.commits)

        await node.take(web("a", 1).upserted())

        assert owner_first == {"10.0.0.1"}
        assert behind(node, "1.2.3.4 tcp 80") == {"10.0.0.2"}
        assert len(node.kernel.commits) == before + 1

    async def test_a_frontend_moves_back_to_the_first_claimant(self, node: ProgrammedNode):
        b = web("b", 2).external_ip("1.2.3.4")
        await node.take(b.upserted(), pods_at("10.0.0.2", name="b").upserted())

        await node.take(
            web("a", 1).external_ip("1.2.3.4").upserted(),
            pods_at("10.0.0.1", name="a").upserted(),
        )

        assert behind(node, "1.2.3.4 tcp 80") == {"10.0.0.1"}
        assert node.kernel.listing(V4)["external-services"] == {"1.2.3.4 tcp 80": "default/a"}


class TestFamilies:
    async def test_a_dual_stack_service_is_in_both_tables(self, node: ProgrammedNode):
        both = service("web").cluster_ip("10.96.0.10", "fd00:96::10").port(80)

        await node.take(both.upserted())

        assert members(node, V4)["cluster-ips"] == {"10.96.0.10"}
        assert members(node, V6)["cluster-ips"] == {"fd00:96::10"}

    async def test_a_node_without_ipv6_programs_the_rest(self):
        node = ProgrammedNode(families=(V4,))
        both = service("web").cluster_ip("10.96.0.10", "fd00:96::10").port(80)

        await node.take(both.upserted())

        assert members(node, V4)["cluster-ips"] == {"10.96.0.10"}
        assert node.kernel.listing(V6) == {}
