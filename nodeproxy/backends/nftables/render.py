"""The whole table as nft text: what would be programmed, in canonical order.

The text depends on the plans alone (design invariant 5): elements are sorted, and every pool
fills its slots in its own order, whatever slots an agent with a history has in the kernel.
`nft -f` loads it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from nodeproxy.backends.nftables import skeleton as layout
from nodeproxy.backends.nftables.diff import TABLE_COMMENT, slot_chains_of
from nodeproxy.backends.nftables.lowering import lower
from nodeproxy.backends.nftables.objects import ElementId, ElementValue, Slots
from nodeproxy.backends.nftables.text import chain_lines, element_text, set_lines, table_header
from nodeproxy.plan.types import FamilySettings, ServicePortPlan


def render_tables(tables: Iterable[tuple[FamilySettings, Iterable[ServicePortPlan]]]) -> str:
    """All tables, one after the other."""
    return "\n".join(_render_table(settings, plans) for settings, plans in tables)


def _render_table(settings: FamilySettings, plans: Iterable[ServicePortPlan]) -> str:
    wanted: dict[ElementId, ElementValue] = {}
    for plan in plans:
        lowered = lower(plan)
        wanted.update(lowered.own)
        wanted.update(dict.fromkeys(lowered.shared))
    skeleton = layout.build_skeleton(settings)
    elements = _element_lines(settings, wanted)
    lines = [table_header(settings.family), f'\tcomment "{TABLE_COMMENT}"']
    for spec in skeleton.sets:
        lines += ["", *set_lines(spec, settings.family, elements[spec.name])]
    slot_chains = sorted(slot_chains_of(wanted), key=_slot_chain_order)
    chains = [layout.slot_chain(name, settings) for name in slot_chains]
    for chain in (*chains, *skeleton.chains):
        lines += ["", *chain_lines(chain, settings.family)]
    return "\n".join([*lines, "}", ""])


def _slot_chain_order(name: str) -> tuple[bool, str, int]:
    """Chains that others go to come first, as nft wants to know them before."""
    prefix, _, digits = name.rpartition("-")
    refers_to_another = len(layout.slot_chains_for(name)) > 1
    return (refers_to_another, prefix, int(digits))


def _element_lines(
    settings: FamilySettings, wanted: dict[ElementId, ElementValue]
) -> defaultdict[str, list[str]]:
    """The text of all elements by set, sorted by key."""
    family = settings.family
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for (name, key), value in sorted(wanted.items(), key=lambda item: item[0]):
        spec = layout.SETS_BY_NAME[name]
        if isinstance(value, Slots):
            lines[name] += [
                element_text(spec, family, key, data, slot) for slot, data in enumerate(value)
            ]
        else:
            lines[name].append(element_text(spec, family, key, value, None))
    return lines
