"""A real API server as the cluster: objects in a namespace of their own, deleted afterwards.

Services have no selector and their slices are written here, so that no controller has a part in
what is measured. The moment of a change is taken just before its request is sent: the server's
own work counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic_ns
from urllib.parse import urlsplit

from benchmarks.api import ApiConnection, JsonObject, RequestRefused, without
from benchmarks.cluster import Changes, probe_endpoints, probe_service
from benchmarks.figures import Size
from benchmarks.kubeconfigs import relayed_kubeconfig
from benchmarks.relay import Relay
from lab.namespace import Namespace
from nodeproxy.sources.apiserver.credentials import Identity
from nodeproxy.sources.apiserver.identities import Kubeconfig
from tests.support.apiserver.objects import node
from tests.support.apiserver.population import Population

_MANAGER = "nodeproxy-benchmark"
_LABELS = {
    "endpointslice.kubernetes.io/managed-by": _MANAGER,
    # Keeps the server's controller from making slices of our Endpoints.
    "endpointslice.kubernetes.io/skip-mirror": "true",
}
_WRITERS = 8
_PATHS = {
    "Service": "/api/v1/namespaces/{}/services",
    "Endpoints": "/api/v1/namespaces/{}/endpoints",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}


@contextlib.contextmanager
def open_real_server(
    inner: Namespace, directory: Path, size: Size, kubeconfig: Path
) -> Iterator[RealCluster]:
    """Create everything, and delete it when the block ends, however it ends.

    Args:
        inner: the private node, from which the agent reaches the server through a relay.
        directory: an empty one, for the agent's kubeconfig.
        size: how many Services and endpoints.
        kubeconfig: of a user who may create Namespaces and Nodes and all in them.

    Raises:
        RequestRefused: the server does not let us.
        CredentialsError: the kubeconfig is not usable.
    """
    identity = asyncio.run(Kubeconfig(str(kubeconfig))())
    url = urlsplit(identity.base_url)
    relay = Relay(inner, url.hostname or "", url.port or 443)
    agents = directory / "kubeconfig"
    agents.touch(mode=0o600)
    agents.write_text(relayed_kubeconfig(kubeconfig, relay.port))
    cluster = RealCluster(identity, relay, agents, size)
    try:
        cluster.fill()
        yield cluster
    finally:
        cluster.remove()
        relay.close()


class RealCluster:
    """See benchmarks.cluster.Cluster."""

    def __init__(self, identity: Identity, relay: Relay, kubeconfig: Path, size: Size) -> None:
        self._identity = identity
        self._relay = relay
        self._population = Population(size.services, size.endpoints, has_pods=True)
        self.kubeconfig = kubeconfig
        self.node_name = self.namespace = f"nodeproxy-bench-{secrets.token_hex(4)}"
        self.cluster_ips: Sequence[str] = ()
        self.probe_ip = ""

    def fill(self) -> None:
        """Create Namespace, Node, probe and Services with their endpoints."""
        connection = self.connect()
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        connection.request("POST", "/api/v1/namespaces", namespace)
        connection.request("POST", "/api/v1/nodes", node(self.node_name))
        self.probe_ip = self._create_service(connection, probe_service(""))
        for obj in probe_endpoints("10.244.1.250"):
            self._create(connection, obj)
        connection.close()
        with ThreadPoolExecutor(_WRITERS, "bench-fill") as writers:
            parts = writers.map(self._fill_part, range(_WRITERS))
            ips = {index: ip for part in parts for index, ip in part.items()}
        self.cluster_ips = [ips[index] for index in range(self._population.services)]

    def remove(self) -> None:
        """Delete it all again; what is not there is no error."""
        connection = self.connect()
        # Emptied first: a server without controllers does not do it when a Namespace goes.
        collections = [path.format(self.namespace) for path in _PATHS.values()]
        for path in (*collections, f"/api/v1/namespaces/{self.namespace}"):
            with contextlib.suppress(RequestRefused):
                connection.request("DELETE", path)
        with contextlib.suppress(RequestRefused):
            connection.request("DELETE", f"/api/v1/nodes/{self.node_name}")
        connection.close()

    def open_changes(self) -> Changes:
        """Another hand, with a connection of its own."""
        return RealChanges(self, self.connect(), self._population)

    def bytes_received(self) -> int:
        """Everything the server has sent to agents so far."""
        return self._relay.bytes_received

    def connect(self) -> ApiConnection:
        """A connection of our own, from outside of the private node."""
        return ApiConnection(self._open_socket, self._identity.authorization)

    def path(self, obj: JsonObject) -> str:
        """Where an existing object is."""
        return f"{self._collection(obj)}/{obj['metadata']['name']}"

    def ours(self, obj: JsonObject) -> JsonObject:
        """The object as we may write it: in our namespace, without what only a server sets."""
        metadata = without(obj["metadata"], "uid", "managedFields", "ownerReferences")
        labels = {**metadata.get("labels", {}), **_LABELS}
        return {**obj, "metadata": {**metadata, "namespace": self.namespace, "labels": labels}}

    def _fill_part(self, first: int) -> dict[int, str]:
        """Create every eighth Service; returns its ClusterIP by its number."""
        connection = self.connect()
        ips = {}
        for index in range(first, self._population.services, _WRITERS):
            ips[index] = self._create_service(connection, self._population.service(index))
            for obj in (*self._population.slices(index), self._population.endpoints(index)):
                self._create(connection, obj)
        connection.close()
        return ips

    def _create_service(self, connection: ApiConnection, obj: JsonObject) -> str:
        """Let the server choose the ClusterIP, and return it."""
        spec = without(obj["spec"], "clusterIP", "clusterIPs", "ipFamilies", "selector")
        created = self._create(connection, {**obj, "spec": {**spec, "ipFamilies": ["IPv4"]}})
        ip: str = created["spec"]["clusterIP"]
        return ip

    def _create(self, connection: ApiConnection, obj: JsonObject) -> JsonObject:
        return connection.request("POST", self._collection(obj), self.ours(obj))

    def _collection(self, obj: JsonObject) -> str:
        return _PATHS[obj["kind"]].format(self.namespace)

    def _open_socket(self) -> socket.socket:
        url, context = urlsplit(self._identity.base_url), self._identity.ssl_context
        sock = socket.create_connection((url.hostname, url.port or 443))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            return sock
        name = self._identity.server_hostname or url.hostname
        return context.wrap_socket(sock, server_hostname=name)


class RealChanges:
    """See benchmarks.cluster.Changes."""

    def __init__(
        self, cluster: RealCluster, connection: ApiConnection, population: Population
    ) -> None:
        self._cluster = cluster
        self._connection = connection
        self._population = population
        self._sent_ns = 0
        self._later: JsonObject = {}

    def replace_endpoint(self, index: int, slot: int) -> None:
        """Exchange one endpoint for a fresh one."""
        for obj in self._population.replace_endpoint(index, slot).objects:
            self._put(obj)

    def begin_move(self, address: str) -> None:
        """Send the order to move the probe."""
        # The slice is what the agent follows; Endpoints come after, so that both stay equal.
        first, self._later = probe_endpoints(address)
        self._sent_ns = monotonic_ns()
        self._connection.send("PUT", self._cluster.path(first), self._cluster.ours(first))

    def finish_move(self) -> int:
        """Wait for the answer; tells when the change was made."""
        self._connection.answer()
        self._put(self._later)
        return self._sent_ns

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _put(self, obj: JsonObject) -> None:
        self._connection.request("PUT", self._cluster.path(obj), self._cluster.ours(obj))
