"""What is in the kernel is a function of the cluster, however it came about."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.namespace import Namespace
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.channel import NetfilterSocket
from tests.support.fake_kernel import FakeKernel
from tests.support.histories import batches, histories, outcome
from tests.support.programming import Pools, ProgrammedNode, plain_elements, pools

Elements = list[tuple[Pools, dict[str, dict[str, str]]]]

_INCIDENTS = ("", "", "", "restart", "flush", "lost answer", "stale")


def elements(kernel: FakeKernel) -> Elements:
    """All elements of both families; `pools` checks slots and classes on the way."""
    listings = [kernel.listing(family) for family in FAMILIES]
    return [(pools(listing), plain_elements(listing)) for listing in listings]


async def program_at_once(events: list[SourceEvent]) -> Elements:
    node = ProgrammedNode()
    await node.take(*outcome(events))
    return elements(node.kernel)


async def program_in_steps(node: ProgrammedNode, steps: list[tuple[list[SourceEvent], str]]):
    """Each step's events and commit, then what befalls the node after it."""
    await node.take()
    for events, incident in steps:
        node.kernel.lose_answer(lose=incident == "lost answer")
        node.stage(*events)
        with contextlib.suppress(BackendError):
            await node.backend.commit()
            elements(node.kernel)
        node.kernel.lose_answer(lose=False)
        if incident == "restart":
            await node.restart()
        elif incident == "flush":
            node.kernel.foreign_flush()
            node.backend.mark_stale("a foreign flush")
        elif incident == "stale":
            node.backend.mark_stale("a foreign change elsewhere")
    await node.backend.commit()


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[list[SourceEvent], str]]:
    rounds = draw(batches(draw(histories())))
    return [(events, draw(st.sampled_from(_INCIDENTS))) for events in rounds]


def joined(history: list[tuple[list[SourceEvent], str]]) -> list[SourceEvent]:
    return [event for events, _ in history for event in events]


@settings(deadline=None)
@given(steps())
def test_any_history_leaves_the_elements_of_its_outcome(
    history: list[tuple[list[SourceEvent], str]],
):
    node = ProgrammedNode()

    asyncio.run(program_in_steps(node, history))

    assert elements(node.kernel) == asyncio.run(program_at_once(joined(history)))
    assert node.backend.quarantined() == {}


@settings(deadline=None, max_examples=50)
@given(steps())
def test_a_restart_after_any_history_changes_nothing(
    history: list[tuple[list[SourceEvent], str]],
):
    node = ProgrammedNode()
    asyncio.run(program_in_steps(node, history))
    commits = len(node.kernel.commits)

    asyncio.run(node.restart())

    assert len(node.kernel.commits) == commits


@settings(deadline=None, max_examples=50)
@given(steps())
def test_no_batch_of_any_history_is_refused(history: list[tuple[list[SourceEvent], str]]):
    """Created before referenced, unreferenced before deleted; nothing twice (invariant 6)."""
    node = ProgrammedNode()

    asyncio.run(program_in_steps(node, history))

    assert node.kernel.refused == 0


async def program_with_refusals(
    node: ProgrammedNode, history: list[tuple[list[SourceEvent], str]], refused: bytes
) -> None:
    """The kernel refuses everything about one endpoint in the steps with an incident."""
    await node.take()
    for events, incident in history:
        if incident:
            node.kernel.refuse_element(lambda _, __, data: data[:4] == refused)
        else:
            node.kernel.refuse_element(None)
        await node.take(*events)
    node.kernel.refuse_element(None)
    node.backend.mark_stale("all is well again")
    await node.backend.commit()


@settings(deadline=None, max_examples=60)
@given(steps(), st.integers(1, 6))
def test_what_was_refused_for_a_while_leaves_no_trace(
    history: list[tuple[list[SourceEvent], str]], number: int
):
    """Invariant 7: no commit fails, and in the end everything is as if nothing had been."""
    node = ProgrammedNode()

    asyncio.run(program_with_refusals(node, history, bytes([10, 0, 0, number])))

    assert elements(node.kernel) == asyncio.run(program_at_once(joined(history)))
    assert node.backend.quarantined() == {}


@settings(deadline=None, max_examples=50)
@given(histories(), st.data())
def test_rendering_depends_on_the_outcome_alone(events: list[SourceEvent], data: st.DataObject):
    """Invariant 5."""
    at_once = ProgrammedNode()
    in_steps = ProgrammedNode()

    at_once.stage(*data.draw(st.permutations(outcome(events))))
    for batch in data.draw(batches(events)):
        in_steps.stage(*batch)

    assert in_steps.backend.render() == at_once.backend.render()


@pytest.mark.kernel
@settings(deadline=None, max_examples=12)
@given(steps())
def test_the_real_kernel_holds_the_same(history: list[tuple[list[SourceEvent], str]]):
    with Namespace("history") as namespace:
        with namespace.entered():
            channel = NetfilterSocket()
        with channel:
            node = ProgrammedNode(channel=channel)
            quiet = [(events, "" if what == "flush" else what) for events, what in history]

            asyncio.run(program_in_steps(node, quiet))

            assert elements(FakeKernel.from_dumps(channel)) == asyncio.run(
                program_at_once(joined(history))
            )
