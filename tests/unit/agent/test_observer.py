"""Who hears of a decision before the rules change, and who afterwards."""

from __future__ import annotations

from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.observer import AgentObserver
from nodeproxy.agent.reporter import Reporter
from nodeproxy.agent.sync import SyncLoop
from nodeproxy.backends.base import CommitReport
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.model.reports import NoRecorder
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta
from nodeproxy.server.health import HealthState
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.state.cluster import Changes, ClusterState
from tests.support.builders import service, upserted
from tests.unit.agent.test_sync import EVERYTHING, FakeBackend

WEB = service("web").cluster_ip("10.96.0.10").port(80)


class Diary:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []


class Checks:
    """Health checks that keep a diary."""

    def __init__(self, diary: Diary) -> None:
        self._lines = diary.lines

    def decided(self, delta: PlanDelta) -> None:
        self._lines.append("checks decided")

    def installed(self) -> None:
        self._lines.append("checks installed")


class Flows:
    """A follower that keeps a diary."""

    def __init__(self, diary: Diary) -> None:
        self._lines = diary.lines

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        self._lines.append(f"flows decided {len(changes.services)} {len(delta.puts)}")

    def installed(self) -> None:
        self._lines.append("flows installed")


class Backend(FakeBackend):
    """A backend that keeps a diary."""

    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self._lines = diary.lines

    async def commit(self) -> CommitReport:
        try:
            report = await super().commit()
        except BackendError:
            self._lines.append("commit failed")
            raise
        self._lines.append("commit")
        return report


class Agent:
    """A sync loop, its observer, and a diary of both."""

    def __init__(self) -> None:
        self.diary = Diary()
        self.inbox, self.backend = Inbox(), Backend(self.diary)
        state = ClusterState("n1")
        planner = Planner(state, PlanOptions())
        self.metrics = AgentMetrics()
        observer = AgentObserver(
            FAMILIES,
            state,
            planner,
            HealthState(),
            self.metrics,
            Checks(self.diary),
            Reporter(NoRecorder(), state),
            followers=[Flows(self.diary)],
        )
        self.loop = SyncLoop(self.inbox, state, planner, self.backend, observer)


async def test_health_checks_change_before_the_rules_and_flows_after():
    """HZ-21, CT-1."""
    agent = Agent()
    agent.inbox.put([*upserted(WEB), *EVERYTHING])

    await agent.loop.turn()

    assert agent.diary.lines == [
        *("checks decided", "flows decided 1 1"),
        "commit",
        *("checks installed", "flows installed"),
    ]


async def test_nobody_hears_that_a_failed_commit_is_installed():
    agent = Agent()
    agent.backend.failures_to_come = 1
    agent.inbox.put([*upserted(WEB), *EVERYTHING])

    await agent.loop.turn()
    first = list(agent.diary.lines)
    await agent.loop.turn()

    assert first == ["checks decided", "flows decided 1 1", "commit failed"]
    assert agent.diary.lines[3:] == [
        *("checks decided", "flows decided 0 0"),
        "commit",
        *("checks installed", "flows installed"),
    ]


async def test_what_needs_no_write_is_installed_at_once():
    """An endpoint that terminated left the plan before; its flows end with it (CT-5)."""
    agent = Agent()
    agent.inbox.put([*upserted(WEB), *EVERYTHING])
    await agent.loop.turn()
    agent.diary.lines.clear()

    agent.inbox.put(upserted(WEB.label("edited", "yes")))
    await agent.loop.turn()

    assert agent.diary.lines == [
        *("checks decided", "flows decided 0 0"),
        *("checks installed", "flows installed"),
    ]


async def test_conflicts_are_counted():
    agent = Agent()
    other = service("other").cluster_ip("10.96.0.10").port(80)
    agent.inbox.put([*upserted(WEB, other), *EVERYTHING])

    await agent.loop.turn()

    assert "\nnodeproxy_conflicts 1\n" in agent.metrics.exposition(0.0)
