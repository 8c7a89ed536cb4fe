"""The clusters of the suite; the same tests run against the stand-in and a real API server."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.apiserver.clusters import (
    Cluster,
    StandInCluster,
    real_cluster,
    stand_in_cluster,
)
from tests.apiserver.following import Journal

KUBECONFIG_VARIABLE = "NODEPROXY_TEST_KUBECONFIG"


@pytest.fixture
def journal() -> Iterator[Journal]:
    """The agent's log from here on."""
    logger = logging.getLogger("nodeproxy")
    handler, level = Journal(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandInCluster]:
    """The stand-in, whose faults a test may use."""
    async with stand_in_cluster() as cluster:
        yield cluster


@pytest.fixture(
    params=["stand-in", pytest.param("real", marks=pytest.mark.external)],
)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Any API server."""
    if request.param == "stand-in":
        async with stand_in_cluster() as cluster:
            yield cluster
        return
    kubeconfig = os.environ.get(KUBECONFIG_VARIABLE)
    if not kubeconfig:
        pytest.skip(f"{KUBECONFIG_VARIABLE} names no kubeconfig of a real API server")
    async with real_cluster(kubeconfig) as real:
        yield real
