"""Removing everything of ours: chains whose names begin with our prefix, and the jumps to them."""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.readback import parse_builtin, parse_chains
from nodeproxy.backends.iptables.tool import Tool
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family


def cleanup(tool: Tool, families: Iterable[Family]) -> list[str]:
    """Delete our chains; each table in one step. Blocks.

    Args:
        tool: the commands of the flavour to look at.
        families: those to look at.

    Returns:
        A line for each table that had chains of ours.

    Raises:
        BackendError: a table could not be read or changed; what was before it is done.
    """
    return [
        line
        for family in families
        for table in reversed(Table)
        if (line := _clean_table(tool, family, table))
    ]


def _clean_table(tool: Tool, family: Family, table: Table) -> str:
    """What was removed; empty if nothing of ours was there."""
    saved = tool.save(family, table)
    chains = list(parse_chains(saved))
    jumps = [rule for rules in parse_builtin(saved).values() for rule in rules]
    if not chains and not jumps:
        return ""
    lines = [
        f"*{table}",
        *(f":{name} - [0:0]" for name in chains),
        *(f"-D {jump}" for jump in jumps),
        *(f"-X {name}" for name in chains),
        "COMMIT",
        "",
    ]
    refusal = tool.restore(family, "\n".join(lines))
    if refusal is not None:
        raise BackendError(
            f"iptables ({tool.flavour}) table {table} of {family}: {refusal.text}; its chains stay"
        )
    return f"iptables ({tool.flavour}) table {table} of {family}: {len(chains)} chains"
