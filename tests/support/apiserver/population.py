"""A cluster of any size, made by rule: the same numbers give the same objects.

Service number i of N is `bench/svc-0000i` with a ClusterIP of its own, one TCP port 80 named
"http", E endpoints in slices of at most 100, and the Endpoints object that says the same. Beside
them stand the Service `default/kubernetes` and the Node the agent runs on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.objects import (
    Backend,
    Port,
    endpoint_slice,
    endpoints,
    node,
    owned_slice,
    service,
    service_cidr,
    with_managed_fields,
)

NAMESPACE = "bench"
SLICE_CAPACITY = 100
"""Endpoints the controller puts into one slice."""
_SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/12")
_FIRST_CLUSTER_IP = 256  # the addresses below are the cluster's own: kubernetes, DNS
_POD_NETWORK = ipaddress.IPv4Network("10.128.0.0/9")
_NODES = 50  # endpoints are spread over these
_CREATED_AT = "2026-01-01T00:00:00Z"
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # what generateName appends is made of these


class Replacement(msgspec.Struct, frozen=True):
    """One endpoint of a Service exchanged for another."""

    old: str
    new: str
    objects: tuple[JsonObject, ...]
    """The slice that holds it, then the Endpoints object, both as they are now."""


class Population:
    """The objects of a generated cluster, and the endpoints that were replaced since.

    Args:
        services: how many.
        endpoints_each: endpoints of every Service.
        has_pods: True makes slices as their controller does, each endpoint with pod, node and zone
            (3 KB for a slice of ten); False writes addresses and nodes only (1.4 KB).
        node_name: the Node to create.
    """

    def __init__(
        self,
        services: int,
        endpoints_each: int,
        *,
        has_pods: bool = False,
        node_name: str = "node-0",
    ) -> None:
        self.services = services
        self.endpoints_each = endpoints_each
        self.node_name = node_name
        self._has_pods = has_pods
        self._replaced: dict[tuple[int, int], str] = {}  # address by service and slot
        self._fresh = 0  # replacements taken from the top of the pod network
        self._ports = (Port(80, "http", target=8080),)

    def objects(self) -> Iterator[JsonObject]:
        """Everything there is, Services before what is behind them."""
        yield node(self.node_name, zone="zone-a", internal_ips=["192.0.2.10"])
        yield service_cidr("kubernetes", [str(_SERVICE_NETWORK)])
        yield from _kubernetes_service()
        for index in range(self.services):
            yield self.service(index)
            yield from self.slices(index)
            yield self.endpoints(index)

    def service(self, index: int) -> JsonObject:
        """Service number `index`."""
        made = service(
            service_name(index),
            namespace=NAMESPACE,
            cluster_ips=[cluster_ip(index)],
            ports=self._ports,
            spec={"selector": {"app": service_name(index)}},
        )
        made["metadata"]["uid"] = _service_uid(index)
        return with_managed_fields(made, "kubectl", _CREATED_AT)

    def slices(self, index: int) -> list[JsonObject]:
        """The slices of Service number `index`; one without endpoints has an empty one."""
        count = max(1, -(-self.endpoints_each // SLICE_CAPACITY))
        return [self._slice(index, number) for number in range(count)]

    def endpoints(self, index: int) -> JsonObject:
        """The Endpoints object of Service number `index`."""
        made = endpoints(
            service_name(index),
            namespace=NAMESPACE,
            backends=self._backends(index, 0, self.endpoints_each),
            ports=self._ports,
            labels={"endpoints.kubernetes.io/managed-by": "endpoint-controller"},
        )
        return with_managed_fields(made, "kube-controller-manager", _CREATED_AT)

    def replace_endpoint(self, index: int, slot: int, address: str | None = None) -> Replacement:
        """Exchange one endpoint for a fresh address, or for a given one."""
        old = self.address(index, slot)
        if address is None:
            self._fresh += 1
            address = str(_POD_NETWORK[-1 - self._fresh])
        self._replaced[index, slot] = address
        changed = self._slice(index, slot // SLICE_CAPACITY)
        return Replacement(old, address, (changed, self.endpoints(index)))

    def address(self, index: int, slot: int) -> str:
        """The address of one endpoint."""
        replaced = self._replaced.get((index, slot))
        return replaced or str(_POD_NETWORK[1 + index * self.endpoints_each + slot])

    def _slice(self, index: int, number: int) -> JsonObject:
        first = number * SLICE_CAPACITY
        made = endpoint_slice(
            f"{service_name(index)}-{_suffix(index, number)}",
            service_name(index),
            namespace=NAMESPACE,
            backends=self._backends(index, first, min(first + SLICE_CAPACITY, self.endpoints_each)),
            ports=self._ports,
        )
        if self._has_pods:
            made = owned_slice(made, _service_uid(index))
        return with_managed_fields(made, "kube-controller-manager", _CREATED_AT)

    def _backends(self, index: int, first: int, end: int) -> list[Backend]:
        return [self._backend(index, slot) for slot in range(first, end)]

    def _backend(self, index: int, slot: int) -> Backend:
        address, node_name = self.address(index, slot), f"node-{slot % _NODES}"
        if not self._has_pods:
            return Backend(address, node=node_name, is_serving=None, is_terminating=None)
        zone = f"zone-{'abc'[slot % 3]}"
        return Backend(address, f"{service_name(index)}-{slot}", node_name, zone)


def service_name(index: int) -> str:
    """The name of Service number `index`."""
    return f"svc-{index:05}"


def cluster_ip(index: int) -> str:
    """The ClusterIP of Service number `index`."""
    return str(_SERVICE_NETWORK[_FIRST_CLUSTER_IP + index])


def _kubernetes_service() -> Iterator[JsonObject]:
    ports = (Port(443, "https", target=6443),)
    backends = [Backend("192.0.2.1")]
    yield service("kubernetes", cluster_ips=[str(_SERVICE_NETWORK[1])], ports=ports)
    yield endpoint_slice("kubernetes", "kubernetes", backends=backends, ports=ports)
    yield endpoints("kubernetes", backends=backends, ports=ports)


def _service_uid(index: int) -> str:
    return f"{index:08x}-be0c-4000-8000-{index:012x}"


def _suffix(index: int, number: int) -> str:
    """Five letters that tell the slices of a Service apart."""
    value = index * 7919 + number * 104729
    letters = []
    for _ in range(5):
        value, digit = divmod(value, len(_SUFFIX_LETTERS))
        letters.append(_SUFFIX_LETTERS[digit])
    return "".join(letters)
