"""The API server as a source: Services, endpoints, the own Node and ServiceCIDRs.

Each kind has its reflector, and none waits for another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

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
from nodeproxy.sources.apiserver.remote import Remote, ServerTraits
from nodeproxy.sources.apiserver.resources import Resource, node, service_cidrs, services
from nodeproxy.sources.apiserver.troubles import Troubles
from nodeproxy.sources.base import EventSink, SourceStatus

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
        self._mode = mode
        self._limits = limits
        self._rng = rng or random.Random()
        troubles = Troubles()
        slices_first = mode is not EndpointMode.ENDPOINTS
        endpoint_kind = Kind.ENDPOINT_SLICE if slices_first else Kind.ENDPOINTS
        self._services = Pulse(Kind.SERVICE, troubles)
        self._endpoints = Pulse(endpoint_kind, troubles)
        self._node = Pulse(Kind.NODE, troubles)
        self._service_cidrs = Pulse(Kind.SERVICE_CIDR, troubles)

    async def run(self, sink: EventSink) -> None:
        """Report everything there is, then every change, until cancelled.

        Raises:
            CredentialsError: a SourceError; who we are cannot be found out, now or ever.
        """
        await self._credentials.start()
        client = ApiClient(
            self._credentials,
            timeout_seconds=self._limits.silence_limit_seconds,
            connect_timeout_seconds=self._limits.connect_timeout_seconds,
        )
        locator = EndpointLocator(client, self._mode)

        async def locate_endpoints() -> Remote:
            return Remote(await locator(), client, self._limits)

        def at(resource: Resource) -> Locate:
            async def locate() -> Remote:
                return Remote(resource, client, self._limits)

            return locate

        kinds = (
            (self._services, at(services())),
            (self._endpoints, locate_endpoints),
            (self._node, at(node(self._node_name))),
            (self._service_cidrs, at(service_cidrs())),
        )
        traits = ServerTraits(streams_lists=self._limits.streams_lists)
        async with client, asyncio.TaskGroup() as group:
            for pulse, locate in kinds:
                reflector = Reflector(locate, pulse, sink, self._limits, traits, self._rng)
                group.create_task(reflector.run(), name=f"watch {pulse.kind}")

    def statuses(self) -> Sequence[SourceStatus]:
        """One entry for each kind that is watched.

        The kind of the second changes from EndpointSlice to Endpoints if the API server turns
        out to have no EndpointSlices; that is before it says Synced.
        """
        pulses = (self._services, self._endpoints, self._node, self._service_cidrs)
        return [pulse.status() for pulse in pulses]


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
