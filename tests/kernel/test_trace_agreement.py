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
    Mood,
    own_node,
    random_endpoints,
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


class Round:
    """A node with random Services under random settings, and packets to send."""

    def __init__(
        self, rng: Random, channel: NetfilterSocket, around: Surroundings, mood: Mood
    ) -> None:
        self._rng, self._channel, self._around, self._mood = rng, channel, around, mood
        self._numbers = range(1, mood.services + 1)
        self._drafts = [random_service(rng, number, around, mood) for number in self._numbers]
        self._node = ProgrammedNode(channel=channel)
        self.packets = random_packets(rng, around, self._drafts, mood, PACKETS)

    async def program(self) -> Agreement:
        nft.load(self._around.lab.node, _EMPTY)
        self._node.stage(own_node(), *(event for draft in self._drafts for event in draft.events))
        settings = {family: random_settings(self._rng, family) for family in FAMILIES}
        self._node.backend.stage(PlanDelta({}, set(), settings))
        report = await self._node.backend.commit()
        assert not report.quarantined
        return Agreement(self._node, self._around)

    async def change(self, agreement: Agreement) -> None:
        """Give half of the Services other endpoints."""
        chosen = self._rng.sample(self._numbers, len(self._numbers) // 2)
        for number in chosen:
            await self._node.take(*random_endpoints(self._rng, number, self._around, self._mood))
        agreement.renew()

    def check(self, agreement: Agreement, compared: list[Compared], where: str) -> None:
        wrong = [each for each in compared if each.ending is None]
        text = "\n".join(map(str, wrong[:3]))
        assert not wrong, f"{where}: {len(wrong)} of {len(compared)}\n{text}"
        self.check_records(agreement, where)

    def check_records(self, agreement: Agreement, where: str) -> None:
        for family in FAMILIES:
            in_kernel = agreement.records_in_kernel(self._channel, family)
            assert in_kernel == agreement.records(family), f"{where}: {family}"


async def test_the_kernel_does_what_the_tracer_says(
    around: Surroundings, channel: NetfilterSocket, seed: int
):
    """Also behind a change of endpoints; and the records of affinity are the same as well."""
    seen: Counter[str] = Counter()
    rng = Random(seed)

    for number in range(ROUNDS):
        where = f"seed {seed}, round {number}"
        round_ = Round(rng, channel, around, MOODS[number % len(MOODS)])
        agreement = await round_.program()
        before = agreement.compare(round_.packets[: PACKETS // 2])
        round_.check(agreement, before, f"{where}, before the change")
        await round_.change(agreement)
        round_.check_records(agreement, f"{where}, behind the change")
        after = agreement.compare(round_.packets[PACKETS // 2 :])
        round_.check(agreement, after, f"{where}, after the change")
        seen += kinds(before + after)

    assert set(seen) == {
        "translated", "translated masq", "remembered", "untouched", "refused", "reset", "dropped",
    }, f"seed {seed}"  # fmt: skip
    assert seen.total() >= 3000, f"seed {seed}"


async def test_the_kernel_comes_to_every_ending(
    around: Surroundings, channel: NetfilterSocket, seed: int
):
    round_ = Round(Random(seed), channel, around, MOODS[0])
    agreement = await round_.program()
    different = dict.fromkeys(round_.packets)
    few = [sent for sent in different if 1 < len(agreement.trace(sent)) <= FEW_ENDINGS][:12]

    compared = agreement.compare(few * REPETITIONS)

    round_.check(agreement, compared, f"seed {seed}")
    reached = defaultdict(set)
    for each in compared:
        assert each.ending is not None
        reached[each.sent].add(each.ending.outcome)
    for sent in reached:
        assert reached[sent] == {ending.outcome for ending in agreement.trace(sent)}, sent
