"""Who owns a destination that several claim (SVC-60 [N])."""

from __future__ import annotations

import itertools

import pytest

from nodeproxy.model.addresses import parse_addr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.claims import ClaimTable
from nodeproxy.plan.types import Claim

CLAIM = Claim(parse_addr("1.2.3.4"), Protocol.TCP, 80)
OTHER_CLAIM = Claim(parse_addr("1.2.3.4"), Protocol.UDP, 80)


def key(name: str) -> ServicePortKey:
    return ServicePortKey("default", name, "", Protocol.TCP)


A, B, C = key("a"), key("b"), key("c")


@pytest.mark.parametrize("order", list(itertools.permutations([A, B, C])))
def test_the_first_in_key_order_owns_it_whoever_came_first(order: tuple[ServicePortKey, ...]):
    table = ClaimTable()

    for claimant in order:
        table.add(CLAIM, claimant)

    assert table.owner(CLAIM) == A


def test_a_single_claimant_concerns_nobody_else():
    table = ClaimTable()

    assert not table.add(CLAIM, B)
    assert not table.has_contested
    assert not table.remove(CLAIM, B)


def test_a_second_claimant_concerns_both():
    table = ClaimTable()
    table.add(CLAIM, B)

    assert set(table.add(CLAIM, A)) == {A, B}
    assert table.has_contested


def test_when_the_owner_leaves_the_next_has_it():
    table = ClaimTable()
    for claimant in (A, B, C):
        table.add(CLAIM, claimant)

    concerned = table.remove(CLAIM, A)

    assert set(concerned) == {B, C}
    assert table.owner(CLAIM) == B


def test_when_one_is_left_nothing_is_contested():
    table = ClaimTable()
    table.add(CLAIM, A)
    table.add(CLAIM, B)

    assert set(table.remove(CLAIM, A)) == {B}
    assert not table.has_contested
    assert table.owner(CLAIM) == B


def test_protocols_are_different_destinations():
    table = ClaimTable()
    table.add(CLAIM, A)

    assert not table.add(OTHER_CLAIM, B)
    assert table.owner(OTHER_CLAIM) == B


def test_the_same_claim_twice_is_one():
    table = ClaimTable()
    table.add(CLAIM, A)

    assert not table.add(CLAIM, A)


def test_a_destination_nobody_claims_has_no_owner():
    table = ClaimTable()
    table.add(CLAIM, A)
    table.remove(CLAIM, A)

    with pytest.raises(KeyError):
        table.owner(CLAIM)
