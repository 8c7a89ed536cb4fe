"""Can this kernel carry our rules? Asked by a transaction that is checked and rolled back.

Everything the skeleton needs is created under another name in a batch without an end, which the
kernel checks in full and then forgets: what `nft --check` does.
"""

from __future__ import annotations

from pathlib import Path

from nodeproxy.backends.nftables.diff import Differ
from nodeproxy.backends.nftables.encode import encode_batch
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.sets import Shape
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool
from nodeproxy.backends.nftables.transaction import describe
from nodeproxy.errors import KernelUnsupported
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import messages
from nodeproxy.netlink.channel import Channel
from nodeproxy.plan.types import FamilySettings

_PROBE_TABLE = "nodeproxy-probe"


def usable_families(proc: Path = Path("/proc")) -> tuple[Family, ...]:
    """The families of this network namespace; IPv6 may be switched off (NODE-6)."""
    has_ipv6 = (proc / "net" / "if_inet6").exists()
    return (Family.IPV4, Family.IPV6) if has_ipv6 else (Family.IPV4,)


def probe(channel: Channel, family: Family) -> None:
    """Check that our table could be created; nothing is.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        KernelUnsupported: the kernel refuses something; the text names it.
    """
    settings = FamilySettings(family)
    differ = Differ(Content())
    shape = Shape(
        frozenset(SlotClass(pool, 4) for pool in SlotPool), frozenset([10_800]), frozenset([24])
    )
    differ.table(build_skeleton(settings, shape))
    encoded = encode_batch(differ.finish().operations, family, table=_PROBE_TABLE)
    batch = [messages.batch_begin(), *(message.data for message in encoded)]
    errors = channel.transact(batch, 0)
    if errors:
        raise KernelUnsupported(
            f"the kernel cannot carry nodeproxy's rules for {family}: "
            f"{describe(errors[0], encoded)}",
            "it needs nf_tables with nat, masquerade, fib, numgen, reject and connection "
            "tracking (kernel 5.13 or newer; modules nf_tables, nft_nat, nft_masq, nft_fib_inet, "
            "nft_numgen, nft_reject_inet, nft_ct)",
        )
