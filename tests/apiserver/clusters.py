"""The API servers of the suite: the stand-in, and a real one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import msgspec

from nodeproxy.sources.apiserver.credentials import Credentials, Identity
from nodeproxy.sources.apiserver.discovery import EndpointMode
from nodeproxy.sources.apiserver.identities import BareUrl, Kubeconfig
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.source import ApiServerSource
from tests.apiserver.following import QUICK_RETRIES
from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.resources import RESOURCE_BY_KIND

_MANAGER = "nodeproxy-test"


class Cluster(Protocol):
    """A cluster in which a test may create objects."""

    namespace: str
    node_name: str

    def source(self, mode: EndpointMode = ..., limits: WatchLimits = ...) -> ApiServerSource:
        """A new source that reads this cluster."""

    def credentials(self) -> Credentials:
        """Who the agent is here."""

    async def put(self, obj: JsonObject) -> None:
        """Create an object in the namespace of the test, or replace it."""

    async def delete(self, kind: str, name: str) -> None:
        """Remove an object of the namespace of the test."""


class StandInCluster:
    """The stand-in as a cluster."""

    namespace = "default"
    node_name = "node-1"

    def __init__(self, server: ApiServerStandIn, url: str) -> None:
        self.server = server
        self.url = url

    def source(
        self,
        mode: EndpointMode = EndpointMode.AUTOMATIC,
        limits: WatchLimits = QUICK_RETRIES,
    ) -> ApiServerSource:
        return ApiServerSource(self.credentials(), self.node_name, mode, limits)

    def credentials(self) -> Credentials:
        return Credentials(BareUrl(self.url))

    async def put(self, obj: JsonObject) -> None:
        self.server.put(obj)

    async def delete(self, kind: str, name: str) -> None:
        is_namespaced = RESOURCE_BY_KIND[kind].is_namespaced
        self.server.delete(kind, self.namespace if is_namespaced else "", name)


@asynccontextmanager
async def stand_in_cluster() -> AsyncIterator[StandInCluster]:
    server = ApiServerStandIn()
    async with server.running() as url:
        yield StandInCluster(server, url)


class RealCluster:
    """A real API server, in a namespace of the test's own."""

    def __init__(self, kubeconfig: str, identity: Identity, session: aiohttp.ClientSession) -> None:
        suffix = uuid.uuid4().hex[:8]
        self.namespace = f"{_MANAGER}-{suffix}"
        self.node_name = f"{_MANAGER}-{suffix}"
        self._kubeconfig = kubeconfig
        self._identity = identity
        self._session = session
        self._created: dict[str, None] = {}  # paths, in the order of creation

    def source(
        self,
        mode: EndpointMode = EndpointMode.AUTOMATIC,
        limits: WatchLimits = QUICK_RETRIES,
    ) -> ApiServerSource:
        return ApiServerSource(self.credentials(), self.node_name, mode, limits)

    def credentials(self) -> Credentials:
        return Credentials(Kubeconfig(self._kubeconfig))

    async def put(self, obj: JsonObject) -> None:
        if obj["kind"] == "Service" and obj["spec"]["clusterIP"] != "None":
            # The cluster has a network of its own and chooses from it.
            spec = {k: v for k, v in obj["spec"].items() if k not in ("clusterIP", "clusterIPs")}
            obj = {**obj, "spec": spec}
        if RESOURCE_BY_KIND[obj["kind"]].is_namespaced:
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}}
        await self.apply(self._path(obj["kind"], obj["metadata"]["name"]), obj)

    async def delete(self, kind: str, name: str) -> None:
        await self._delete(self._path(kind, name))

    async def clean_up(self) -> None:
        """Remove everything, one by one: not every API server has a controller that would."""
        for path in reversed(tuple(self._created)):
            await self._delete(path)

    async def _delete(self, path: str) -> None:
        await self.request("DELETE", path)
        del self._created[path]

    def _path(self, kind: str, name: str) -> str:
        resource = RESOURCE_BY_KIND[kind]
        root = f"/apis/{resource.group}/v1" if resource.group else "/api/v1"
        scope = f"/namespaces/{self.namespace}" if resource.is_namespaced else ""
        return f"{root}{scope}/{resource.plural}/{name}"

    async def apply(self, path: str, obj: Mapping[str, Any]) -> None:
        """Create or replace by server-side apply, which takes JSON as the YAML it is."""
        await self.request(
            "PATCH",
            f"{path}?fieldManager={_MANAGER}&force=true",
            msgspec.json.encode(obj),
            {"Content-Type": "application/apply-patch+yaml"},
        )
        self._created[path] = None

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        authorization = self._identity.authorization
        async with self._session.request(
            method,
            self._identity.base_url + path,
            data=body,
            headers={
                **(headers or {}),
                **({"Authorization": authorization} if authorization else {}),
            },
            ssl=self._identity.ssl_context or True,
            server_hostname=self._identity.server_hostname,
        ) as response:
            assert response.status < 300, await response.text()


@asynccontextmanager
async def real_cluster(kubeconfig: str) -> AsyncIterator[RealCluster]:
    """Create a namespace, and remove it and everything else of the test afterwards."""
    identity = await Kubeconfig(kubeconfig)()
    async with aiohttp.ClientSession() as session:
        cluster = RealCluster(kubeconfig, identity, session)
        metadata = {"name": cluster.namespace}
        await cluster.apply(
            f"/api/v1/namespaces/{cluster.namespace}",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        )
        try:
            yield cluster
        finally:
            await cluster.clean_up()
