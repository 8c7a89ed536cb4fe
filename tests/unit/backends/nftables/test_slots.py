"""Slots: everybody gets one, and who has one keeps it where that can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.backends.nftables.objects import Slots
from nodeproxy.backends.nftables.slots import SlotPool, assign_slots, slot_class_for

ENDPOINTS = st.integers(0, 9).map(lambda number: bytes([number]))
WANTED = st.lists(ENDPOINTS, unique=True, max_size=10).map(Slots)
CLEAN = WANTED
DAMAGED = st.lists(st.none() | ENDPOINTS, max_size=12).map(Slots)


@given(DAMAGED, WANTED)
def test_every_wanted_endpoint_gets_one_slot_and_no_slot_is_empty(installed: Slots, wanted: Slots):
    assert sorted(assign_slots(installed, wanted), key=repr) == sorted(wanted, key=repr)


@given(CLEAN, WANTED)
def test_who_stays_keeps_its_slot_unless_the_slot_goes(installed: Slots, wanted: Slots):
    if not installed:
        return

    slots = assign_slots(installed, wanted)

    for index, endpoint in enumerate(installed[: len(wanted)]):
        if endpoint in wanted:
            assert slots[index] == endpoint


@given(CLEAN, WANTED)
def test_no_more_slots_change_than_must(installed: Slots, wanted: Slots):
    """A slot changes if its endpoint goes, if it is new, or if it goes itself."""
    slots = assign_slots(installed, wanted)

    common = installed[: len(wanted)]
    changed = sum(old != new for old, new in zip(common, slots, strict=False))

    assert changed == sum(endpoint not in wanted for endpoint in common)


@given(WANTED)
def test_nothing_to_change_gives_the_same_slots(wanted: Slots):
    installed = Slots(reversed(wanted))

    assert assign_slots(installed, wanted) == installed


@given(WANTED)
def test_a_new_frontend_has_the_canonical_order(wanted: Slots):
    assert assign_slots(Slots(), wanted) == wanted
    assert assign_slots(None, wanted) == wanted


@pytest.mark.parametrize(
    ("endpoints", "slots"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16), (1000, 1024)]
)
def test_a_class_is_the_next_power_of_two(endpoints: int, slots: int):
    assert slot_class_for(SlotPool.SERVICE, endpoints).slots == slots


@given(st.integers(1, 100_000))
def test_more_than_half_of_a_class_is_filled(endpoints: int):
    slots = slot_class_for(SlotPool.SERVICE, endpoints).slots

    assert slots // 2 < endpoints <= slots
