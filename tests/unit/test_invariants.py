"""The invariants of docs/architecture.md that concern more than one package."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.sync import SyncLoop
from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.model.events import Kind, Rejected, SourceEvent, Synced
from nodeproxy.model.problems import Problem
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta, PlanKey
from nodeproxy.state.cluster import Changes, ClusterState
from tests.support.builders import node, service, slice_

PACKAGE = Path(__file__).parents[2] / "nodeproxy"
PURE = ("model", "config", "state", "plan")


def modules(folder: str = "") -> Iterator[Path]:
    return (PACKAGE / folder).rglob("*.py")


def imported(path: Path) -> set[str]:
    """Top-level names of what a module imports, wherever in it."""
    found = set()
    for part in ast.walk(ast.parse(path.read_text())):
        if isinstance(part, ast.Import):
            found |= {alias.name.split(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and part.module:
            found.add(part.module.split(".")[0])
    return found


def callers_of(call: str) -> set[str]:
    """Modules with a call whose receiver and method end so."""
    return {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.Call) and ast.unparse(part.func).endswith(call)
    }


@pytest.mark.parametrize("call", ["state.apply", "planner.replan", "planner.set_options"])
def test_only_the_sync_loop_changes_state_and_plan(call: str):
    """Invariant 1; `render` has no loop and does what it needs once."""
    assert callers_of(call) - {"agent/render.py"} == {"agent/sync.py"}


@pytest.mark.parametrize(
    "decision",
    [
        Inbox.take_all,
        ClusterState.apply,
        Planner.replan,
        NftablesBackend.stage,
        SyncLoop._decide,
        SyncLoop._plan,
    ],
    ids=lambda decision: decision.__qualname__,
)
def test_nothing_is_awaited_from_events_to_difference(decision: Callable[..., object]):
    """Invariant 2."""
    assert not inspect.iscoroutinefunction(decision)


@pytest.mark.parametrize("folder", PURE)
def test_pure_packages_neither_wait_nor_log_nor_read_clocks(folder: str):
    forbidden = {"asyncio", "logging", "time", "threading", "subprocess", "aiohttp"}

    guilty = {path.name for path in modules(folder) if imported(path) & forbidden}

    assert guilty == set()


class RecordingBackend:
    """Takes every plan and programs nothing."""

    def __init__(self) -> None:
        self.deltas: list[PlanDelta] = []
        self.commits = 0

    def stage(self, delta: PlanDelta) -> None:
        self.deltas.append(delta)

    @property
    def needs_commit(self) -> bool:
        return len(self.deltas) > self.commits

    async def commit(self) -> CommitReport:
        self.commits = len(self.deltas)
        return CommitReport(operations=1, seconds=0.0)

    def mark_stale(self, reason: str) -> None:
        pass

    def render(self) -> str:
        return ""

    def quarantined(self) -> Mapping[PlanKey, str]:
        return {}


class NobodyWatches:
    """An observer of the sync loop."""

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        pass

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        pass

    def queued(self) -> None:
        pass

    def installed(self) -> None:
        pass

    def synced(self, report: CommitReport, seconds: float) -> None:
        pass

    def failed(self, seconds: float) -> None:
        pass


class Agent:
    """A sync loop over a recording backend."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.backend = RecordingBackend()
        state = ClusterState("node-1")
        planner = Planner(state, PlanOptions())
        self._loop = SyncLoop(self.inbox, state, planner, self.backend, NobodyWatches())

    async def takes(self, *events: SourceEvent) -> int:
        """One turn of the loop; how many commits there were so far."""
        self.inbox.put(events)
        await self._loop.turn()
        return self.backend.commits


WEB = (
    service("web").cluster_ip("10.96.0.10").port(80).upserted(),
    slice_("web-1", service="web").port(8080).endpoint("10.0.0.1").upserted(),
    node("node-1").upserted(),
)


async def test_nothing_is_written_before_everything_was_told():
    """Invariant 3, EP-60."""
    agent = Agent()

    commits = [
        await agent.takes(*WEB),
        await agent.takes(Synced(Kind.SERVICE)),
        await agent.takes(Synced(Kind.ENDPOINT_SLICE)),
        await agent.takes(Synced(Kind.NODE)),
        await agent.takes(Synced(Kind.SERVICE_CIDR)),
    ]

    assert commits == [0, 0, 0, 0, 1]


async def test_a_bad_object_stops_no_other():
    """Invariant 7."""
    agent = Agent()
    broken = Problem("EndpointSlice default/broken", "", "no object")
    synced = [Synced(kind) for kind in Kind]

    await agent.takes(
        Rejected(Kind.ENDPOINT_SLICE, "default", "broken", broken),
        service("worse").cluster_ip("10.96.0.999").port(80).upserted(),
        *WEB,
        *synced,
    )

    (delta,) = agent.backend.deltas
    assert [key.port.name for key in delta.puts] == ["web"]
