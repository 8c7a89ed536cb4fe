from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.backends.iptables.dispatch import LEAF_RULES, MAX_DEPTH, Place, Tree
from nodeproxy.backends.iptables.objects import (
    Chain,
    Dnat,
    Drop,
    Goto,
    OfProtocol,
    Rule,
    ToNetwork,
    ToPorts,
)
from nodeproxy.backends.iptables.text import chain_text
from nodeproxy.model.addresses import Addr, parse_addr
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Target

DROP = (Rule((), Drop()),)


def place(text: str, port: int = 80, protocol: Protocol = Protocol.TCP) -> Place:
    return Place(parse_addr(text) if text else Addr(b""), protocol, port)


def full(tree: Tree) -> dict[str, Chain]:
    """The chains of a tree nothing of which was accepted yet."""
    return {chain.name: chain for chain in tree.changes().chains}


def marked(where: Place) -> tuple[Rule, ...]:
    """Rules that tell places apart."""
    return (Rule((), Dnat(Target(where.addr or Addr(bytes(4)), where.port))),)


def found(chains: dict[str, Chain], root: str, where: Place) -> tuple[object, int]:
    """What a packet meets, and how many rules were asked."""
    asked = 0
    name: str | None = root
    while name is not None:
        rules, name = chains[name].rules, None
        for rule in rules:
            asked += 1
            if _matches(rule, where):
                if isinstance(rule.target, Goto):
                    name = rule.target.chain
                    break
                return rule.target, asked
    return None, asked


def _matches(rule: Rule, where: Place) -> bool:
    for match in rule.matches:
        match match:
            case ToNetwork(cidr=cidr) if not cidr.contains(where.addr):
                return False
            case OfProtocol(protocol=protocol) if protocol is not where.protocol:
                return False
            case ToPorts(first=first, last=last) if not first <= where.port <= last:
                return False
            case _:
                pass
    return True


@st.composite
def places(draw: st.DrawFn) -> Place:
    addr = bytes([10, 96, draw(st.integers(0, 3)), draw(st.integers(0, 40))])
    protocol = draw(st.sampled_from(Protocol))
    return Place(Addr(addr), protocol, draw(st.integers(1, 60)))


@given(st.sets(places(), max_size=120), st.sets(places(), max_size=20))
def test_a_packet_finds_its_own_rule_and_no_other(known: set[Place], others: set[Place]):
    tree = Tree("NP-S", 4)
    for each in known:
        tree.put(each, marked(each))

    chains = full(tree)

    for each in known:
        (rule,) = marked(each)
        assert found(chains, "NP-S", each)[0] == rule.target
    for each in others - known:
        assert found(chains, "NP-S", each)[0] is None


@given(st.lists(st.tuples(st.booleans(), places()), max_size=200), st.randoms())
def test_changes_bring_any_history_to_the_tree_of_its_outcome(
    steps: list[tuple[bool, Place]], dice: random.Random
):
    tree, kernel, known = Tree("NP-S", 4), dict[str, Chain](), set[Place]()
    for is_there, each in steps:
        if is_there:
            tree.put(each, marked(each))
            known.add(each)
        else:
            tree.remove(each, marked(each))
            known.discard(each)
        if dice.random() < 0.3:
            _commit(tree, kernel)
    _commit(tree, kernel)
    fresh = Tree("NP-S", 4)
    for each in known:
        fresh.put(each, marked(each))

    assert kernel == full(fresh)


def _commit(tree: Tree, kernel: dict[str, Chain]) -> None:
    changes = tree.changes()
    for chain in changes.chains:
        kernel[chain.name] = chain
    for name in changes.gone.values():
        del kernel[name]
    tree.accept(changes)


def test_ten_thousand_services_are_asked_for_some_thirty_times():
    tree, dice = Tree("NP-S", 4), random.Random(1)
    known = [
        Place(Addr(bytes([10, 96]) + n.to_bytes(2, "big")), Protocol.TCP, 80)
        for n in dice.sample(range(1 << 16), 10_000)
    ]
    for each in known:
        tree.put(each, DROP)

    chains = full(tree)

    asked = [found(chains, "NP-S", each)[1] for each in known]
    assert sum(asked) / len(asked) < 30
    assert max(asked) < 70


def test_one_service_more_changes_the_chains_on_its_way_only():
    tree = Tree("NP-S", 4)
    for number in range(1000):
        tree.put(
            Place(Addr(bytes([10, 96]) + (64 * number).to_bytes(2, "big")), Protocol.TCP, 80), DROP
        )
    tree.accept(tree.changes())

    tree.put(place("10.96.128.7"), DROP)
    changes = tree.changes()

    assert len(changes.chains) <= 4
    assert sum(len(chain.rules) for chain in changes.chains) <= 4 * LEAF_RULES


def test_a_place_with_other_rules_by_now_is_not_removed():
    tree = Tree("NP-S", 4)
    tree.put(place("10.0.0.1"), DROP)
    tree.put(place("10.0.0.1"), marked(place("10.0.0.1")))

    tree.remove(place("10.0.0.1"), DROP)

    assert len(tree) == 1


def test_many_ports_of_one_address_are_told_apart_by_ranges():
    tree = Tree("NP-S", 4)
    for port in range(8000, 8100):
        tree.put(place("10.0.0.1", port), DROP)

    texts = "".join(map(chain_text, full(tree).values()))

    assert " -d 10.0.0.1/32 -p tcp -m tcp --dport 8000:8015 -g NP-S-" in texts
    assert max(len(chain.rules) for chain in full(tree).values()) <= LEAF_RULES


def test_nodeports_have_no_address():
    tree = Tree("NP-N", 0)
    tree.put(place("", 30080), DROP)

    assert chain_text(full(tree)["NP-N"]) == "-A NP-N -p tcp -m tcp --dport 30080 -j DROP\n"


@pytest.mark.parametrize("addr_bytes", [4, 16])
def test_names_fit_and_chains_are_never_deeper_than_the_kernel_follows(addr_bytes: int):
    """Sixteen is the limit; keys that differ as late as they can are the worst case."""
    tree = Tree("NP-S", addr_bytes)
    for digit in range(addr_bytes * 2):
        for value in range(1, 16):
            number = value << (addr_bytes * 8 - 4 - 4 * digit)
            for port in (1, 300):
                addr = Addr(number.to_bytes(addr_bytes, "big"))
                tree.put(Place(addr, Protocol.TCP, port), DROP)

    chains = full(tree)

    assert max(map(len, chains)) <= 28
    assert _depth(chains, "NP-S") <= MAX_DEPTH


def _depth(chains: dict[str, Chain], name: str) -> int:
    below: Iterable[int] = (
        _depth(chains, rule.target.chain) + 1
        for rule in chains[name].rules
        if isinstance(rule.target, Goto)
    )
    return max(below, default=0)
