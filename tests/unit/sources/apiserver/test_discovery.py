from __future__ import annotations

import pytest

from nodeproxy.config.gates import parse_feature_gates
from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.discovery import EndpointLocator, EndpointMode
from nodeproxy.sources.apiserver.failures import (
    ApiError,
    ApiGarbled,
    ApiRefused,
    ApiUnreachable,
    SlicesNotServed,
)
from nodeproxy.sources.apiserver.source import endpoint_mode
from tests.support.apiserver.recordings import recording
from tests.support.apiserver.statuses import discovery_group_body


class FakeServer:
    """Answers discovery with a document or an error."""

    def __init__(self, answer: bytes | ApiError) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def get(self, subject: str, path: str) -> bytearray:
        self.asked.append(path)
        if isinstance(self.answer, ApiError):
            raise self.answer
        return bytearray(self.answer)


V1 = recording("discovery-group").body
NOT_FOUND = ApiRefused("discover EndpointSlices", 404, "404 page not found")


async def test_slices_v1_are_chosen_where_they_are_served():
    server = FakeServer(V1)

    found = await EndpointLocator(server, EndpointMode.AUTOMATIC)()

    assert server.asked == ["/apis/discovery.k8s.io"]
    assert found.path == "/apis/discovery.k8s.io/v1/endpointslices"
    assert found.selector == (("labelSelector", "!service.kubernetes.io/headless"),)


async def test_v1_is_preferred_to_v1beta1():
    server = FakeServer(discovery_group_body(["v1beta1", "v1"]))

    found = await EndpointLocator(server, EndpointMode.AUTOMATIC)()

    assert found.path == "/apis/discovery.k8s.io/v1/endpointslices"


async def test_v1beta1_is_used_on_a_server_without_v1():
    server = FakeServer(discovery_group_body(["v1beta1"]))

    found = await EndpointLocator(server, EndpointMode.SLICES)()

    assert found.path == "/apis/discovery.k8s.io/v1beta1/endpointslices"


async def test_a_server_without_slices_is_read_through_endpoints_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
):
    locate = EndpointLocator(FakeServer(NOT_FOUND), EndpointMode.AUTOMATIC)

    found = [await locate() for _ in range(2)]

    assert {resource.kind for resource in found} == {Kind.ENDPOINTS}
    [message] = caplog.messages
    assert "does not serve discovery.k8s.io: reading Endpoints instead" in message


async def test_endpoints_are_selected_without_headless_and_foreign_services():
    found = await EndpointLocator(FakeServer(NOT_FOUND), EndpointMode.ENDPOINTS)()

    assert found.selector == (
        (
            "labelSelector",
            "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless",
        ),
    )


async def test_chosen_endpoints_need_no_discovery():
    server = FakeServer(V1)

    found = await EndpointLocator(server, EndpointMode.ENDPOINTS)()

    assert (found.kind, server.asked) == (Kind.ENDPOINTS, [])


async def test_demanded_slices_are_never_replaced():
    locate = EndpointLocator(FakeServer(NOT_FOUND), EndpointMode.SLICES)

    with pytest.raises(SlicesNotServed, match="EndpointSliceProxying=false to read Endpoints"):
        await locate()


async def test_slices_that_were_there_once_are_not_replaced_by_endpoints():
    server = FakeServer(V1)
    locate = EndpointLocator(server, EndpointMode.AUTOMATIC)
    await locate()

    server.answer = NOT_FOUND

    with pytest.raises(SlicesNotServed):
        await locate()


async def test_an_upgraded_server_is_asked_for_v1_after_v1beta1():
    server = FakeServer(discovery_group_body(["v1beta1"]))
    locate = EndpointLocator(server, EndpointMode.AUTOMATIC)
    await locate()

    server.answer = V1

    assert (await locate()).path == "/apis/discovery.k8s.io/v1/endpointslices"


async def test_who_may_not_discover_tries_v1():
    server = FakeServer(ApiRefused("discover EndpointSlices", 403, "forbidden"))

    found = await EndpointLocator(server, EndpointMode.AUTOMATIC)()

    assert found.path == "/apis/discovery.k8s.io/v1/endpointslices"


@pytest.mark.parametrize(
    "error",
    [ApiUnreachable("http://api", "refused"), ApiRefused("discover EndpointSlices", 503, "busy")],
)
async def test_an_outage_is_no_reason_for_endpoints(error: ApiError):
    locate = EndpointLocator(FakeServer(error), EndpointMode.AUTOMATIC)

    with pytest.raises(type(error)):
        await locate()


async def test_a_discovery_document_that_is_none_is_garbage():
    locate = EndpointLocator(FakeServer(b"<html>"), EndpointMode.AUTOMATIC)

    with pytest.raises(ApiGarbled):
        await locate()


@pytest.mark.parametrize(
    ("gates", "mode"),
    [
        ("", EndpointMode.AUTOMATIC),
        ("EndpointSliceProxying=true", EndpointMode.SLICES),
        ("EndpointSliceProxying=false", EndpointMode.ENDPOINTS),
    ],
)
def test_the_feature_gate_chooses_the_mode(gates: str, mode: EndpointMode):
    assert endpoint_mode(parse_feature_gates(gates)) is mode
