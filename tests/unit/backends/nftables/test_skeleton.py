"""The frame of a table, and the names in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.backends.nftables.objects import (
    DnatByMap,
    DnatToSlot,
    Goto,
    InSet,
    Jump,
    LoadAffinity,
    NetworkInSet,
    Remember,
)
from nodeproxy.backends.nftables.sets import (
    Shape,
    allowed_set,
    class_set,
    members_set,
    parse_class,
    parse_prefix_length,
    parse_timeout,
    set_spec,
)
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool
from nodeproxy.model.addresses import Family
from nodeproxy.plan.types import FamilySettings

CLASSES = st.builds(
    SlotClass, st.sampled_from(SlotPool), st.integers(0, 16).map(lambda power: 1 << power)
)


@given(CLASSES)
def test_a_class_is_known_by_the_name_of_its_set(slot_class: SlotClass):
    assert parse_class(slot_class.set_name) == slot_class
    assert set_spec(slot_class.set_name) == class_set(slot_class)


@pytest.mark.parametrize(
    "name",
    ["", "services", "services-", "services-3", "services-0", "services--4", "services-\u0664",
     "others-4", "service-4", "cluster-ips-4"],
)  # fmt: skip
def test_other_names_are_no_classes(name: str):
    assert parse_class(name) is None


TIMEOUTS = st.integers(1, 86_400)
SHAPES = st.builds(Shape, st.frozensets(CLASSES, max_size=12), st.frozensets(TIMEOUTS, max_size=3))


@given(TIMEOUTS)
def test_a_timeout_is_known_by_the_name_of_its_members(seconds: int):
    spec = members_set(seconds)

    assert parse_timeout(spec.name) == seconds
    assert set_spec(spec.name) == spec


@given(st.integers(1, 128))
def test_a_prefix_length_is_known_by_the_name_of_its_sources(prefix_length: int):
    spec = allowed_set(prefix_length)

    assert parse_prefix_length(spec.name) == prefix_length
    assert set_spec(spec.name) == spec


@pytest.mark.parametrize("name", ["allowed-sources", "allowed-sources-0", "allowed-sources-129"])
def test_other_names_are_no_prefix_lengths(name: str):
    assert parse_prefix_length(name) == 0
    assert set_spec(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "affinity", "affinity-members-", "affinity-members-0", "affinity-members-07",
     "affinity-members--1", "affinity-members-1234567", "10800", "services-4"],
)  # fmt: skip
def test_other_names_are_no_timeouts(name: str):
    assert parse_timeout(name) == 0


@given(SHAPES, st.sampled_from(Family))
def test_every_set_and_chain_a_rule_names_is_there(shape: Shape, family: Family):
    skeleton = build_skeleton(FamilySettings(family), shape)

    sets = {spec.name for spec in skeleton.sets}
    chains = {chain.name for chain in skeleton.chains}
    statements = [s for c in skeleton.chains for rule in c.rules for s in rule.statements]
    assert {s.set_name for s in statements if isinstance(s, InSet | NetworkInSet)} <= sets
    maps = DnatToSlot | DnatByMap | LoadAffinity | Remember
    assert {s.map_name for s in statements if isinstance(s, maps)} <= sets
    assert {s.chain for s in statements if isinstance(s, Jump | Goto)} <= chains
    assert len(chains) == len(skeleton.chains)
    assert len(sets) == len(skeleton.sets)


@given(CLASSES)
def test_the_last_draw_hits_a_slot_that_is_filled_in_every_frontend_of_the_class(
    slot_class: SlotClass,
):
    """The class holds frontends with more endpoints than half of its slots."""
    skeleton = build_skeleton(FamilySettings(Family.IPV4), Shape(frozenset([slot_class])))
    (chain,) = (c for c in skeleton.chains if c.name == slot_class.chain)

    draws = [s.slots for r in chain.rules for s in r.statements if isinstance(s, DnatToSlot)]

    assert draws[-1] <= slot_class.slots // 2 + 1
    assert all(draw == slot_class.slots for draw in draws[:-1])
