"""From a core/v1 Endpoints object to the groups of addresses of the Service of that name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from sys import intern

from nodeproxy.model.addresses import FAMILIES, Family, family_of, parse_addr
from nodeproxy.model.endpoints import EndpointAddress, EndpointGroup
from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import Endpoints, EndpointSubset, SubsetAddress
from nodeproxy.state.endpoint_ports import endpoint_ports_from
from nodeproxy.state.merge import merge_addresses
from nodeproxy.state.report import Report, key_from
from nodeproxy.state.services import PROXY_NAME_LABEL
from nodeproxy.state.slices import HEADLESS_LABEL

OVER_CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity"


def groups_from_endpoints(
    endpoints: Endpoints,
) -> tuple[ServiceKey, tuple[EndpointGroup, ...], tuple[Problem, ...]]:
    """Read an Endpoints object.

    Every address it lists is ready (EPS-4). Families are told apart address by address, so an
    object without addresses clears both (EPS-6, EPS-11).

    Returns:
        The Service of the same name (EPS-2), a group for each family of each subset, and what
        had to be ignored. Objects of headless Services and of other proxies are empty (EPS-1).
    """
    service = key_from(endpoints.metadata)
    labels = endpoints.metadata.labels or {}
    if HEADLESS_LABEL in labels or PROXY_NAME_LABEL in labels:
        return service, (), ()
    report = Report("Endpoints", endpoints.metadata)
    if (endpoints.metadata.annotations or {}).get(OVER_CAPACITY_ANNOTATION) == "truncated":
        report.add(
            "metadata.annotations",
            "the Endpoints controller left out what exceeds 1000 addresses; the rest of the pods "
            "get no traffic. Read EndpointSlices (EndpointSliceProxying=true) to reach them",
        )
    groups = tuple(
        group
        for index, subset in enumerate(endpoints.subsets or ())
        for group in _groups(subset, f"subsets[{index}]", report)
    )
    return service, groups, report.problems()


def _groups(subset: EndpointSubset, field: str, report: Report) -> Iterator[EndpointGroup]:
    """The groups of one subset; every address answers on every port (EPS-3)."""
    ports = endpoint_ports_from(subset.ports or (), report, f"{field}.ports", needs_name=False)
    by_family = _addresses(subset.addresses or (), f"{field}.addresses", report)
    for family, addresses in by_family.items():
        if ports and addresses:
            yield EndpointGroup(family, ports, merge_addresses(addresses))


def _addresses(
    wires: Sequence[SubsetAddress], field: str, report: Report
) -> dict[Family, list[EndpointAddress]]:
    by_family: dict[Family, list[EndpointAddress]] = {family: [] for family in FAMILIES}
    for index, wire in enumerate(wires):
        try:
            addr = parse_addr(wire.ip or "")
        except ValueError as exc:
            report.add(f"{field}[{index}].ip", f"{exc}; endpoint ignored")
            continue
        address = EndpointAddress(addr, node_name=intern(wire.node_name or ""))
        by_family[family_of(addr)].append(address)
    return by_family
