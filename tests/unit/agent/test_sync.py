from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.sync import SyncLoop
from nodeproxy.backends.base import CommitReport
from nodeproxy.config.schema import LocalMode
from nodeproxy.errors import BackendError
from nodeproxy.model.events import Kind, SourceEvent, Synced
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta, PlanKey, ServicePortPlan
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import node, service, slice_, upserted

NEEDED = [Synced(Kind.SERVICE), Synced(Kind.ENDPOINT_SLICE), Synced(Kind.NODE)]
EVERYTHING = [*NEEDED, Synced(Kind.SERVICE_CIDR)]
WEB = service("web").cluster_ip("10.96.0.10").port(80)
PODS = slice_("web-1", service="web").port(8080)


class FakeBackend:
    """Takes every plan; fails as often as it is told to."""

    def __init__(self) -> None:
        self.plans: dict[PlanKey, ServicePortPlan] = {}
        self.commits = 0
        self.failures_to_come = 0
        self._has_work = True

    @property
    def needs_commit(self) -> bool:
        return self._has_work

    def stage(self, delta: PlanDelta) -> None:
        self._has_work = True
        self.plans.update(delta.puts)
        for key in delta.removes:
            del self.plans[key]

    async def commit(self) -> CommitReport:
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise BackendError("the kernel is out of memory")
        self.commits += 1
        self._has_work = False
        return CommitReport(operations=1, seconds=0.0)

    def mark_stale(self, reason: str) -> None:
        self._has_work = True

    def render(self) -> str:
        return ""

    def quarantined(self) -> Mapping[PlanKey, str]:
        return {}


class Watcher:
    """Remembers what the loop told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._changed = asyncio.Event()

    async def wait(self, word: str) -> None:
        """Wait until this was told."""
        while word not in self.told:
            await self._changed.wait()
            self._changed.clear()

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        self.told.append(f"took {len(events)}")

    def queued(self) -> None:
        self.told.append("queued")

    def synced(self, report: CommitReport, seconds: float) -> None:
        self.told.append("synced")
        self._changed.set()

    def failed(self, seconds: float) -> None:
        self.told.append("failed")


class Agent:
    """A sync loop with everything it needs, turned by hand."""

    def __init__(
        self, patience_seconds: float = 1000.0, options: PlanOptions | None = None
    ) -> None:
        self.inbox = Inbox()
        self.backend = FakeBackend()
        self.watcher = Watcher()
        state = ClusterState("n1")
        planner = Planner(state, options or PlanOptions())
        self.loop = SyncLoop(
            self.inbox, state, planner, self.backend, self.watcher, patience_seconds
        )

    async def turn(self, *events: SourceEvent) -> None:
        self.inbox.put(events)
        await self.loop.turn()


async def test_the_first_commit_comes_when_every_kind_is_synced():
    agent = Agent()

    await agent.turn(*upserted(WEB, PODS.endpoint("10.0.0.1")), *EVERYTHING[:2])
    before = agent.backend.commits
    await agent.turn(*EVERYTHING[2:])

    assert (before, agent.backend.commits, len(agent.backend.plans)) == (0, 1, 1)


async def test_service_cidrs_that_never_come_hold_up_nothing_when_patience_is_over(
    caplog: pytest.LogCaptureFixture,
):
    """EP-62."""
    agent = Agent(patience_seconds=0.0)

    with caplog.at_level(logging.INFO, "nodeproxy.sync"):
        await agent.turn(*NEEDED)
        await agent.turn(*upserted(WEB))

    assert agent.backend.commits == 2
    assert caplog.text.count("starting without ServiceCIDRs") == 1


async def test_the_loop_begins_by_itself_when_patience_is_over():
    """No event wakes it: what is missing does not come."""
    agent = Agent(patience_seconds=0.001)
    agent.inbox.put(NEEDED)

    running = asyncio.create_task(agent.loop.run())
    async with asyncio.timeout(20):
        await agent.watcher.wait("synced")
    running.cancel()

    assert agent.backend.commits == 1


async def test_a_turn_without_work_commits_nothing():
    agent = Agent()
    await agent.turn(*upserted(WEB), *EVERYTHING)

    await agent.turn(*upserted(WEB.label("edited", "yes")))

    assert agent.backend.commits == 1


async def test_events_that_came_together_become_one_commit():
    agent = Agent()
    await agent.turn(*EVERYTHING)

    await agent.turn(*upserted(WEB, service("dns").cluster_ip("10.96.0.53").port(53)))

    assert (agent.backend.commits, len(agent.backend.plans)) == (2, 2)


async def test_a_failed_commit_is_tried_again_and_told_once(caplog: pytest.LogCaptureFixture):
    agent = Agent()
    agent.backend.failures_to_come = 3

    with caplog.at_level(logging.INFO, "nodeproxy.sync"):
        await agent.turn(*upserted(WEB), *EVERYTHING)
        for _ in range(3):
            await agent.turn()

    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert agent.backend.commits == 1
    assert len(errors) == 1
    assert "out of memory; what is installed stays in force" in errors[0].getMessage()
    assert "rules updated again after=3 attempts" in caplog.text


async def test_health_hears_of_work_before_it_is_done():
    agent = Agent()
    agent.backend.failures_to_come = 1

    await agent.turn(*EVERYTHING)
    await agent.turn()

    assert agent.watcher.told == ["took 4", "queued", "failed", "took 0", "queued", "synced"]


async def test_a_doubt_about_the_rules_is_looked_into_without_any_event():
    agent = Agent()
    await agent.turn(*EVERYTHING)

    agent.backend.mark_stale("somebody flushed the table")
    await agent.turn()

    assert agent.backend.commits == 2


async def test_each_problem_of_an_object_is_logged_once(caplog: pytest.LogCaptureFixture):
    agent = Agent()
    broken = slice_("web-1", service="web").port(8080).endpoint("10.0.0.999")

    for _ in range(3):
        await agent.turn(*upserted(broken))

    assert caplog.text.count("10.0.0.999") == 1


async def test_settings_that_the_node_leaves_without_effect_are_logged_once(
    caplog: pytest.LogCaptureFixture,
):
    agent = Agent(options=PlanOptions(detect_local_mode=LocalMode.NODE_CIDR))

    await agent.turn(*EVERYTHING)
    await agent.turn(node("n1").upserted())

    assert caplog.text.count("has no podCIDRs") == 1


async def test_a_conflict_of_two_services_is_logged_with_both_names(
    caplog: pytest.LogCaptureFixture,
):
    agent = Agent()

    await agent.turn(
        *upserted(WEB, service("other").cluster_ip("10.96.0.10").port(80)), *EVERYTHING
    )

    assert "default/web" in caplog.text
    assert "belongs to Service default/other already" in caplog.text
