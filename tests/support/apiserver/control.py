"""Steering a stand-in that runs in a process of its own.

Requests below /_control/, all with JSON bodies:

=========================== ============================================ =====================
POST put                    one object, or a list of objects             resourceVersion
POST delete                 {"kind", "namespace", "name"}                resourceVersion
POST replace-endpoint       {"service": 17, "slot": 3, "address": "..."} old, new, ...
GET  stats                  -                                            bytes sent by path
=========================== ============================================ =====================

Answers to changes carry `at_monotonic_ns`, the moment just before the change was made on the clock
that all processes of the machine share, so that whoever watches the effect can tell the delay.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.http import RecordedRequest
from tests.support.apiserver.population import Population
from tests.support.apiserver.server import ApiServerStandIn
from tests.support.apiserver.statuses import ApiError


class DeleteOrder(msgspec.Struct, frozen=True):
    """Which object to remove."""

    kind: str
    name: str
    namespace: str = ""


class ReplaceOrder(msgspec.Struct, frozen=True):
    """Which endpoint to exchange."""

    service: int
    """Number of the Service in the population."""
    slot: int
    """Number of its endpoint."""
    address: str | None = None
    """None takes a fresh one."""


class Control:
    """Answers the requests of a benchmark driver."""

    def __init__(self, server: ApiServerStandIn, population: Population) -> None:
        self._server = server
        self._population = population
        self._orders = {
            "put": self._put,
            "delete": self._delete,
            "replace-endpoint": self._replace_endpoint,
            "stats": self._stats,
        }

    def __call__(self, request: RecordedRequest) -> bytes:
        """Carry out one order and encode what came of it.

        Raises:
            ApiError: 404, there is no such order; 400, it cannot be carried out.
        """
        order = self._orders.get(request.path.removeprefix("/_control/"))
        if order is None:
            raise ApiError(404, f"{request.path}: no such order, only {', '.join(self._orders)}")
        try:
            return msgspec.json.encode(order(request.body))
        except (msgspec.MsgspecError, LookupError, TypeError) as exc:
            raise ApiError(400, f"{request.path}: {type(exc).__name__}: {exc}") from exc

    def _put(self, body: bytes) -> JsonObject:
        given = msgspec.json.decode(body, type=JsonObject | list[JsonObject])
        objects = given if isinstance(given, list) else [given]
        at = time.monotonic_ns()
        for obj in objects:
            self._server.put(obj)
        return self._changed(at)

    def _delete(self, body: bytes) -> JsonObject:
        order = msgspec.json.decode(body, type=DeleteOrder)
        at = time.monotonic_ns()
        self._server.delete(order.kind, order.namespace, order.name)
        return self._changed(at)

    def _replace_endpoint(self, body: bytes) -> JsonObject:
        order = msgspec.json.decode(body, type=ReplaceOrder)
        done = self._population.replace_endpoint(order.service, order.slot, order.address)
        at = time.monotonic_ns()
        for obj in done.objects:
            self._server.put(obj)
        return {**self._changed(at), "old": done.old, "new": done.new}

    def _stats(self, body: bytes) -> JsonObject:
        return {"bytes_sent": dict(self._server.bytes_sent), "requests": len(self._server.requests)}

    def _changed(self, at_monotonic_ns: int) -> dict[str, Any]:
        version = str(self._server.store.version)
        return {"resourceVersion": version, "at_monotonic_ns": at_monotonic_ns}
