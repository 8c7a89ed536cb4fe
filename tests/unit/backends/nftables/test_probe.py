"""Can this kernel carry our rules? Asked without leaving anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nodeproxy.backends.nftables.probe import probe, usable_families
from nodeproxy.errors import KernelUnsupported
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.netlink.messages import KernelError
from tests.support.fake_kernel import FakeKernel


class RefusingKernel(FakeKernel):
    """A kernel without numgen, say."""

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        return [KernelError(3, 2, "", 0)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_probe_leaves_nothing(family: Family):
    kernel = FakeKernel()

    probe(kernel, family)

    assert kernel.tables == {}
    assert kernel.commits == []


def test_a_refusal_names_what_is_missing_and_the_remedy():
    with pytest.raises(KernelUnsupported) as caught:
        probe(RefusingKernel(), Family.IPV6)

    assert "IPv6" in str(caught.value)
    assert "modules nf_tables" in str(caught.value)


def test_a_node_without_ipv6_has_one_family(tmp_path: Path):
    """NODE-6."""
    without = usable_families(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "if_inet6").touch()

    assert without == (Family.IPV4,)
    assert usable_families(tmp_path) == (Family.IPV4, Family.IPV6)
