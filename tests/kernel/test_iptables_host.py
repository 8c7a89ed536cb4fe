"""What the host has, and what its kernel can do."""

from __future__ import annotations

import pytest

from lab.namespace import Namespace
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.detect import LocalHost, choose_flavour
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.probe import probe
from nodeproxy.backends.iptables.tool import Commands, Flavour, Refusal
from nodeproxy.errors import KernelUnsupported, PermissionMissing
from nodeproxy.model.addresses import FAMILIES, Family
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_clusters import every_kind_of_rule
from tests.support.iptables_programming import IptablesNode

pytestmark = pytest.mark.kernel


@pytest.fixture(params=Flavour)
def tool(request: pytest.FixtureRequest, namespace: Namespace) -> Commands:
    return Commands(request.param, ("nsenter", f"--net={namespace.path}"))


@pytest.mark.parametrize("family", FAMILIES)
def test_this_kernel_carries_our_rules_and_nothing_is_left_of_the_question(
    tool: Commands, family: Family
):
    before = {table: tool.save(family, table).splitlines()[1:-1] for table in Table}

    probe(tool, family)

    assert {table: tool.save(family, table).splitlines()[1:-1] for table in Table} == before


def test_what_a_kernel_lacks_is_named():
    class WithoutBpf(FakeXtables):
        def restore(self, family: Family, text: str) -> Refusal | None:
            self.refuses = lambda line: "-m bpf" in line
            return super().restore(family, text)

    with pytest.raises(KernelUnsupported, match="-m bpf --bytecode"):
        probe(WithoutBpf(), Family.IPV4)


def test_without_the_capability_that_is_said(tool: Commands, namespace: Namespace):
    """The legacy commands do not tell a missing capability from a missing table."""
    inside = ("nsenter", f"--net={namespace.path}", "setpriv", "--bounding-set=-all")
    powerless = Commands(tool.flavour, (*inside, "--inh-caps=-all"))
    is_nft = tool.flavour is Flavour.NFT

    with pytest.raises(PermissionMissing if is_nft else KernelUnsupported, match="CAP_NET_ADMIN"):
        probe(powerless, Family.IPV4)


async def test_cleaning_up_leaves_nothing_of_ours(tool: Commands):
    before = {table: tool.save(Family.IPV6, table).splitlines()[1:-1] for table in Table}
    await IptablesNode(tool).take(*every_kind_of_rule())

    told = cleanup(tool, FAMILIES)

    assert len(told) == 4
    assert {table: tool.save(Family.IPV6, table).splitlines()[1:-1] for table in Table} == before
    assert cleanup(tool, FAMILIES) == []


def test_the_flavour_that_holds_rules_is_found(tool: Commands, namespace: Namespace):
    namespace.run(f"iptables-{tool.flavour}", "-A", "INPUT", "-j", "ACCEPT")
    inside = ("nsenter", f"--net={namespace.path}")

    with namespace.entered():
        choice = choose_flavour(LocalHost(inside))

    assert choice.flavour is tool.flavour
    assert "most rules" in choice.reason
