from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import pytest

from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.sync import Pacing, SyncLoop
from nodeproxy.backends.base import CommitReport
from nodeproxy.config.schema import LocalMode
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent, Synced
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import FamilySettings, PlanDelta, PlanKey, ServicePortPlan
from nodeproxy.state.cluster import Changes, ClusterState
from tests.support.builders import endpoints, node, service, slice_, upserted

NEEDED = [Synced(Kind.SERVICE), Synced(Kind.ENDPOINT_SLICE), Synced(Kind.NODE)]
EVERYTHING = [*NEEDED, Synced(Kind.SERVICE_CIDR)]
WEB = service("web").cluster_ip("10.96.0.10").port(80)
PODS = slice_("web-1", service="web").port(8080)


class FakeBackend:
    """Takes every plan; fails as often as it is told to."""

    def __init__(self) -> None:
        self.plans: dict[PlanKey, ServicePortPlan] = {}
        self.settings: dict[Family, FamilySettings] = {}
        self.commits = 0
        self.failures_to_come = 0
        self._has_work = True

    @property
    def needs_commit(self) -> bool:
        return self._has_work

    def stage(self, delta: PlanDelta) -> None:
        self._has_work = True
        self.plans.update(delta.puts)
        self.settings.update(delta.settings)
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

    async def wait(self, word: str, count: int = 1) -> None:
        """Wait until this was told so often."""
        while self.told.count(word) < count:
            await self._changed.wait()
            self._changed.clear()

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        self.told.append(f"took {len(events)}")

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        self.told.append(f"decided {len(delta.puts)}")

    def installed(self) -> None:
        self.told.append("installed")

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
        self,
        patience_seconds: float = 1000.0,
        options: PlanOptions | None = None,
        pacing: Pacing = Pacing(),  # noqa: B008 (frozen)
    ) -> None:
        self.inbox = Inbox()
        self.backend = FakeBackend()
        self.watcher = Watcher()
        state = ClusterState("n1")
        planner = Planner(state, options or PlanOptions())
        self.loop = SyncLoop(
            self.inbox, state, planner, self.backend, self.watcher, patience_seconds, pacing
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

    assert agent.watcher.told == [
        *("took 4", "decided 0", "queued", "failed"),
        *("took 0", "decided 0", "queued", "installed", "synced"),
    ]


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


def masquerading() -> PlanOptions:
    return PlanOptions(masquerade_all=True)


async def test_other_settings_are_planned_with_at_once():
    agent = Agent()
    await agent.turn(*upserted(WEB), *EVERYTHING)

    agent.loop.reconfigure(masquerading(), Pacing())
    running = asyncio.create_task(agent.loop.run())
    async with asyncio.timeout(20):
        await agent.watcher.wait("synced", count=2)
    running.cancel()

    assert agent.backend.settings[Family.IPV4].masquerade_all


async def test_settings_that_change_before_the_first_plan_are_those_of_the_first_plan():
    agent = Agent()

    agent.loop.reconfigure(masquerading(), Pacing())
    await agent.turn(*EVERYTHING)

    assert (agent.backend.commits, agent.backend.settings[Family.IPV4].masquerade_all) == (1, True)


async def test_between_syncs_there_is_the_pause_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    """LIFE-3: the first runs at once, and what comes in the pause becomes one."""
    agent = Agent(pacing=Pacing(least_pause_seconds=7.0))
    pauses: list[float] = []
    still = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        still.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("nodeproxy.agent.sync.asyncio.sleep", pause)
    agent.inbox.put([*upserted(WEB), *EVERYTHING])
    running = asyncio.create_task(agent.loop.run())
    async with asyncio.timeout(20):
        await agent.watcher.wait("synced")
        agent.inbox.put(upserted(service("dns").cluster_ip("10.96.0.53").port(53)))
        await still.wait()
    running.cancel()

    assert agent.backend.commits == 1
    assert 0 < pauses[0] <= 7.0


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1.0), (4, 4.0), (5, 5.0), (1000, 5.0)]
)
def test_failed_syncs_are_tried_again_later_and_later_up_to_the_sync_period(
    failures: int, seconds: float
):
    """LIFE-4."""
    pacing = Pacing(longest_retry_seconds=5.0)

    wait = pacing.retry_seconds(failures)

    assert wait == seconds


async def test_another_kind_of_endpoints_writes_and_tells_only_what_differs(
    caplog: pytest.LogCaptureFixture,
):
    agent = Agent()
    dns = service("dns").cluster_ip("10.96.0.53").port(53)
    dns_pods = slice_("dns-1", service="dns").port(53).endpoint("10.0.1.1")
    pods = slice_("web-1", service="web").port(8080).endpoint("10.0.0.1")
    await agent.turn(*upserted(WEB, dns, pods, dns_pods), *EVERYTHING)
    before = dict(agent.backend.plans)

    with caplog.at_level(logging.INFO, "nodeproxy.sync"):
        await agent.turn(EndpointsChosen(Kind.ENDPOINT_SLICE))
        await agent.turn(
            *upserted(
                endpoints("web").subset().port(8080).address("10.0.0.1"),
                endpoints("dns").subset().port(53).address("10.0.1.2"),
            )
        )
        beside = agent.backend.commits
        await agent.turn(EndpointsChosen(Kind.ENDPOINTS))

    changed = {
        key.port.name for key, plan in agent.backend.plans.items() if before[key] is not plan
    }
    assert (beside, agent.backend.commits, changed) == (1, 2, {"dns"})
    assert "Service default/dns: port/TCP IPv4 gains 10.0.1.2:53, loses 10.0.1.1:53" in caplog.text
    assert "1 of 2 Services" in caplog.text


async def test_another_kind_with_the_same_endpoints_writes_nothing():
    agent = Agent()
    pods = slice_("web-1", service="web").port(8080).endpoint("10.0.0.1")
    await agent.turn(*upserted(WEB, pods), *EVERYTHING)
    await agent.turn(EndpointsChosen(Kind.ENDPOINT_SLICE))
    await agent.turn(*upserted(endpoints("web").subset().port(8080).address("10.0.0.1")))

    await agent.turn(EndpointsChosen(Kind.ENDPOINTS))

    assert agent.backend.commits == 1
