"""Rules in the language of iptables-restore, exactly as iptables-save prints them.

So what was read back compares as text with what would be written; versions 1.8.x of both flavours
print alike. A tool that prints something in another way costs a rewrite of that chain whenever
the tables are read, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import assert_never

from nodeproxy.backends.iptables.objects import (
    Accept,
    Chain,
    Chance,
    ClearMark,
    Comment,
    Dnat,
    Drop,
    FromInterface,
    FromNetwork,
    Goto,
    Hook,
    InState,
    Jump,
    Known,
    Local,
    Marked,
    Masquerade,
    Match,
    Note,
    OfProtocol,
    Reject,
    Reset,
    Return,
    Rule,
    SetMark,
    Target,
    ToItself,
    ToNetwork,
    ToPorts,
)
from nodeproxy.model.addresses import format_addr_port, format_cidr

MAX_COMMENT_BYTES = 255
_RANDOM_RANGE = 1 << 31
"""The kernel draws 31 bits; iptables turns a probability into a bound and back."""


def chain_text(chain: Chain) -> str:
    """The rules of a chain, one `-A` line each, every line with its line feed."""
    start = f"-A {chain.name}"
    return "".join([f"{start}{rule_text(rule)}\n" for rule in chain.rules])


def hook_text(hook: Hook) -> str:
    """What follows `-A` or `-I`: `INPUT -j NP-INPUT`."""
    return f"{hook.builtin} -j {hook.chain}"


def rule_text(rule: Rule) -> str:
    """A rule without its chain, beginning with a blank."""
    return "".join([*map(_match_text, rule.matches), _target_text(rule.target)])


def comment_for(subject: object) -> Comment:
    """A comment that iptables takes: without characters it would escape, and not too long."""
    text = str(subject).encode("ascii", "replace")[:MAX_COMMENT_BYTES].decode()
    return Comment(text.translate(_UNQUOTED))


_UNQUOTED = str.maketrans({'"': "'", "\\": "/", "'": "`"} | dict.fromkeys(map(chr, range(32)), "?"))


@lru_cache(4096)
def _match_text(match: Match) -> str:
    match match:
        case FromNetwork(cidr=cidr, negate=negate):
            return f"{_not(negate)} -s {format_cidr(cidr)}"
        case ToNetwork(cidr=cidr, negate=negate):
            return f"{_not(negate)} -d {format_cidr(cidr)}"
        case FromInterface(name=name, is_prefix=is_prefix, negate=negate):
            return f"{_not(negate)} -i {name}{'+' if is_prefix else ''}"
        case OfProtocol(protocol=protocol):
            return f" -p {protocol.name.lower()}"
        case Comment(text=text):
            return f' -m comment --comment "{text}"'
        case ToPorts(protocol=protocol, first=first, last=last):
            ports = str(first) if first == last else f"{first}:{last}"
            return f" -m {protocol.name.lower()} --dport {ports}"
        case Local(is_source=is_source):
            return f" -m addrtype --{'src' if is_source else 'dst'}-type LOCAL"
        case InState(states=states, negate=negate):
            return f" -m conntrack{_not(negate)} --ctstate {states}"
        case Marked(bit=bit, negate=negate):
            return f" -m mark{_not(negate)} --mark {bit:#x}/{bit:#x}"
        case Chance(of=of):
            return f" -m statistic --mode random --probability {probability_text(of)}"
        case Known(list_name=name, seconds=seconds, is_ipv6=is_ipv6):
            check = f"--rcheck --seconds {seconds} --reap"
            return f" -m recent {check} --name {name} --mask {_WHOLE[is_ipv6]} --rsource"
        case Note(list_name=name, is_ipv6=is_ipv6):
            return f" -m recent --set --name {name} --mask {_WHOLE[is_ipv6]} --rsource"
        case ToItself(is_ipv6=is_ipv6):
            return f' -m bpf --bytecode "{_SAME_ADDRESS[is_ipv6]}"'
    assert_never(match)


def _not(negate: bool) -> str:
    return " !" if negate else ""


_WHOLE = {False: "255.255.255.255", True: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
"""The mask of whole addresses, which iptables-save prints though nobody asked for it."""


def probability_text(of: int) -> str:
    """1/of, as the nearest value the kernel can draw, with iptables' eleven decimals (DP-60)."""
    bound = (_RANDOM_RANGE + of // 2) // of
    return f"{bound / _RANDOM_RANGE:.11f}"


def _target_text(target: Target) -> str:
    match target:
        case Dnat(endpoint=endpoint):
            return f" -j DNAT --to-destination {format_addr_port(*endpoint)}"
        case Goto(chain=chain):
            return f" -g {chain}"
        case Jump(chain=chain):
            return f" -j {chain}"
        case Return():
            return " -j RETURN"
        case Accept():
            return " -j ACCEPT"
        case Drop():
            return " -j DROP"
        case Reject(is_ipv6=is_ipv6):
            return f" -j REJECT --reject-with icmp{'6' if is_ipv6 else ''}-port-unreachable"
        case Reset():
            return " -j REJECT --reject-with tcp-reset"
        case SetMark(bit=bit):
            return f" -j MARK --set-xmark {bit:#x}/{bit:#x}"
        case ClearMark(bit=bit):
            return f" -j MARK --set-xmark {bit:#x}/0x0"
        case Masquerade():
            return " -j MASQUERADE --random-fully"
    assert_never(target)


def _same_address(offsets: Iterable[tuple[int, int]]) -> str:
    """A classic BPF program that is true if the words at each two offsets are the same.

    ld [a]; tax; ld [b]; jeq x, next, fail   for each two words
    ret #65535
    ret #0
    """
    pairs = list(offsets)
    program = []
    for index, (first, second) in enumerate(pairs):
        to_fail = 4 * (len(pairs) - index - 1) + 1
        program += [f"32 0 0 {first}", "7 0 0 0", f"32 0 0 {second}", f"29 0 {to_fail} 0"]
    program += ["6 0 0 65535", "6 0 0 0"]
    return ",".join([str(len(program)), *program])


_SAME_ADDRESS = {
    False: _same_address([(12, 16)]),
    True: _same_address((8 + word, 24 + word) for word in (0, 4, 8, 12)),
}
"""Source and destination within an IPv4 and an IPv6 header."""
