"""Settings of the node are rules; a change of them rewrites only the chains it concerns."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import parse_cidr
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.plan.types import (
    FamilySettings,
    LocalDetector,
    NodePortAddresses,
    PlanDelta,
)
from tests.support.programming import ProgrammedNode
from tests.unit.backends.nftables.objects import V4, behind, members, pods, web


def changed_chains(before: dict[str, list[bytes]], after: dict[str, list[bytes]]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("settings", "chains"),
    [
        (
            FamilySettings(V4, masquerade_mark=0x8000),
            {"masquerading", "services", "nodeports", "external-policy", "nodeport-policy"},
        ),
        (FamilySettings(V4, masquerade_all=True), {"services"}),
        (
            FamilySettings(V4, local_detector=LocalDetector(cidr=parse_cidr("10.0.0.0/8"))),
            {"services", "external-policy", "nodeport-policy"},
        ),
        (
            FamilySettings(V4, node_ports=NodePortAddresses(cidrs=(parse_cidr("10.0.0.0/8"),))),
            {"services", "filter-input"},
        ),
        (FamilySettings(V4, service_cidrs=(parse_cidr("10.96.0.0/16"),)), {"cluster-ip-check"}),
    ],
    ids=["mark", "masquerade-all", "detector", "node-port-addresses", "service-cidrs"],
)
async def test_a_change_rewrites_only_the_chains_it_concerns(
    node: ProgrammedNode, settings: FamilySettings, chains: set[str]
):
    await node.take(web().node_port(30080).local().upserted(), pods(2).upserted())
    node.backend.stage(PlanDelta({}, set(), {V4: FamilySettings(V4)}))
    await node.backend.commit()
    before, content, commits = node.kernel.chains(V4), members(node), len(node.kernel.commits)

    node.backend.stage(PlanDelta({}, set(), {V4: settings}))
    await node.backend.commit()

    new = node.kernel.commits[commits:]
    assert changed_chains(before, node.kernel.chains(V4)) == chains
    assert sum(commit.kinds[nf.NFT_MSG_DELRULE] for commit in new) == len(chains)
    assert not any(commit.added or commit.deleted for commit in new)
    assert members(node) == content
    assert len(behind(node)) == 2


async def test_the_same_settings_again_need_no_commit(node: ProgrammedNode):
    await node.take()

    node.backend.stage(PlanDelta({}, set(), dict(node.planner.settings)))

    assert not node.backend.needs_commit


async def test_other_settings_after_a_restart_are_brought_in(node: ProgrammedNode):
    await node.take(web().upserted(), pods(2).upserted())
    before = node.kernel.chains(V4)

    node.backend.stage(PlanDelta({}, set(), {V4: FamilySettings(V4, masquerade_all=True)}))
    node.backend.mark_stale("as after a restart")
    await node.backend.commit()

    assert "services" in changed_chains(before, node.kernel.chains(V4))
    assert len(behind(node)) == 2
