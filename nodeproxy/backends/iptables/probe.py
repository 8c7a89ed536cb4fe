"""Can this kernel, with these commands, carry our rules? Asked by writing one of each kind.

They go into two chains nothing leads to, which are deleted at once.
"""

from __future__ import annotations

from nodeproxy.backends.iptables.objects import (
    Chain,
    Chance,
    Comment,
    Dnat,
    Drop,
    Goto,
    InState,
    Known,
    Local,
    Marked,
    Masquerade,
    Note,
    OfProtocol,
    Reject,
    Reset,
    Rule,
    SetMark,
    Table,
    Target,
    ToItself,
    ToPorts,
)
from nodeproxy.backends.iptables.text import chain_text
from nodeproxy.backends.iptables.tool import Tool
from nodeproxy.errors import KernelUnsupported
from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Target as Endpoint

_CHAIN = "NP-PROBE"
_END = "NP-PROBE-END"


def probe(tool: Tool, family: Family) -> None:
    """Check that our rules could be written; nothing stays.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        KernelUnsupported: something is refused; the text names it.
        BackendError: the commands cannot do their work.
    """
    for table in Table:
        text = f":{_CHAIN} - [0:0]\n:{_END} - [0:0]\n"
        lines = f"*{table}\n{text}{chain_text(Chain(_CHAIN, _one_of_each(table, family)))}COMMIT\n"
        refusal = tool.restore(family, lines)
        if refusal is not None:
            asked = lines.splitlines()[refusal.line - 1] if refusal.line else "COMMIT"
            raise KernelUnsupported(
                f"the kernel cannot carry nodeproxy's iptables rules for {family}: "
                f"{asked}: {refusal.text}",
                "it needs the matches addrtype, bpf, comment, conntrack, mark, recent and "
                "statistic, the targets DNAT, MARK, MASQUERADE and REJECT (modules xt_*, "
                "ipt_REJECT, ip6t_REJECT), iptables 1.6.2 or newer, and CAP_NET_ADMIN",
            )
        tool.restore(family, f"*{table}\n{text}-X {_CHAIN}\n-X {_END}\nCOMMIT\n")


def _one_of_each(table: Table, family: Family) -> tuple[Rule, ...]:
    is_ipv6 = family is Family.IPV6
    tcp = OfProtocol(Protocol.TCP)
    if table is Table.FILTER:
        states = InState("INVALID,RELATED,ESTABLISHED,UNTRACKED,DNAT", negate=True)
        return (
            Rule((states,), Drop()),
            Rule((tcp, ToPorts(Protocol.TCP, 1, 2)), Reset()),
            Rule((), Reject(is_ipv6)),
        )
    endpoint: Target = Dnat(Endpoint(Addr(bytes(family.addr_bytes - 1) + b"\1"), 80))
    return (
        Rule((tcp, Comment("nodeproxy checks what the kernel can do"), Chance(3)), endpoint),
        Rule((Known(_CHAIN, 3600, is_ipv6),), Goto(_END)),
        Rule((tcp, Note(_CHAIN, is_ipv6)), endpoint),
        Rule((Local(is_source=False),), SetMark(1)),
        Rule((InState("DNAT"), ToItself(is_ipv6)), SetMark(1)),
        Rule((Marked(1, negate=True),), Masquerade()),
    )
