"""Where the endpoints are: EndpointSlices v1 or v1beta1, or Endpoints (EP-9).

The gate EndpointSliceProxying and what the API server serves decide it together.
"""

from __future__ import annotations

import enum
import logging
from typing import Protocol

import msgspec

from nodeproxy.sources.apiserver.decode import NOT_JSON
from nodeproxy.sources.apiserver.failures import ApiGarbled, ApiRefused, SlicesNotServed
from nodeproxy.sources.apiserver.resources import (
    DISCOVERY_PATH,
    SLICE_VERSIONS,
    Resource,
    SliceVersion,
    endpoint_slices,
    endpoints,
)

log = logging.getLogger("nodeproxy.sources.apiserver")


class EndpointMode(enum.StrEnum):
    """Which objects tell the endpoints."""

    SLICES = "slices"
    """EndpointSlices, because the operator said so: never anything else."""
    ENDPOINTS = "endpoints"
    """Endpoints, because the operator said so."""
    AUTOMATIC = "automatic"
    """EndpointSlices if the API server has them, else Endpoints."""


class Getter(Protocol):
    """What is needed of the client."""

    async def get(self, subject: str, path: str) -> bytearray:
        """Fetch a document.

        Raises:
            ApiError: as `ApiClient.get`.
        """


class _GroupVersion(msgspec.Struct, frozen=True):
    version: str


class _Group(msgspec.Struct, frozen=True):
    versions: list[_GroupVersion] | None = None


class EndpointLocator:
    """Chooses the resource to watch, when the agent starts and when it is not served any more."""

    def __init__(self, client: Getter, mode: EndpointMode) -> None:
        self._client = client
        self._mode = mode

    async def __call__(self) -> Resource:
        """Ask the API server what it serves, unless the operator chose Endpoints.

        Raises:
            SlicesNotServed: EndpointSlices are demanded, or were in use, and there are none.
            ApiError: the API server did not tell.
        """
        if self._mode is EndpointMode.ENDPOINTS:
            return endpoints()
        version = await self._slice_version()
        if version is not None:
            # From here on their absence is trouble of the server, not an old server.
            self._mode = EndpointMode.SLICES
            return endpoint_slices(version)
        if self._mode is EndpointMode.SLICES:
            raise SlicesNotServed
        log.warning(
            "the API server does not serve discovery.k8s.io: reading Endpoints instead of "
            "EndpointSlices, at most 1000 addresses per Service. "
            "--feature-gates=EndpointSliceProxying=false chooses this without this message"
        )
        self._mode = EndpointMode.ENDPOINTS
        return endpoints()

    async def _slice_version(self) -> SliceVersion | None:
        """The best version that is served; None if there is none."""
        try:
            body = await self._client.get("discover EndpointSlices", DISCOVERY_PATH)
        except ApiRefused as refused:
            if refused.code == 403:
                # Whoever may not discover may still be allowed to list: every server since 1.21
                # has v1.
                return SLICE_VERSIONS[0]
            if refused.code == 404:
                return None
            raise
        try:
            group = msgspec.json.decode(body, type=_Group)
        except NOT_JSON as exc:
            raise ApiGarbled("discover EndpointSlices", str(exc), body) from exc
        served = {found.version for found in group.versions or ()}
        return next((version for version in SLICE_VERSIONS if version in served), None)
