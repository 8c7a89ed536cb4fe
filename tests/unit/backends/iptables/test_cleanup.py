"""Cleaning up takes all of ours and nothing else (IPT-61)."""

from __future__ import annotations

import pytest

from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.tool import Refusal
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_clusters import OPTIONS, every_kind_of_rule
from tests.support.iptables_programming import IptablesNode


async def test_all_chains_and_jumps_go_and_what_others_have_stays():
    node = IptablesNode(options=OPTIONS)
    nat = node.tables.tables[Family.IPV4, Table.NAT]
    nat["OUTPUT"].append(" -j KUBE-SERVICES")
    nat["KUBE-SERVICES"] = [" -j RETURN"]
    await node.take(*every_kind_of_rule())

    told = cleanup(node.tables, FAMILIES)

    untouched = FakeXtables()
    untouched.tables[Family.IPV4, Table.NAT]["OUTPUT"] = [" -j KUBE-SERVICES"]
    untouched.tables[Family.IPV4, Table.NAT]["KUBE-SERVICES"] = [" -j RETURN"]
    assert node.tables.tables == untouched.tables
    assert len(told) == 4


def test_where_nothing_is_nothing_is_told_or_changed():
    tables = FakeXtables()

    assert cleanup(tables, FAMILIES) == []
    assert tables.restores == []


async def test_a_refusal_is_told():
    class Busy(FakeXtables):
        def restore(self, family: Family, text: str) -> Refusal | None:
            return (
                Refusal(0, "Device or resource busy")
                if "-X" in text
                else super().restore(family, text)
            )

    tables = Busy()
    await IptablesNode(tables, (Family.IPV4,)).take(*every_kind_of_rule())

    with pytest.raises(BackendError, match="busy; its chains stay"):
        cleanup(tables, (Family.IPV4,))
