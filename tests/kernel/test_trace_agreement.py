"""The tracer and the kernel agree on random packets to random Services.

A failure names its seed; NODEPROXY_TRACE_SEED repeats it.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random

import pytest

from lab import nft
from lab.topology import private_node
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.types import PlanDelta
from tests.kernel.agreement import Agreement, Compared, kinds
from tests.kernel.random_services import (
    MOODS,
    Draft,
    Mood,
    own_node,
    random_packets,
    random_service,
    random_settings,
)
from tests.kernel.surroundings import Surroundings
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel

ROUNDS = 12
PACKETS = 280
"""Of one round."""
FEW_ENDINGS = 4
REPETITIONS = 60
"""An ending with a chance of one in four is missed by all of them once in 30 million runs."""
_EMPTY = "".join(
    f"table {family} nodeproxy\ndelete table {family} nodeproxy\n" for family in ("ip", "ip6")
)
"""Our tables are gone, whether they were there or not."""


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    with private_node() as lab:
        yield Surroundings(lab)


@pytest.fixture
def channel(around: Surroundings) -> Iterator[NetfilterSocket]:
    """A socket of the lab's node."""
    with around.lab.node.entered():
        channel = NetfilterSocket()
    with channel:
        yield channel


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("NODEPROXY_TRACE_SEED") or time.time_ns() % 1_000_000)


async def programmed(
    rng: Random, channel: NetfilterSocket, around: Surroundings, mood: Mood
) -> tuple[Agreement, list[Draft]]:
    """A node with random Services under random settings."""
    nft.load(around.lab.node, _EMPTY)
    node = ProgrammedNode(channel=channel)
    drafts = [random_service(rng, number, around, mood) for number in range(1, mood.services + 1)]
    node.stage(own_node(), *(event for draft in drafts for event in draft.events))
    settings = {family: random_settings(rng, family) for family in FAMILIES}
    node.backend.stage(PlanDelta({}, set(), settings))
    report = await node.backend.commit()
    assert not report.quarantined
    return Agreement(node, around), drafts


def check(compared: list[Compared], seed: int, round_: int) -> None:
    wrong = [each for each in compared if each.ending is None]
    text = "\n".join(map(str, wrong[:3]))
    assert not wrong, f"seed {seed}, round {round_}: {len(wrong)} of {len(compared)}\n{text}"


async def test_the_kernel_does_what_the_tracer_says(
    around: Surroundings, channel: NetfilterSocket, seed: int
):
    seen: Counter[str] = Counter()
    rng = Random(seed)

    for round_ in range(ROUNDS):
        mood = MOODS[round_ % len(MOODS)]
        agreement, drafts = await programmed(rng, channel, around, mood)
        compared = agreement.compare(random_packets(rng, around, drafts, mood, PACKETS))
        check(compared, seed, round_)
        seen += kinds(compared)

    assert set(seen) == {
        "translated", "translated masq", "remembered", "untouched", "refused", "reset", "dropped",
    }, f"seed {seed}"  # fmt: skip
    assert seen.total() >= 3000, f"seed {seed}"


async def test_the_kernel_comes_to_every_ending(
    around: Surroundings, channel: NetfilterSocket, seed: int
):
    rng = Random(seed)
    agreement, drafts = await programmed(rng, channel, around, MOODS[0])
    packets = dict.fromkeys(random_packets(rng, around, drafts, MOODS[0], PACKETS))
    few = [sent for sent in packets if 1 < len(agreement.trace(sent)) <= FEW_ENDINGS][:12]

    compared = agreement.compare(few * REPETITIONS)

    check(compared, seed, 0)
    reached = defaultdict(set)
    for each in compared:
        assert each.ending is not None
        reached[each.sent].add(each.ending.outcome)
    for sent in reached:
        assert reached[sent] == {ending.outcome for ending in agreement.trace(sent)}, sent
