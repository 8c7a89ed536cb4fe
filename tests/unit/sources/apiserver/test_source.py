"""Which source a configuration asks for, and what stops it before anything is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodeproxy.config.gates import parse_feature_gates
from nodeproxy.config.schema import Config
from nodeproxy.errors import SourceError
from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.credentials import Credentials
from nodeproxy.sources.apiserver.identities import BareUrl, Kubeconfig
from nodeproxy.sources.apiserver.source import ApiServerSource, open_source
from tests.support.apiserver import ApiServerStandIn
from tests.unit.sources.apiserver.kubeconfigs import kubeconfig


class Nowhere:
    """A sink for tests in which nothing matters that arrives."""

    def put(self, events: object) -> None:
        pass


def test_an_unreadable_kubeconfig_stops_the_start():
    config = Config(node_name="n1", kubeconfig="/nonexistent/kubeconfig")

    with pytest.raises(SourceError, match="/nonexistent/kubeconfig: No such file or directory"):
        open_source(config)


def test_without_kubeconfig_and_master_the_agent_must_be_in_a_pod(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(SourceError, match="in-cluster credentials"):
        open_source(Config(node_name="n1"))


@pytest.mark.parametrize(
    ("gates", "kind"),
    [
        ("", Kind.ENDPOINT_SLICE),
        ("EndpointSliceProxying=true", Kind.ENDPOINT_SLICE),
        ("EndpointSliceProxying=false", Kind.ENDPOINTS),
    ],
)
def test_the_kinds_to_wait_for_are_known_before_the_start(gates: str, kind: Kind):
    config = Config(
        node_name="n1", master="http://127.0.0.1:1", feature_gates=parse_feature_gates(gates)
    )

    source = open_source(config)

    kinds = [Kind.SERVICE, kind, Kind.NODE, Kind.SERVICE_CIDR]
    assert [status.kind for status in source.statuses()] == kinds


async def test_a_certificate_that_cannot_be_used_ends_the_run(tmp_path: Path):
    user = {"client-certificate": "absent.pem", "client-key": "absent.key"}
    path = kubeconfig(tmp_path, user)
    source = ApiServerSource(Credentials(Kubeconfig(str(path))), "n1")

    with pytest.raises(SourceError, match=r"absent\.pem"):
        await source.run(Nowhere())


async def test_a_cancelled_source_leaves_no_task_and_no_connection():
    server = ApiServerStandIn()
    async with server.running() as url:
        source = ApiServerSource(Credentials(BareUrl(url)), "n1")
        before = asyncio.all_tasks()
        task = asyncio.create_task(source.run(Nowhere()))
        await server.wait_watched("Service", "EndpointSlice", "Node")
        watches = server.watches()

        task.cancel()
        await asyncio.wait([task])
        ours = asyncio.all_tasks() - before
        await asyncio.gather(*(watch.response.connection.reader.read() for watch in watches))

    assert task.cancelled()
    assert not [t for t in ours if t.get_name().startswith("watch")]
