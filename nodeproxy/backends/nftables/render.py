"""The whole table as nft text: what would be programmed, in canonical order.

The text depends on the plans alone (design invariant 5): elements are sorted, and every pool
fills its slots in its own order, whatever slots an agent with a history has in the kernel.
`nft -f` loads it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.backends.nftables.diff import TABLE_COMMENT
from nodeproxy.backends.nftables.lowering import Wanted, lower, needed_shape, shared_elements
from nodeproxy.backends.nftables.objects import Members, Skeleton, Slots
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.text import (
    chain_lines,
    element_text,
    member_text,
    set_lines,
    slot_text,
    table_header,
)
from nodeproxy.plan.types import FamilySettings, ServicePortPlan


def render_tables(tables: Iterable[tuple[FamilySettings, Iterable[ServicePortPlan]]]) -> str:
    """All tables, one after the other."""
    return "\n".join(_render_table(settings, plans) for settings, plans in tables)


def _render_table(settings: FamilySettings, plans: Iterable[ServicePortPlan]) -> str:
    wanted: Wanted = {}
    ids = AffinityIds()
    for plan in sorted(plans, key=lambda plan: plan.key):
        wanted.update(lower(plan, ids))
        wanted.update(dict.fromkeys(shared_elements(plan), ""))
    skeleton = build_skeleton(settings, needed_shape([wanted]))
    elements = _element_lines(skeleton, wanted)
    lines = [table_header(settings.family), f'\tcomment "{TABLE_COMMENT}"']
    for spec in skeleton.sets:
        lines += ["", *set_lines(spec, settings.family, elements[spec.name])]
    for chain in skeleton.chains:
        lines += ["", *chain_lines(chain, settings.family)]
    return "\n".join([*lines, "}", ""])


def _element_lines(skeleton: Skeleton, wanted: Wanted) -> defaultdict[str, list[str]]:
    """The text of all elements by set, sorted by key."""
    family = skeleton.family
    specs = {spec.name: spec for spec in skeleton.sets}
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for (name, key), value in sorted(wanted.items(), key=lambda item: item[0]):
        if isinstance(value, Members):
            lines[name] += [member_text(specs[name], family, key, data) for data in sorted(value)]
        elif isinstance(value, Slots):
            lines[name] += [
                slot_text(specs[name], family, key, slot, data)
                for slot, data in enumerate(value)
                if data is not None
            ]
        else:
            lines[name].append(element_text(specs[name], family, key, value))
    return lines
