"""Manifests for tests, as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def service_text(name: str = "web", cluster_ip: str = "10.96.0.10", port: object = 80) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  clusterIP: {cluster_ip}
  ports:
  - port: {port}
"""


def slice_text(
    name: str = "web-1", service: str = "web", addresses: Sequence[str] = ("10.244.0.11",)
) -> str:
    endpoints = "".join(f"- addresses: [{address}]\n" for address in addresses)
    return f"""\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}
  labels: {{kubernetes.io/service-name: {service}}}
addressType: IPv4
ports:
- port: 8080
endpoints:
{endpoints or "  []"}"""


def endpoints_text(name: str = "web", address: str = "10.244.0.11") -> str:
    return f"""\
apiVersion: v1
kind: Endpoints
metadata:
  name: {name}
subsets:
- addresses:
  - ip: {address}
  ports:
  - port: 8080
"""


def documents(*texts: str) -> str:
    return "---\n".join(texts)
