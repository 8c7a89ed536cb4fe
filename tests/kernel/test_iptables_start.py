"""What an agent in iptables mode begins with, on a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.namespace import Namespace
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.detect import LocalHost
from nodeproxy.backends.iptables.start import is_liberal, open_iptables, usable_families
from nodeproxy.backends.iptables.tool import Commands, Flavour, Refusal
from nodeproxy.errors import KernelUnsupported
from nodeproxy.model.addresses import FAMILIES, Family
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_clusters import every_kind_of_rule
from tests.support.iptables_programming import IptablesNode

pytestmark = pytest.mark.kernel


@pytest.fixture
def inside(namespace: Namespace) -> tuple[str, ...]:
    return ("nsenter", f"--net={namespace.path}")


def test_both_families_are_programmed_where_both_work(
    namespace: Namespace, inside: tuple[str, ...]
):
    with namespace.entered():
        mode = open_iptables(localhost_nodeports=True, inside=inside)

    assert mode.families == FAMILIES
    assert mode.choice.warning == ""


async def test_chains_of_an_earlier_agent_in_the_other_flavour_go(
    namespace: Namespace, inside: tuple[str, ...]
):
    """The kubelet has moved, and so do we."""
    old = Commands(Flavour.LEGACY, inside)
    await IptablesNode(old).take(*every_kind_of_rule())
    namespace.run("iptables-nft", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
    with namespace.entered():
        mode = open_iptables(localhost_nodeports=True, inside=inside, host=LocalHost(inside))

    told = await mode.leave_others()

    assert mode.choice.flavour is Flavour.NFT
    assert len(told) == 4
    assert cleanup(old, FAMILIES) == []


class OneFamily(FakeXtables):
    def restore(self, family: Family, text: str) -> Refusal | None:
        return Refusal(1, "no such table") if family in self.without else None

    without: frozenset[Family] = frozenset([Family.IPV6])


def test_a_missing_family_does_not_stop_the_other():
    assert usable_families(OneFamily()) == (Family.IPV4,)


def test_without_any_family_the_reason_is_told():
    tables = OneFamily()
    tables.without = frozenset(FAMILIES)

    with pytest.raises(KernelUnsupported, match="IPv4"):
        usable_families(tables)


@pytest.mark.parametrize(("text", "liberal"), [("0\n", False), ("1\n", True)])
def test_liberal_connection_tracking_is_seen(tmp_path: Path, text: str, *, liberal: bool):
    setting = tmp_path / "liberal"
    setting.write_text(text)

    assert is_liberal(setting) is liberal
    assert not is_liberal(tmp_path / "missing")
