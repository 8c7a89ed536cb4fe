"""Whatever somebody else did to our table, and however a commit ended, the next one mends."""

from __future__ import annotations

import errno

import pytest

from nodeproxy.errors import BackendError
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import u32
from nodeproxy.netlink.expressions import host_u32
from tests.support.fake_kernel import FakeChain, FakeSet, FakeTable
from tests.support.programming import ProgrammedNode
from tests.unit.backends.nftables.objects import (
    V4,
    V6,
    behind,
    endpoints_of,
    local_pods,
    members,
    plan_key,
    pods,
    pods_at,
    web,
)


def content(node: ProgrammedNode) -> tuple[object, ...]:
    """Everything in both tables, to compare before and after."""
    return (
        *(members(node, family) for family in (V4, V6)),
        *(endpoints_of(node, family) for family in (V4, V6)),
        *(node.kernel.chains(family) for family in (V4, V6)),
    )


@pytest.fixture
async def running(node: ProgrammedNode) -> ProgrammedNode:
    builder = web().node_port(30080).external_ip("1.2.3.4")
    await node.take(builder.upserted(), local_pods("10.0.0.1", "10.0.0.2", "10.0.0.3").upserted())
    return node


async def repair(node: ProgrammedNode) -> int:
    """The next commit after a notification; how many batches it took."""
    before = len(node.kernel.commits)
    node.backend.mark_stale("a foreign change")
    await node.backend.commit()
    return len(node.kernel.commits) - before


class TestRestart:
    async def test_an_unchanged_cluster_changes_nothing(self, running: ProgrammedNode):
        before = len(running.kernel.commits)

        report = await running.restart()

        assert report.operations == 0
        assert len(running.kernel.commits) == before

    async def test_nor_after_a_history_of_scaling(self, running: ProgrammedNode):
        """Classes nothing is in any more stay."""
        for count in (9, 1, 4, 2):
            await running.take(pods(count).upserted())

        assert (await running.restart()).operations == 0

    async def test_what_went_while_it_was_down_is_taken_out(self, running: ProgrammedNode):
        running.state.apply([web().removed()])

        await running.restart()

        assert members(running) == {}

    async def test_what_came_while_it_was_down_is_put_in(self, running: ProgrammedNode):
        running.state.apply([web("shop", 11).upserted(), pods(2, "shop").upserted()])

        await running.restart()

        assert len(behind(running, "10.96.0.11 tcp 80")) == 2


class TestForeignChanges:
    async def test_a_flush_is_undone_by_the_next_commit(self, running: ProgrammedNode):
        before = content(running)
        running.kernel.foreign_flush()

        await repair(running)

        assert content(running) == before

    async def test_elements_that_are_none_of_ours_go(self, running: ProgrammedNode):
        before = content(running)
        table = running.kernel.table(V4)
        table.add_element("cluster-ips", bytes([10, 96, 9, 9]))
        key = bytes([10, 96, 9, 9, 6, 0, 0, 0, 0, 80, 0, 0])
        table.add_element("services-4", key)
        table.add_element("service-endpoints", key + bytes(4), bytes(8))

        await repair(running)

        assert content(running) == before

    async def test_elements_that_are_missing_come_back(self, running: ProgrammedNode):
        before = content(running)
        for one in running.kernel.table(V4).sets.values():
            for key in list(one.elements)[:1]:
                del one.elements[key]

        await repair(running)

        assert content(running) == before

    async def test_a_slot_with_another_endpoint_is_mended(self, running: ProgrammedNode):
        before = content(running)
        slots = running.kernel.table(V4).sets["service-endpoints"]
        key = next(iter(slots.elements))
        running.kernel.table(V4).add_element("service-endpoints", key, bytes([9, 9, 9, 9]) * 2)

        await repair(running)

        assert content(running) == before

    async def test_a_slot_behind_the_last_one_is_emptied(self, running: ProgrammedNode):
        before = content(running)
        slots = running.kernel.table(V4).sets["service-endpoints"]
        frontend = next(iter(slots.elements))[:-4]
        key = frontend + host_u32(77)
        running.kernel.table(V4).add_element("service-endpoints", key, bytes(8))

        await repair(running)

        assert content(running) == before

    async def test_a_wrong_comment_is_put_right(self, running: ProgrammedNode):
        before = running.kernel.listing(V4)
        table = running.kernel.table(V4)
        table.add_element("services-4", next(iter(table.sets["services-4"].elements)))

        await repair(running)

        assert running.kernel.listing(V4) == before

    async def test_foreign_chains_and_sets_in_our_table_go(self, running: ProgrammedNode):
        before = content(running)
        table = running.kernel.table(V4)
        table.chains["theirs"] = FakeChain(
            {nf.NFTA_CHAIN_TABLE: b"nodeproxy\0", nf.NFTA_CHAIN_NAME: b"theirs\0"}
        )
        table.chains["theirs"].rules.append(dict(table.chains["services"].rules[0]))
        table.sets["their-set"] = FakeSet(
            {
                nf.NFTA_SET_TABLE: b"nodeproxy\0",
                nf.NFTA_SET_NAME: b"their-set\0",
                nf.NFTA_SET_KEY_TYPE: (7).to_bytes(4, "big"),
                nf.NFTA_SET_KEY_LEN: (4).to_bytes(4, "big"),
            }
        )

        await repair(running)

        assert content(running) == before
        assert "their-set" not in running.kernel.table(V4).sets

    async def test_changed_and_missing_rules_come_back(self, running: ProgrammedNode):
        before = content(running)
        chains = running.kernel.table(V4).chains
        chains["services"].rules.reverse()
        chains["masquerading"].rules.clear()

        await repair(running)

        assert content(running) == before

    async def test_a_table_of_another_layout_is_replaced_in_one_commit(
        self, running: ProgrammedNode
    ):
        before = content(running)
        declaration = running.kernel.table(V4).sets["cluster-ips"].declaration
        declaration[nf.NFTA_SET_KEY_TYPE] = (8).to_bytes(4, "big")

        commits = await repair(running)

        assert content(running) == before
        assert commits == 1

    async def test_a_base_chain_on_another_hook_makes_the_table_new(self, running: ProgrammedNode):
        before = content(running)
        chain = running.kernel.table(V4).chains["nat-prerouting"]
        hook = u32(nf.NFTA_HOOK_HOOKNUM, nf.NF_INET_PRE_ROUTING) + u32(nf.NFTA_HOOK_PRIORITY, 7)
        chain.declaration[nf.NFTA_CHAIN_HOOK] = hook

        await repair(running)

        assert content(running) == before

    async def test_tables_of_others_are_not_touched(self, running: ProgrammedNode):
        theirs = FakeTable({nf.NFTA_TABLE_NAME: b"theirs\0"})
        running.kernel.tables[nf.NFPROTO_IPV4, "theirs"] = theirs
        running.kernel.tables[nf.NFPROTO_IPV6, "theirs"] = theirs

        await repair(running)
        running.kernel.tables.pop((nf.NFPROTO_IPV4, "nodeproxy"))
        await repair(running)

        assert running.kernel.tables.keys() >= {(2, "theirs"), (10, "theirs"), (2, "nodeproxy")}

    async def test_a_change_that_was_not_announced_is_found_by_the_next_refusal(
        self, running: ProgrammedNode
    ):
        running.kernel.foreign_flush()

        await running.take(pods_at("10.0.0.9").upserted())

        assert behind(running) == {"10.0.0.9"}


class TestFailures:
    @pytest.mark.parametrize("number", [errno.ENOMEM, errno.EINTR])
    async def test_a_refused_batch_is_tried_again_after_a_read_back(
        self, running: ProgrammedNode, number: int
    ):
        running.kernel.fail_next_commit(number)

        await running.take(pods_at("10.0.0.9").upserted())

        assert behind(running) == {"10.0.0.9"}

    async def test_a_lost_answer_fails_the_commit_and_the_next_one_finds_out(
        self, running: ProgrammedNode
    ):
        running.kernel.lose_answer()

        with pytest.raises(BackendError):
            await running.take(local_pods("10.0.0.1", "10.0.0.2", "10.0.0.9").upserted())
        assert running.backend.needs_commit
        report = await running.backend.commit()

        assert report.operations == 0
        assert behind(running) == {"10.0.0.1", "10.0.0.2", "10.0.0.9"}

    async def test_a_kernel_that_refuses_everything_fails_the_commit_and_keeps_what_is(
        self, running: ProgrammedNode
    ):
        before = content(running)
        running.kernel.fail_next_commit(errno.ENOMEM, times=50)

        with pytest.raises(BackendError, match="refused after every read-back"):
            await running.take(pods_at("10.0.0.9").upserted())
        after = content(running)
        running.kernel.fail_next_commit(times=0)
        await running.backend.commit()

        assert after == before
        assert behind(running) == {"10.0.0.9"}

    async def test_one_family_failing_does_not_stop_the_other(self, node: ProgrammedNode):
        """DP-82."""
        await node.take()
        node.kernel.lose_answer()
        node.stage(web().upserted(), pods(1).upserted())
        six = web("six").cluster_ip("fd00:96::1")
        node.stage(six.upserted())

        with pytest.raises(BackendError):
            await node.backend.commit()

        assert members(node, V6)["cluster-ips"] == {"fd00:96::1"}


def is_frontend_66(set_name: str, key: bytes, data: bytes) -> bool:
    return key[:4] == bytes([10, 96, 0, 66]) and len(key) > 4


class TestQuarantine:
    """A Service the kernel refuses does not stop the others (design invariant 7)."""

    async def test_the_refused_service_is_named_and_the_others_go_in(self, running: ProgrammedNode):
        running.kernel.refuse_element(is_frontend_66)

        report = await running.take(
            web("bad", 66).upserted(),
            pods(2, "bad").upserted(),
            web("good", 67).upserted(),
            pods(2, "good").upserted(),
        )

        assert set(report.quarantined) == {plan_key("bad")}
        assert "Invalid argument" in report.quarantined[plan_key("bad")]
        assert len(behind(running, "10.96.0.67 tcp 80")) == 2
        assert len(behind(running)) == 3

    async def test_its_former_elements_stay(self, running: ProgrammedNode):
        before = behind(running)
        running.kernel.refuse_element(lambda _, __, data: data[:4] == bytes([10, 0, 0, 66]))

        await running.take(pods_at("10.0.0.1", "10.0.0.66", "10.0.0.3").upserted())

        assert behind(running) == before
        assert set(running.backend.quarantined()) == {plan_key("web")}

    async def test_its_former_elements_stay_when_it_would_change_class(
        self, running: ProgrammedNode
    ):
        before = behind(running)
        running.kernel.refuse_element(lambda _, __, data: data[:4] == bytes([10, 0, 0, 66]))

        await running.take(pods_at(*(f"10.0.0.{n}" for n in range(62, 70))).upserted())

        assert behind(running) == before

    async def test_its_former_elements_stay_when_its_port_changes(self, running: ProgrammedNode):
        running.kernel.refuse_element(lambda _, key, __: key[8:10] == (81).to_bytes(2, "big"))

        await running.take(web(port=81).upserted())

        assert len(behind(running)) == 3

    async def test_a_change_that_is_accepted_ends_it_and_leaves_nothing_of_before(
        self, running: ProgrammedNode
    ):
        running.kernel.refuse_element(lambda _, key, __: key[8:10] == (81).to_bytes(2, "big"))
        await running.take(web(port=81).upserted())

        await running.take(web(port=82).upserted())

        assert running.backend.quarantined() == {}
        assert set(endpoints_of(running)["service"]) == {"10.96.0.10 tcp 82"}

    async def test_a_deleted_service_leaves_quarantine_and_kernel(self, running: ProgrammedNode):
        running.kernel.refuse_element(lambda _, __, data: data[:4] == bytes([10, 0, 0, 66]))
        await running.take(pods_at("10.0.0.66").upserted())

        await running.take(web().removed())

        assert running.backend.quarantined() == {}
        assert members(running) == {}

    async def test_an_old_kernel_that_names_no_attribute_is_asked_element_by_element(
        self, running: ProgrammedNode
    ):
        running.kernel.tells_offsets = False
        running.kernel.refuse_element(is_frontend_66)

        report = await running.take(
            web("bad", 66).upserted(), web("good", 67).upserted(), pods(1, "good").upserted()
        )

        assert set(report.quarantined) == {plan_key("bad")}
        assert len(behind(running, "10.96.0.67 tcp 80")) == 1

    async def test_a_refused_cluster_ip_does_not_hold_up_the_others(self, running: ProgrammedNode):
        """The set of ClusterIPs is shared: its elements have no single owner."""
        refused = bytes([10, 96, 0, 66])
        running.kernel.refuse_element(lambda name, key, _: key == refused)

        report = await running.take(
            web("bad", 66).upserted(), web("good", 67).upserted(), pods(1, "good").upserted()
        )

        assert set(report.quarantined) == {plan_key("bad")}
        assert len(behind(running, "10.96.0.67 tcp 80")) == 1
