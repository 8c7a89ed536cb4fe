"""All rules as text: what would be programmed, in canonical order.

The text depends on the plans alone (design invariant 5). Cut at the lines that name a family, each
half is what `iptables-restore --noflush` and `ip6tables-restore --noflush` load.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.backends.iptables.frame import Trees, build_frame
from nodeproxy.backends.iptables.lowering import lower
from nodeproxy.backends.iptables.mirror import Change, nothing
from nodeproxy.backends.iptables.objects import Chain, Table
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.text import chain_text
from nodeproxy.backends.iptables.transaction import restore_input
from nodeproxy.plan.types import FamilySettings, ServicePortPlan


def all_chains(
    settings: FamilySettings, options: IptablesOptions, plans: Iterable[ServicePortPlan]
) -> dict[Table, list[Chain]]:
    """Every chain of one family, parents of the trees before their children."""
    trees = Trees(settings.family, options)
    chains = {table: list(frame) for table, frame in build_frame(settings, options).items()}
    for plan in plans:
        lowered = lower(plan, settings)
        chains[Table.NAT] += lowered.chains
        for entry in lowered.entries:
            trees.find(entry.table, entry.root).put(entry.place, entry.rules)
    for table, tree in trees.all():
        chains[table] += tree.changes().chains
    return chains


def render_family(
    settings: FamilySettings, options: IptablesOptions, plans: Iterable[ServicePortPlan]
) -> str:
    """One family, as input for a restore on a host without rules of ours."""
    chains = all_chains(settings, options, plans)
    writes = {
        table: {chain.name: chain_text(chain) for chain in found} for table, found in chains.items()
    }
    change = Change(writes, {table: [] for table in Table}, hooks=True)
    return f"# {settings.family}\n{restore_input(change, nothing(), nat_first=False)}"
