"""What is asked of the API server, and what is left out by selectors."""

from __future__ import annotations

import pytest

from nodeproxy.sources.apiserver.resources import (
    Resource,
    endpoint_slices,
    endpoints,
    node,
    service_cidrs,
    services,
)

NOT_OTHERS = "!service.kubernetes.io/service-proxy-name"
NOT_HEADLESS = "!service.kubernetes.io/headless"


@pytest.mark.parametrize(
    ("resource", "path", "selector"),
    [
        pytest.param(
            services(),
            "/api/v1/services",
            {"labelSelector": NOT_OTHERS, "fieldSelector": "spec.clusterIP!=None"},
            id="EP-1",
        ),
        pytest.param(
            endpoint_slices("v1"),
            "/apis/discovery.k8s.io/v1/endpointslices",
            {"labelSelector": NOT_HEADLESS},
            id="EP-2",
        ),
        pytest.param(
            endpoints(),
            "/api/v1/endpoints",
            {"labelSelector": f"{NOT_OTHERS},{NOT_HEADLESS}"},
            id="EPS-1",
        ),
        pytest.param(
            node("n1"), "/api/v1/nodes", {"fieldSelector": "metadata.name=n1"}, id="EP-3 Node"
        ),
        pytest.param(
            service_cidrs(),
            "/apis/networking.k8s.io/v1/servicecidrs",
            {},
            id="EP-3 ServiceCIDRs",
        ),
    ],
)
def test_each_kind_is_read_where_and_as_the_peer_reads_it(
    resource: Resource, path: str, selector: dict[str, str]
):
    """TS-508."""
    assert (resource.path, dict(resource.selector)) == (path, selector)
