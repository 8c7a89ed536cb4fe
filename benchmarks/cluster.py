"""Whom the agent follows: what a measurement needs of a cluster, stand-in or real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.api import JsonObject
from tests.support.apiserver.objects import Backend, Port, endpoint_slice, endpoints, service

NODE_NAME = "bench-node"
POD_PORT = 8080
"""Where all endpoints answer."""
PROBE_NAME = "bench-probe"
_PORTS = (Port(80, "http", target=POD_PORT),)


class Changes(Protocol):
    """One hand that changes the cluster; for one thread."""

    def replace_endpoint(self, index: int, slot: int) -> None:
        """Exchange one endpoint of Service number `index` for a fresh one."""

    def begin_move(self, address: str) -> None:
        """Send the order to make `address` the probe's only endpoint."""

    def finish_move(self) -> int:
        """Wait for the order's answer.

        Returns:
            Monotonic nanoseconds, when the change was made.
        """

    def close(self) -> None:
        """Close the connection."""


class Cluster(Protocol):
    """Services `0..n-1`, each with endpoints, and the probe: a Service of a single endpoint."""

    @property
    def kubeconfig(self) -> Path:
        """For the agent, valid on the private node."""

    @property
    def node_name(self) -> str:
        """The Node the agent is to be."""

    @property
    def cluster_ips(self) -> Sequence[str]:
        """Of the Services, in order."""

    @property
    def probe_ip(self) -> str:
        """ClusterIP of the probe."""

    def open_changes(self) -> Changes:
        """A hand of its own."""

    def bytes_received(self) -> int:
        """Everything the server has sent to agents so far."""


def probe_service(cluster_ip: str) -> JsonObject:
    """The probe's Service."""
    return service(PROBE_NAME, cluster_ips=[cluster_ip], ports=_PORTS)


def probe_endpoints(address: str) -> list[JsonObject]:
    """The probe's slice and its Endpoints, with one address."""
    backends = [Backend(address, node="node-0", is_serving=None, is_terminating=None)]
    return [
        endpoint_slice(f"{PROBE_NAME}-1", PROBE_NAME, backends=backends, ports=_PORTS),
        endpoints(PROBE_NAME, backends=backends, ports=_PORTS),
    ]
