"""Which decisions become reports, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.agent.reporter import Reporter
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.reports import Report, quarantined, rules_repaired, source_switched
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanKey
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import service, slice_, upserted

WEB = service("web").cluster_ip("10.96.0.10").port(80)
WEB_KEY = PlanKey(Family.IPV4, ServicePortKey("default", "web", "", Protocol.TCP))


class Recorded:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def emit(self, report: Report) -> None:
        self.reports.append(report)

    async def settle(self, timeout_seconds: float) -> None:
        pass


class Agent:
    """State, planner and reporter as the sync loop drives them."""

    def __init__(self) -> None:
        self.recorder = Recorded()
        self.state = ClusterState("n1")
        self.planner = Planner(self.state, PlanOptions())
        self.reporter = Reporter(self.recorder, self.state)

    def takes(self, events: Sequence[SourceEvent]) -> None:
        changes = self.state.apply(events)
        self.reporter.decided(changes, self.planner.replan(changes))

    @property
    def reasons(self) -> list[str]:
        return [report.reason for report in self.recorder.reports]


def test_a_service_that_lost_its_address_is_reported():
    """SVC-60."""
    agent = Agent()

    agent.takes(upserted(WEB, service("other").cluster_ip("10.96.0.10").port(80)))
    agent.takes(upserted(WEB))

    assert agent.reasons == ["AddressConflict"]


def test_a_refused_service_port_is_reported_when_it_begins():
    agent = Agent()

    agent.reporter.refused({WEB_KEY: "Invalid argument"})
    agent.reporter.refused({WEB_KEY: "Invalid argument"})
    agent.reporter.refused({})
    agent.reporter.refused({WEB_KEY: "Invalid argument"})

    assert agent.recorder.reports == [quarantined("n1", WEB_KEY.port, "Invalid argument")] * 2


def test_a_foreign_change_is_reported_when_it_is_repaired():
    agent = Agent()

    agent.reporter.rules_changed("nft flushed the table")
    before = agent.reasons
    agent.reporter.installed()
    agent.reporter.installed()

    assert before == []
    assert agent.recorder.reports == [rules_repaired("nft flushed the table")]


def test_another_source_of_endpoints_is_reported_once():
    agent = Agent()
    agent.takes(upserted(WEB, slice_("web-1", service="web").port(8080).endpoint("10.0.0.1")))

    agent.takes([EndpointsChosen(Kind.ENDPOINT_SLICE)])
    agent.takes([EndpointsChosen(Kind.ENDPOINTS)])
    agent.takes([EndpointsChosen(Kind.ENDPOINTS)])

    assert agent.recorder.reports == [source_switched("EndpointSlice", "Endpoints")]
