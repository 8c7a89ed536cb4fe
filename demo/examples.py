"""The manifests of `examples/`, in a copy that the demo can change."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lab.traffic import Target

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class ServiceView(msgspec.Struct, frozen=True):
    """What callers need to know of a Service."""

    name: str
    cluster_ips: Sequence[str]
    ports: Sequence[dict[str, Any]]

    def cluster_targets(self) -> Iterator[Target]:
        """Every ClusterIP with every port."""
        for port in self.ports:
            for address in self.cluster_ips:
                yield Target(port["protocol"].lower(), address, port["port"])

    def node_targets(self, addresses: Sequence[str]) -> Iterator[Target]:
        """Every NodePort on these node addresses."""
        for port in self.ports:
            if "nodePort" in port:
                for address in addresses:
                    yield Target(port["protocol"].lower(), address, port["nodePort"])


class Examples:
    """A directory of manifests, copied from `examples/`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._documents: dict[str, list[dict[str, Any]]] = {}
        for file in sorted(EXAMPLES.glob("*.yaml")):
            self._documents[file.name] = [d for d in yaml.safe_load_all(file.read_text()) if d]
            (directory / file.name).write_bytes(file.read_bytes())

    def services(self) -> list[ServiceView]:
        """Every Service, in the order of the files."""
        return [
            ServiceView(d["metadata"]["name"], d["spec"]["clusterIPs"], d["spec"]["ports"])
            for d in self._all("Service")
        ]

    def node_name(self) -> str:
        """The node on which the endpoints are, as the slices call it."""
        names = {
            endpoint["nodeName"]
            for document in self._all("EndpointSlice")
            for endpoint in document["endpoints"]
            if "nodeName" in endpoint
        }
        (name,) = names
        return str(name)

    def backend_ports(self, protocol: str) -> set[int]:
        """The ports on which endpoints of a protocol (`tcp`, `udp`) must answer."""
        return {
            port["port"]
            for document in self._all("EndpointSlice")
            for port in document["ports"]
            if port.get("protocol", "TCP").lower() == protocol
        }

    def scale(self, service: str, count: int) -> float:
        """Leave a Service its first `count` endpoints.

        Returns:
            The moment (monotonic seconds) at which the agent could first see it.
        """
        prepared = {
            self.directory / name: [_scaled(d, service, count) for d in documents]
            for name, documents in self._documents.items()
            if any(_belongs(d, service) for d in documents)
        }
        for file, documents in prepared.items():
            _beside(file).write_text(yaml.safe_dump_all(documents))
        moment = time.monotonic()
        for file in prepared:
            os.replace(_beside(file), file)
        return moment

    def _all(self, kind: str) -> Iterator[dict[str, Any]]:
        for documents in self._documents.values():
            yield from (d for d in documents if d["kind"] == kind)


def _belongs(document: dict[str, Any], service: str) -> bool:
    labels: dict[str, str] = document["metadata"].get("labels", {})
    return document["kind"] == "EndpointSlice" and labels.get(SERVICE_NAME_LABEL) == service


def _scaled(document: dict[str, Any], service: str, count: int) -> dict[str, Any]:
    if not _belongs(document, service):
        return document
    scaled = copy.deepcopy(document)
    scaled["endpoints"] = scaled["endpoints"][:count]
    return scaled


def _beside(file: Path) -> Path:
    """A hidden name to write a file under, so that it appears whole when renamed."""
    return file.with_name(f".{file.name}.new")
