"""The same cluster, told by an API server in both modes and by manifests, gives the same rules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodeproxy.agent.render import render_once
from nodeproxy.config.gates import ENDPOINT_SLICE_PROXYING, FeatureGates
from nodeproxy.config.schema import Config
from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.objects import (
    Backend,
    Port,
    endpoint_slice,
    endpoints,
    node,
    service,
    service_cidr,
)

NODE = "n1"
PORTS = (Port(80, "http", node_port=30080), Port(53, "dns", "UDP"))
PODS = (
    Backend("10.244.0.11", "web-0", NODE),
    Backend("10.244.0.12", "web-1", NODE),
    Backend("10.244.1.13", "web-2", "n2"),
    Backend("10.244.1.14", "web-3", "n2", is_ready=False, is_serving=False),
)
SPEC = {"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}
OBJECTS = [
    node(NODE, internal_ips=["192.168.0.2"]),
    service_cidr("kubernetes", ["10.96.0.0/16"]),
    service("web", cluster_ips=["10.96.0.10"], ports=PORTS, spec=SPEC),
    service("alone", cluster_ips=["10.96.0.11"]),
]
SLICES = [
    endpoint_slice("web-a", "web", backends=PODS[:2], ports=PORTS),
    endpoint_slice("web-b", "web", backends=PODS[2:], ports=PORTS),
]
ENDPOINTS = [endpoints("web", backends=PODS, ports=PORTS)]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = ApiServerStandIn()
    for obj in [*OBJECTS, *SLICES, *ENDPOINTS]:
        server.put(obj)
    async with server.running() as where:
        yield where


def from_api(url: str, *, slices: bool) -> Config:
    gates = FeatureGates({ENDPOINT_SLICE_PROXYING: slices})
    return Config(node_name=NODE, master=url, feature_gates=gates)


def from_files(directory: Path, objects: list[dict[str, object]]) -> Config:
    for number, obj in enumerate(objects):
        (directory / f"{number}.json").write_text(json.dumps(obj))
    return Config(node_name=NODE, manifests=str(directory))


@pytest.mark.parametrize("form", ["plan", "nft"])
async def test_slices_and_endpoints_of_an_api_server_agree(url: str, form: str):
    from_slices = await render_once(from_api(url, slices=True), form)
    from_endpoints = await render_once(from_api(url, slices=False), form)

    assert "10.244.1.13" in from_slices
    assert from_slices == from_endpoints


@pytest.mark.parametrize("written", [SLICES, ENDPOINTS], ids=["slices", "endpoints"])
async def test_manifests_and_an_api_server_agree(
    url: str, tmp_path: Path, written: list[dict[str, object]]
):
    from_server = await render_once(from_api(url, slices=True), "nft")
    from_directory = await render_once(from_files(tmp_path, [*OBJECTS, *written]), "nft")

    assert "10.96.0.0/16" in from_server
    assert from_directory == from_server
