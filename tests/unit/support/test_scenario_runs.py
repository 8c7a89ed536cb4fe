"""Scenarios that do not hold are told so, on any dataplane; and replays tell histories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.events import Kind
from nodeproxy.model.keys import ServiceKey
from nodeproxy.plan.types import FamilySettings
from tests.support.scenarios.__main__ import main
from tests.support.scenarios.driving import Cluster
from tests.support.scenarios.model import Answer, Packet, Scenario
from tests.support.scenarios.parsing import parse_scenario
from tests.support.scenarios.planlevel import PlanLevel, Plans
from tests.support.scenarios.replay import TELLINGS, end_state, history_of, replay
from tests.support.scenarios.running import Choose, Run, failures_of, first, last
from tests.support.scenarios.world import DEFAULT_FLAGS

PATH = Path("tests/scenarios/clusterip/example.txt")

SERVICE = """\
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
"""
STICKY = SERVICE.replace("spec: {", "spec: {sessionAffinity: ClientIP, ")
SLICE = """\
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [pod-a], nodeName: lab-node}
- {addresses: [far-a], nodeName: far-node}
"""
ENDPOINTS = """\
kind: Endpoints
metadata: {name: web}
subsets:
- {addresses: [{ip: pod-c}], ports: [{port: 8080}]}
"""


def scenario(*sections: str, heading: str = "") -> Scenario:
    text = "\n".join(["A title", "rules: DP-1", *filter(None, [heading]), "", *sections])
    return parse_scenario(text, PATH)


def expecting(outcome: str, objects: str = f"{SERVICE}---\n{SLICE}") -> Scenario:
    return scenario(f"== apply\n{objects}== expect\npod-b -> 10.96.0.10:80 = {outcome}")


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        ("refused", "it is {pod-a:8080 no-masq, far-a:8080 no-masq}"),
        ("{pod-a:8080}", "it reaches {pod-a:8080 no-masq, far-a:8080 no-masq}"),
        ("{pod-a:8080, far-a:8080, far-b:8080}", "it reaches"),
        ("{pod-a:8080, far-a:8081}", "it reaches"),
        ("{pod-a:8080, far-a:8080} masq", "it reaches"),
        ("{pod-a:8080 masq, far-a:8080}", "it reaches"),
        ("{pod-a:8080, far-a:8080} sticky", "has no session affinity"),
    ],
)
def test_what_does_not_hold_is_told_with_what_is(outcome: str, complaint: str):
    (failure,) = failures_of(expecting(outcome), PlanLevel)

    assert complaint in failure.message
    assert str(failure).startswith(f"{PATH}:{failure.expectation.line}: pod-b -> 10.96.0.10:80")


@pytest.mark.parametrize(
    "outcome",
    [
        "{pod-a:8080, far-a:8080}",
        "{far-a:8080, pod-a:8080} no-masq",
        "{far-a:8080 no-masq, pod-a:8080}",
    ],
)
def test_what_holds_is_not_told(outcome: str):
    assert not failures_of(expecting(outcome), PlanLevel)


def test_endpoints_that_are_expected_may_be_missing_altogether():
    (failure,) = failures_of(expecting("{pod-a:8080}", SERVICE), PlanLevel)

    assert failure.message == "it is refused"


def test_a_line_without_sticky_does_not_overlook_affinity():
    wrong = expecting("{pod-a:8080, far-a:8080}", f"{STICKY}---\n{SLICE}")

    (failure,) = failures_of(wrong, PlanLevel)

    assert "write sticky" in failure.message


@pytest.mark.parametrize("choose", [first, last])
def test_names_stand_for_the_endpoint_that_was_reached(choose: Choose):
    right = scenario(
        f"== apply\n{STICKY}---\n{SLICE}== expect",
        "pod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} as X",
        "pod-b -> 10.96.0.10:80 = X no-masq",
        "pod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} sticky",
        "== wait 4h\n== expect",
        "pod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} sticky",
    )

    assert not failures_of(right, PlanLevel, choose)


def test_names_that_stand_for_another_endpoint_are_told():
    wrong = scenario(
        f"== apply\n{STICKY}---\n{SLICE}== expect",
        "pod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} as X",
        "pod-b -> 10.96.0.10:80 = not X",
        "pod-b -> 10.96.0.10:80 = X masq",
        "pod-c -> 10.96.0.10:80 = X",
    )

    lines = [failure.expectation.line for failure in failures_of(wrong, PlanLevel)]

    first_line = lines[0]
    assert lines == [first_line, first_line + 1, first_line + 2]


def test_sections_take_effect_in_their_order():
    right = scenario(
        f"== apply\n{SERVICE}",
        "== expect\npod-b -> 10.96.0.10:80 = refused",
        f"== apply\n{SLICE}",
        "== expect\npod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} no-masq",
        "== restart: --masquerade-all",
        "== expect\npod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} masq",
        "== restart",
        "== expect\npod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080} masq",
        "== delete\nService web",
        "== expect\npod-b -> 10.96.0.10:80 = untouched",
    )

    assert not failures_of(right, PlanLevel)


@pytest.mark.parametrize(
    ("heading", "outcome"),
    [("", "{pod-a:8080, far-a:8080}"), ("source: endpoints", "{pod-c:8080}")],
)
def test_one_kind_of_endpoints_is_read(heading: str, outcome: str):
    right = scenario(
        f"== apply\n{SERVICE}---\n{SLICE}---\n{ENDPOINTS}",
        f"== expect\npod-b -> 10.96.0.10:80 = {outcome}",
        heading=heading,
    )

    assert not failures_of(right, PlanLevel)


@pytest.mark.parametrize(
    ("objects", "is_known"),
    [
        (SERVICE, True),
        (SERVICE.replace("10.96.0.10", "None"), False),
        (SERVICE.replace("{name: web}", "{name: web, labels: {app: x}}"), True),
        (
            SERVICE.replace(
                "{name: web}",
                "{name: web, labels: {service.kubernetes.io/service-proxy-name: other}}",
            ),
            False,
        ),
    ],
)
def test_the_agent_hears_of_services_that_an_api_server_would_deliver(objects: str, is_known: bool):
    """SVC-1."""
    run = Run(expecting("untouched", objects), PlanLevel)

    run.play()

    assert (ServiceKey("default", "web") in run.cluster.state.services) == is_known


def test_an_object_that_becomes_unusable_keeps_its_last_version_in_force():
    right = scenario(
        f"== apply\n{SERVICE}---\n{SLICE}",
        f"== apply\n{SERVICE.replace('port: 80', 'port: many')}",
        "== expect\npod-b -> 10.96.0.10:80 = {pod-a:8080, far-a:8080}",
    )
    run = Run(right, PlanLevel)

    run.play()

    assert not run.failures
    (problem,) = (p for problems in run.cluster.state.problems.values() for p in problems)
    assert "must be a whole number" in str(problem)


def test_the_node_is_known_from_the_beginning():
    cluster = Cluster(DEFAULT_FLAGS)

    assert cluster.state.node is not None
    assert cluster.state.node.zone == "zone-a"
    assert Kind.NODE in cluster.state.synced


HISTORY = scenario(
    f"== apply\n{SERVICE}---\n{SLICE}",
    f"== apply\n{SERVICE.replace('port: 80', 'port: 81')}---\n{ENDPOINTS}",
    f"== apply\n{SERVICE.replace('port: 80', 'port: many')}",
    "== delete\nNode lab-node\nEndpointSlice web-1",
    "== expect\npod-b -> 10.96.0.10:81 = refused",
)


def test_histories_leave_out_what_keeps_former_versions_in_force():
    names = [sorted(update) for update in history_of(HISTORY)]

    service_file, slice_file = "service.default.web.json", "endpointslice.default.web-1.json"
    both = ["endpoints.default.web.json", service_file]
    assert names == [[slice_file, service_file], both, [], [slice_file]]


@pytest.mark.parametrize("telling", TELLINGS)
def test_every_telling_ends_as_the_scenario_does(telling: str):
    run = Run(HISTORY, PlanLevel)
    run.play()

    assert replay(HISTORY, TELLINGS[telling]) == end_state(run.cluster)
    assert "10.96.0.10:81" in end_state(run.cluster).plan


def test_tellings_differ():
    rounds = {name: repr(list(tell(history_of(HISTORY)))) for name, tell in TELLINGS.items()}

    assert len(set(rounds.values())) == len(TELLINGS)


class Counting(PlanLevel):
    """Counts what it is told."""

    updates = 0
    restarts = 0

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        self.updates += 1
        super().update(plans, settings)

    def restart(self) -> None:
        self.restarts += 1

    def answer(self, packet: Packet) -> Answer:
        assert self.updates, "nothing was told before the first packet"
        return super().answer(packet)


def test_a_dataplane_sees_every_round_of_a_replay():
    dataplane = Counting(frozenset[Addr]())

    replay(HISTORY, TELLINGS["restarted"], dataplane)

    assert dataplane.updates == 1 + len(history_of(HISTORY)) + 1
    assert dataplane.restarts == len(history_of(HISTORY)) + 1


WRONG = "A title\nrules: DP-1\n\n== expect\npod-b -> 10.96.0.10:80 = refused\n"


def test_the_command_prints_what_does_not_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "wrong.txt").write_text(WRONG)
    (tmp_path / "right.txt").write_text(WRONG.replace("refused", "untouched"))
    (tmp_path / "unreadable.txt").write_text(WRONG.replace("refused", "reused"))

    code = main([str(tmp_path)])

    printed = capsys.readouterr().out
    assert code == 1
    assert f"{tmp_path}/wrong.txt:5: pod-b" in printed
    assert f"{tmp_path}/unreadable.txt:5: " in printed
    assert "1 of 3 scenarios hold" in printed


def test_the_command_is_content_when_all_hold(tmp_path: Path):
    path = tmp_path / "right.txt"
    path.write_text(WRONG.replace("refused", "untouched"))

    assert main([str(path)]) == 0
