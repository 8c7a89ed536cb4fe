"""What the agent reports as Events while it works (spec 60 section 9)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import nft, objects
from lab.agent import AgentProcess
from lab.objects import Json, Port
from lab.topology import NODE_NAME, private_node
from lab.traffic import Answer
from lab.waiting import eventually
from tests.live.clusters import ApiCluster
from tests.live.site import PACKET_KINDS, POD_PORT, Site, first_answer
from tests.support.apiserver import Fail

pytestmark = pytest.mark.live

PORTS = [Port("http", "tcp", 80, POD_PORT)]


class ReportSite(Site):
    """A site whose API server keeps Events."""

    def __init__(self, site: Site, api: ApiCluster) -> None:
        super().__init__(site.lab, api, site.agent)
        self.api = api

    def reported(self, reason: str, about: str = NODE_NAME) -> Json:
        """Wait for an Event and return it."""
        found = eventually(
            f"an Event {reason} about {about}",
            lambda: [
                event
                for event in self.api.events()
                if (event["reason"], event["regarding"]["name"]) == (reason, about)
            ],
        )
        return found[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportSite]:
    log = tmp_path_factory.mktemp("log") / "agent"
    with private_node() as lab, ApiCluster(lab.node, uses_slices=True) as api:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        with AgentProcess(lab.node, api.agent_arguments, log) as agent:
            eventually("the agent is ready", agent.is_ready)
            yield ReportSite(Site(lab, api, agent), api)


def test_start_is_reported_about_the_node(site: ReportSite):
    event = site.reported("Starting")

    assert event["reportingController"] == "nodeproxy"
    assert event["reportingInstance"] == NODE_NAME
    assert event["regarding"] == {"kind": "Node", "name": NODE_NAME, "uid": NODE_NAME}


def test_foreign_change_is_reported_when_it_has_been_repaired(site: ReportSite):
    web = site.published(site.backends(1))

    nft.load(site.node, "delete table ip nodeproxy")
    event = site.reported("RulesRepaired")

    assert "table deleted by nft" in event["note"]
    assert isinstance(first_answer(site.caller, web.cluster_ip(PACKET_KINDS[0])), Answer)


def test_service_whose_address_belongs_to_another_is_told_so(site: ReportSite):
    """SVC-60: the first in the order of names has it."""
    for name in ("a-first", "b-second"):
        site.api.put(objects.service(name, ["10.96.77.7"], PORTS))

    event = site.reported("AddressConflict", "b-second")

    assert event["metadata"]["namespace"] == objects.NAMESPACE
    assert event["regarding"]["uid"]
    assert "belongs to Service default/a-first" in event["note"]


def test_agent_without_the_permission_says_so_once_and_works(tmp_path: Path):
    log = tmp_path / "agent"
    with private_node() as lab, ApiCluster(lab.node, uses_slices=True) as api:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        api.inject(Fail(403, message="events is forbidden"), "/apis/events.k8s.io")
        with AgentProcess(lab.node, api.agent_arguments, log) as agent:
            eventually("the agent is ready", agent.is_ready)
            site = Site(lab, api, agent)
            eventually("the refusal is told", lambda: "Events are not posted" in log.read_text())
            nft.load(site.node, "delete table ip nodeproxy")
            web = site.published(site.backends(1))
            answer = first_answer(site.caller, web.cluster_ip(PACKET_KINDS[0]))
            told = log.read_text().count("Events are not posted")

    assert isinstance(answer, Answer)
    assert told == 1
