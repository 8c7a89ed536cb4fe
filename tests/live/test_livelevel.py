"""The live level itself: whatever a scenario says wrongly, packets must contradict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenarios.livelevel import run_live
from tests.support.scenarios.liveworld import LiveWorld, open_world
from tests.support.scenarios.parsing import parse_scenario

pytestmark = pytest.mark.live

OBJECTS = """Every line of this scenario is wrong
rules: DP-2

== apply
kind: Service
metadata: {name: web}
spec: {type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: 30080}]}
---
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [pod-a], nodeName: lab-node}
- {addresses: [pod-b], nodeName: lab-node}
- {addresses: [far-a], nodeName: far-node}
- {addresses: [far-b], nodeName: far-node}

== expect
"""
ALL = "{pod-a:8080, pod-b:8080, far-a:8080, far-b:8080}"
WRONG = f"""
pod-c -> 10.96.0.10:80 = {{pod-a:8080}}
pod-c -> 10.96.0.10:80 = {{pod-a:8080, pod-b:8080, far-a:8080, far-b:8080, far-c:8080}}
pod-c -> 10.96.0.10:80 = {{pod-a:8081, pod-b:8080, far-a:8080, far-b:8080}}
pod-c -> 10.96.0.10:80 = {ALL} masq
pod-c -> 10.96.0.10:80 = {ALL} sticky
pod-c -> 10.96.0.10:80 = refused
pod-c -> 10.96.0.10:80 = dropped
pod-c -> 10.96.0.10:80 = untouched
client -> 10.96.0.10:80 = {ALL} no-masq
node -> 10.96.0.10:80 = {ALL} no-masq
node -> 10.96.0.10:80 = dropped
stranger -> node:30080 = {ALL} no-masq
node -> node:30080 = untouched
pod-c -> 10.96.0.10:81 = {ALL}
pod-c -> 10.96.0.10:81 = dropped
pod-c -> 10.96.0.10:81 = untouched
pod-c -> 10.96.0.10:80/udp = dropped
pod-c -> 10.96.0.10:80/sctp = untouched
pod-c -> ping 10.96.0.10 = dropped
pod-c -> ping pod-a = refused
pod-c -> pod-a:8080 = refused
pod-c -> pod-a:8080 = dropped
far-c -> pod-a:9999 = refused
client -> node-alt:30080 = refused
node -> node:30081 = refused
node -> localhost:30080 = dropped
stranger -> 1.2.3.4:80 = refused
pod-c -> 1.2.3.4:80/udp = dropped
"""


@pytest.fixture(scope="module")
def world() -> Iterator[LiveWorld]:
    with open_world() as opened:
        yield opened


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_what_is_said_wrongly_does_not_hold(world: LiveWorld, line: str):
    scenario = parse_scenario(f"{OBJECTS}{line}\n", Path("wrong.txt"))

    result = run_live(world, scenario)

    assert [failure.expectation.text for failure in result.failures] == [line]
    assert "table ip nodeproxy" in result.ruleset
