"""A sink that tests can wait on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from nodeproxy.model.events import Rejected, Removed, SourceEvent, Synced, Upserted
from nodeproxy.model.wire import Service
from nodeproxy.sources.manifests import ManifestSource

DEADLINE_SECONDS = 10.0


class Recorder:
    """Keeps the batches it is given, and what they add up to."""

    def __init__(self) -> None:
        self.batches: list[list[SourceEvent]] = []
        self.objects: dict[tuple[str, str, str], Upserted] = {}
        self.rejected: list[Rejected] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, events: Sequence[SourceEvent]) -> None:
        """Take a batch, as an inbox does."""
        self.batches.append(list(events))
        for event in events:
            match event:
                case Upserted(kind, namespace, name):
                    self.objects[kind, namespace, name] = event
                case Removed(kind, namespace, name):
                    self.objects.pop((kind, namespace, name), None)
                case Rejected():
                    self.rejected.append(event)
                case Synced():
                    pass
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; batches are when it may become so."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    async def has(self, *services: str) -> None:
        """Wait until exactly these Services of namespace default are in force."""
        await self.until(lambda: self.services == sorted(services))

    async def has_address(self, service: str, cluster_ip: str) -> None:
        """Wait until a Service of namespace default has this ClusterIP."""
        await self.until(lambda: self.address(service) == cluster_ip)

    @property
    def services(self) -> list[str]:
        """Names of the Services of namespace default."""
        return sorted(
            name
            for kind, namespace, name in self.objects
            if kind == "Service" and namespace == "default"
        )

    def address(self, service: str) -> str | None:
        """The ClusterIP of a Service of namespace default."""
        event = self.objects.get(("Service", "default", service))
        if event is None or not isinstance(event.object, Service) or event.object.spec is None:
            return None
        return event.object.spec.cluster_ip

    @property
    def removals(self) -> list[str]:
        """Names of everything that was ever removed."""
        return [e.name for batch in self.batches for e in batch if isinstance(e, Removed)]


@contextlib.asynccontextmanager
async def running(source: ManifestSource) -> AsyncIterator[Recorder]:
    """A source that runs and has synced."""
    recorder = Recorder()
    task = asyncio.create_task(source.run(recorder))
    try:
        await recorder.until(lambda: bool(recorder.batches))
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
