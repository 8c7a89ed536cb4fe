"""Changes by other hands are noticed, our own are not taken for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from lab.namespace import Namespace
from nodeproxy.backends.iptables.foreign import Eye, open_eye
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.model.addresses import FAMILIES, Family
from tests.support.builders import service
from tests.support.iptables_clusters import OPTIONS, every_kind_of_rule
from tests.support.iptables_programming import IptablesNode

pytestmark = pytest.mark.kernel


@pytest.fixture(params=Flavour)
def tool(request: pytest.FixtureRequest, namespace: Namespace) -> Commands:
    return Commands(request.param, ("nsenter", f"--net={namespace.path}"))


@pytest.fixture
async def node(tool: Commands) -> IptablesNode:
    node = IptablesNode(tool, options=OPTIONS)
    await node.take(*every_kind_of_rule())
    return node


@pytest.fixture
def eye(node: IptablesNode, tool: Commands, namespace: Namespace) -> Iterator[Eye]:
    with namespace.entered():
        eye = open_eye(tool, FAMILIES)
    with closing(eye):
        yield eye


async def test_our_own_changes_are_no_news(node: IptablesNode, eye: Eye):
    await node.take(service("dns").removed())

    assert eye.look() == ""


FOREIGN = {
    "flush of a table": ("-t", "nat", "-F"),
    "jump deleted": ("-D", "FORWARD", "-j", "NP-FORWARD"),
    "rule added to a chain of ours": ("-t", "nat", "-I", "NP-SERVICES", "-j", "RETURN"),
    "chain of ours flushed": ("-F", "NP-S"),
}


@pytest.mark.parametrize("command", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_change_is_told_once_and_repaired(
    node: IptablesNode, eye: Eye, tool: Commands, namespace: Namespace, command: tuple[str, ...]
):
    before = {table: tool.save(Family.IPV4, table).splitlines()[1:-1] for table in Table}
    namespace.run(f"iptables-{tool.flavour}", *command)

    told = eye.look()
    node.backend.mark_stale(told)
    await node.backend.commit()

    assert told
    assert eye.look() == ""
    after = {table: tool.save(Family.IPV4, table).splitlines()[1:-1] for table in Table}
    assert after == before


async def test_the_process_is_named_where_the_kernel_names_it(
    eye: Eye, tool: Commands, namespace: Namespace
):
    namespace.run(f"iptables-{tool.flavour}", "-t", "nat", "-F")

    told = eye.look()

    assert ("by iptables-nft" in told) is (tool.flavour is Flavour.NFT), told


async def test_what_others_do_with_their_own_rules_is_not_told_in_the_nft_flavour(
    eye: Eye, tool: Commands, namespace: Namespace
):
    """The legacy eye sees sizes only; there it costs one read-back."""
    namespace.run(f"iptables-{tool.flavour}", "-A", "FORWARD", "-p", "tcp", "-j", "ACCEPT")

    assert bool(eye.look()) is (tool.flavour is Flavour.LEGACY)
