"""The API server as a source: Services, endpoints, the own Node and ServiceCIDRs.

Each kind has its reflector, and none waits for another. That of the endpoints can be exchanged
while the source runs (`nodeproxy.sources.switching`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from nodeproxy.config.gates import ENDPOINT_SLICE_PROXYING, FeatureGates
from nodeproxy.config.schema import Config
from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.client import ApiClient
from nodeproxy.sources.apiserver.credentials import Credentials
from nodeproxy.sources.apiserver.discovery import EndpointLocator, EndpointMode
from nodeproxy.sources.apiserver.identities import identity_loader
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.pulse import Pulse
from nodeproxy.sources.apiserver.reflector import Locate, Reflector
from nodeproxy.sources.apiserver.remote import FROM_CACHE, NEWEST, Remote, ServerTraits
from nodeproxy.sources.apiserver.resources import Resource, node, service_cidrs, services
from nodeproxy.sources.apiserver.troubles import Troubles
from nodeproxy.sources.base import EventSink, SourceStatus
from nodeproxy.sources.switching import EndpointSwitch

DEFAULT_LIMITS = WatchLimits()


class ApiServerSource:
    """A `Source` that lists and watches an API server."""

    def __init__(
        self,
        credentials: Credentials,
        node_name: str,
        mode: EndpointMode = EndpointMode.AUTOMATIC,
        limits: WatchLimits = DEFAULT_LIMITS,
        rng: random.Random | None = None,
    ) -> None:
        """Describe a source; nothing is asked before `run`.

        Args:
            credentials: who we are and where the server is.
            node_name: name of the own Node (CFG-43).
            mode: which objects tell the endpoints.
            limits: how patient to be.
            rng: for jitter.
        """
        self._credentials = credentials
        self._node_name = node_name
        self._limits = limits
        self._rng = rng or random.Random()
        self._troubles = Troubles()
        self._services = Pulse(Kind.SERVICE, self._troubles)
        self._node = Pulse(Kind.NODE, self._troubles)
        self._service_cidrs = Pulse(Kind.SERVICE_CIDR, self._troubles)
        # What all reflectors of a server share.
        self._traits = ServerTraits(streams_lists=limits.streams_lists)
        self._client: ApiClient | None = None
        self._endpoints = EndpointSwitch(self._reader(mode, FROM_CACHE), limits.switch_seconds)

    async def run(self, sink: EventSink) -> None:
        """Report everything there is, then every change, until cancelled.

        Raises:
            CredentialsError: a SourceError; who we are cannot be found out, now or ever.
        """
        await self._credentials.start()
        client = self._client = ApiClient(
            self._credentials,
            timeout_seconds=self._limits.silence_limit_seconds,
            connect_timeout_seconds=self._limits.connect_timeout_seconds,
        )

        def at(resource: Resource) -> Locate:
            async def locate() -> Remote:
                return Remote(resource, client, self._limits)

            return locate

        kinds = (
            (self._services, at(services())),
            (self._node, at(node(self._node_name))),
            (self._service_cidrs, at(service_cidrs())),
        )
        async with client, asyncio.TaskGroup() as group:
            for pulse, locate in kinds:
                reflector = self._reflector(locate, pulse, sink)
                group.create_task(reflector.run(), name=f"watch {pulse.kind}")
            group.create_task(self._endpoints.run(sink), name="watch endpoints")

    def choose_endpoints(self, gates: FeatureGates) -> None:
        """See `Source.choose_endpoints`."""
        # Of the two kinds the new one must not be the older: its list is not taken from a cache.
        self._endpoints.request(self._reader(endpoint_mode(gates), NEWEST))

    def statuses(self) -> Sequence[SourceStatus]:
        """One entry for each kind that is watched.

        The kind of the second changes from EndpointSlice to Endpoints if the API server turns
        out to have no EndpointSlices; that is before it says Synced.
        """
        endpoints = self._endpoints.reader.pulse
        pulses = (self._services, endpoints, self._node, self._service_cidrs)
        return [pulse.status() for pulse in pulses]

    def _reader(self, mode: EndpointMode, list_from: str) -> ApiEndpointReader:
        slices_first = mode is not EndpointMode.ENDPOINTS
        kind = Kind.ENDPOINT_SLICE if slices_first else Kind.ENDPOINTS
        pulse = Pulse(kind, self._troubles)

        async def read(sink: EventSink) -> None:
            assert self._client is not None, "readers run within `run`"
            client, locator = self._client, EndpointLocator(self._client, mode)

            async def locate() -> Remote:
                return Remote(await locator(), client, self._limits)

            try:
                await self._reflector(locate, pulse, sink, list_from).run()
            finally:
                self._troubles.forget(pulse.kind)

        return ApiEndpointReader(pulse, read)

    def _reflector(
        self, locate: Locate, pulse: Pulse, sink: EventSink, list_from: str = FROM_CACHE
    ) -> Reflector:
        return Reflector(locate, pulse, sink, self._limits, self._traits, self._rng, list_from)


class ApiEndpointReader:
    """An `EndpointReader`: one reflector of endpoints, with the pulse it writes."""

    def __init__(self, pulse: Pulse, read: Callable[[EventSink], Awaitable[None]]) -> None:
        self.pulse = pulse
        self._read = read

    @property
    def kind(self) -> Kind:
        """See `EndpointReader.kind`."""
        return self.pulse.kind

    @property
    def last_error(self) -> str:
        """See `EndpointReader.last_error`."""
        return self.pulse.status().last_error

    async def run(self, sink: EventSink) -> None:
        """See `EndpointReader.run`."""
        await self._read(sink)


def open_source(config: Config) -> ApiServerSource:
    """The source a configuration asks for (CFG-40).

    Raises:
        SourceError: the kubeconfig is not usable, or there is none and this is no pod.
    """
    return ApiServerSource(
        Credentials(identity_loader(config)),
        config.node_name,
        endpoint_mode(config.feature_gates),
    )


def endpoint_mode(gates: FeatureGates) -> EndpointMode:
    """What the gate EndpointSliceProxying chooses; left alone, it follows the API server."""
    if not gates.is_enabled(ENDPOINT_SLICE_PROXYING):
        return EndpointMode.ENDPOINTS
    is_explicit = gates.is_explicit(ENDPOINT_SLICE_PROXYING)
    return EndpointMode.SLICES if is_explicit else EndpointMode.AUTOMATIC
