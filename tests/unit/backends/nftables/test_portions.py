"""Large loads go in portions, the most important Services first."""

from __future__ import annotations

import pytest

from nodeproxy.backends.nftables import table
from tests.support.builders import service, slice_
from tests.support.programming import ProgrammedNode
from tests.unit.backends.nftables.objects import V4, behind, endpoints_of, pods, web


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of Services needs several transactions."""
    monkeypatch.setattr(table, "PORTION_ELEMENTS", 3)


async def test_a_load_of_30000_elements_takes_several_commits(node: ProgrammedNode):
    for number in range(100):
        node.state.apply([web(f"s{number}", number).upserted(), pods(300, f"s{number}").upserted()])

    await node.take()

    sizes = [len(commit.added) for commit in node.kernel.commits]
    assert len([size for size in sizes if size > 1000]) >= 2
    assert max(sizes) < 25_000
    assert len(endpoints_of(node)["service"]) == 100


@pytest.mark.usefixtures("small_portions")
async def test_the_api_server_and_dns_come_first(node: ProgrammedNode):
    node.state.apply([web("aaa", 1).upserted(), pods(3, "aaa").upserted()])
    dns = service("kube-dns", namespace="kube-system").cluster_ip("10.96.0.2").port(53, "", "UDP")
    resolver = slice_("d", service="kube-dns", namespace="kube-system").port(53, "", "UDP")
    node.state.apply([dns.upserted(), resolver.endpoint("10.0.9.1", "10.0.9.2").upserted()])
    node.state.apply([web("kubernetes", 3).upserted(), pods(3, "kubernetes").upserted()])

    await node.take()

    order = [
        key[:4] for c in node.kernel.commits for name, key in c.added if name == "service-endpoints"
    ]
    assert order.index(bytes([10, 96, 0, 1])) > order.index(bytes([10, 96, 0, 2]))
    assert order.index(bytes([10, 96, 0, 1])) > order.index(bytes([10, 96, 0, 3]))


@pytest.mark.usefixtures("small_portions")
async def test_a_frontend_that_moves_between_portions_is_kept(node: ProgrammedNode):
    """SVC-60: "a" takes 1.2.3.4:80 over from "z", in a portion before the one "z" is in."""
    z = web("z", 2).external_ip("1.2.3.4")
    await node.take(z.upserted(), pods(4, "z").upserted())

    await node.take(
        web("a", 1).external_ip("1.2.3.4").upserted(),
        pods(4, "a", first=10).upserted(),
        *(web(f"m{number}", 100 + number).upserted() for number in range(9)),
        *(pods(4, f"m{number}").upserted() for number in range(9)),
    )

    assert behind(node, "1.2.3.4 tcp 80") == {f"10.0.0.{n}" for n in range(11, 15)}
    assert node.kernel.listing(V4)["external-services"] == {"1.2.3.4 tcp 80": "default/a"}


@pytest.mark.usefixtures("small_portions")
async def test_a_frontend_that_moves_to_a_later_portion_is_kept(node: ProgrammedNode):
    a = web("a", 1).external_ip("1.2.3.4")
    z = web("z", 2).external_ip("1.2.3.4")
    await node.take(a.upserted(), z.upserted())
    await node.take(pods(4, "a").upserted(), pods(4, "z", first=10).upserted())

    await node.take(
        web("a", 1).upserted(),
        *(web(f"m{number}", 100 + number).upserted() for number in range(9)),
        *(pods(4, f"m{number}").upserted() for number in range(9)),
    )

    assert behind(node, "1.2.3.4 tcp 80") == {f"10.0.0.{n}" for n in range(11, 15)}


@pytest.mark.usefixtures("small_portions")
async def test_a_failure_between_portions_is_made_good(node: ProgrammedNode):
    await node.take()
    for number in range(9):
        node.stage(web(f"s{number}", number).upserted(), pods(4, f"s{number}").upserted())
    node.kernel.refuse_element(lambda _, key, __: key[:4] == bytes([10, 96, 0, 7]) and len(key) > 4)

    report = await node.backend.commit()
    node.kernel.refuse_element(None)
    node.backend.mark_stale("look again")
    await node.backend.commit()

    assert len(report.quarantined) == 1
    assert len(endpoints_of(node)["service"]) == 9
