"""Where the agent under test learns of Services: the same scenarios run from each of these.

::

    scenario -> Cluster -> manifests      files in a directory          nodeproxy run --manifests
                        -> api-slices     stand-in, EndpointSlices      nodeproxy run --master
                        -> api-endpoints  stand-in, core/v1 Endpoints   the same, gate off
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from lab import manifests, objects
from lab.namespace import Namespace
from lab.objects import Backend, Json, Port
from tests.support.apiserver import ApiServerStandIn, Fail

SourceName = Literal["manifests", "api-slices", "api-endpoints"]
SOURCES: tuple[SourceName, ...] = ("manifests", "api-slices", "api-endpoints")

_CALL_TIMEOUT_SECONDS = 10.0

_T = TypeVar("_T")


class Cluster(Protocol):
    """Takes what a scenario declares and tells the agent in its own way."""

    @property
    def agent_arguments(self) -> Sequence[str]:
        """The flags that make the agent follow this cluster."""

    def put_service(self, name: str, service: Json) -> None:
        """Create or replace a Service."""

    def put_backends(self, name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> None:
        """Replace the endpoints of a Service."""

    def delete(self, name: str) -> None:
        """Delete a Service and its endpoints, as its controller does."""


@contextlib.contextmanager
def open_cluster(source: SourceName, directory: Path, node: Namespace) -> Iterator[Cluster]:
    """Open a cluster of one kind.

    Args:
        source: which.
        directory: an empty one, for what it keeps in files.
        node: the namespace from which the agent must reach it.
    """
    if source == "manifests":
        yield ManifestCluster(directory)
    else:
        with ApiCluster(node, uses_slices=source == "api-slices") as cluster:
            yield cluster


class ManifestCluster:
    """Files in a directory: one for each Service, one for its slices."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        manifests.write_objects(directory, "node", [objects.node()])

    @property
    def agent_arguments(self) -> Sequence[str]:
        return [f"--manifests={self._directory}"]

    def put_service(self, name: str, service: Json) -> None:
        manifests.write_objects(self._directory, name, [service])

    def put_backends(self, name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> None:
        slices = objects.endpoint_slices(name, ports, backends)
        manifests.write_objects(self._directory, f"{name}-endpoints", slices)

    def delete(self, name: str) -> None:
        manifests.remove_objects(self._directory, name)
        manifests.remove_objects(self._directory, f"{name}-endpoints")


class ApiCluster:
    """An API server stand-in in a thread, listening on the node's loopback."""

    def __init__(self, node: Namespace, *, uses_slices: bool) -> None:
        self._uses_slices = uses_slices
        self._server = ApiServerStandIn()
        self._listener = node.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._ended: Future[None] = Future()
        self._slice_names: dict[str, set[str]] = {}

    @property
    def agent_arguments(self) -> Sequence[str]:
        gate = str(self._uses_slices).lower()
        return [
            f"--master=http://127.0.0.1:{self._port}",
            f"--feature-gates=EndpointSliceProxying={gate}",
        ]

    def put_service(self, name: str, service: Json) -> None:
        self._call(lambda: self._server.put(service))

    def put_backends(self, name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> None:
        if not self._uses_slices:
            endpoints = objects.endpoints_object(name, ports, backends)
            self._call(lambda: self._server.put(endpoints))
            return
        slices = objects.endpoint_slices(name, ports, backends)
        before = self._slice_names.get(name, set())
        self._slice_names[name] = {s["metadata"]["name"] for s in slices}
        self._call(lambda: [self._server.put(s) for s in slices])
        self._delete_slices(before - self._slice_names[name])

    def put(self, obj: Json) -> None:
        """Create or replace any object."""
        self._call(lambda: self._server.put(obj))

    def events(self) -> list[Json]:
        """Events that were posted, as they are now."""
        return self._call(lambda: self._server.events)

    def inject(self, fault: Fail, path: str) -> None:
        """Let requests below a path fail from now on."""
        self._call(lambda: self._server.faults.inject(fault, path=path))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Delete any object."""
        self._call(lambda: self._server.delete(kind, namespace, name))

    def delete(self, name: str) -> None:
        self._delete("Service", name)
        if self._uses_slices:
            self._delete_slices(self._slice_names.pop(name))
        else:
            self._delete("Endpoints", name)

    def __enter__(self) -> ApiCluster:
        threading.Thread(target=self._serve, name="api-server-stand-in", daemon=True).start()
        self._call(lambda: self._server.put(objects.node()))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._ended.result(_CALL_TIMEOUT_SECONDS)

    def _delete_slices(self, names: set[str]) -> None:
        for name in names:
            self._delete("EndpointSlice", name)

    def _delete(self, kind: str, name: str) -> None:
        self._call(lambda: self._server.delete(kind, objects.NAMESPACE, name))

    def _call(self, action: Callable[[], _T]) -> _T:
        """Run something in the server's loop, where all its methods belong."""

        async def acting() -> _T:
            return action()

        running = asyncio.run_coroutine_threadsafe(acting(), self._loop)
        return running.result(_CALL_TIMEOUT_SECONDS)

    def _serve(self) -> None:
        async def serving() -> None:
            async with self._server.running(sock=self._listener):
                await self._stopped.wait()

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serving())
        self._ended.set_result(None)
