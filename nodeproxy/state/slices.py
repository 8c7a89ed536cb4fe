"""From an EndpointSlice to the group of addresses it contributes to a Service.

Strings that repeat (node names, zones, port names) are interned and hints are shared: on a big
cluster a hundred thousand endpoints are held at once.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern

from nodeproxy.model.addresses import Addr, Family, parse_addr
from nodeproxy.model.endpoints import EndpointAddress, EndpointGroup
from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import EndpointConditions, EndpointSlice, HintName, SliceEndpoint
from nodeproxy.state.endpoint_ports import endpoint_ports_from
from nodeproxy.state.merge import merge_addresses
from nodeproxy.state.report import Report, key_from

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
HOSTNAME_TOPOLOGY_KEY = "kubernetes.io/hostname"

_FAMILIES_BY_TYPE: dict[str | None, Family] = {family.value: family for family in Family}
_ALL_DEFAULT = EndpointConditions()


def groups_from_slice(
    slice_: EndpointSlice,
) -> tuple[ServiceKey | None, tuple[EndpointGroup, ...], tuple[Problem, ...]]:
    """Read an EndpointSlice of either API version.

    Returns:
        The Service it belongs to, None if it names none (EP-7); its addresses, at most one
        group; and what had to be ignored. Slices of headless Services (EP-2) and of host names
        (EP-8) belong to nobody, without a problem.
    """
    report = Report("EndpointSlice", slice_.metadata)
    labels = slice_.metadata.labels or {}
    if HEADLESS_LABEL in labels or slice_.address_type == "FQDN":
        return None, (), ()
    if not slice_.metadata.name:
        report.add("metadata.name", "not set; slice ignored")
        return None, (), report.problems()
    service_name = labels.get(SERVICE_NAME_LABEL)
    family = _FAMILIES_BY_TYPE.get(slice_.address_type)
    if not service_name:
        report.add("metadata.labels", f"no {SERVICE_NAME_LABEL}; slice ignored")
        return None, (), report.problems()
    if family is None:
        report.add(
            "addressType", f'"{slice_.address_type or ""}" is neither IPv4 nor IPv6; slice ignored'
        )
        return None, (), report.problems()
    service = ServiceKey(intern(key_from(slice_.metadata).namespace), service_name)
    ports = endpoint_ports_from(slice_.ports or (), report, "ports", needs_name=True)
    found = [
        _address(endpoint, index, family, report)
        for index, endpoint in enumerate(slice_.endpoints or ())
    ]
    addresses = merge_addresses([address for address in found if address is not None])
    groups = (EndpointGroup(family, ports, addresses),) if ports and addresses else ()
    return service, groups, report.problems()


def _address(
    endpoint: SliceEndpoint, index: int, family: Family, report: Report
) -> EndpointAddress | None:
    """One endpoint, None if it cannot be used (EP-19..22)."""
    addr = _first_addr(endpoint, index, family, report)
    if addr is None:
        return None
    conditions = endpoint.conditions or _ALL_DEFAULT
    hints = endpoint.hints
    return EndpointAddress(
        addr,
        # Null means ready and serving, and not terminating; serving does not follow ready (EP-20).
        conditions.ready is not False,
        conditions.serving is not False,
        conditions.terminating is True,
        _node_name(endpoint),
        _names(hints.for_zones) if hints and hints.for_zones else (),
        _names(hints.for_nodes) if hints and hints.for_nodes else (),
    )


def _first_addr(endpoint: SliceEndpoint, index: int, family: Family, report: Report) -> Addr | None:
    """The one address that counts, `addresses[0]` (EP-19)."""
    if not endpoint.addresses:
        report.add(f"endpoints[{index}].addresses", "empty; endpoint ignored")
        return None
    text = endpoint.addresses[0]
    try:
        addr = parse_addr(text)
    except ValueError as exc:
        report.add(f"endpoints[{index}].addresses[0]", f"{exc}; endpoint ignored")
        return None
    if (len(addr) == 4) is not (family is Family.IPV4):
        report.add(
            f"endpoints[{index}].addresses[0]", f'"{text}" is not {family}; endpoint ignored'
        )
        return None
    return addr


def _node_name(endpoint: SliceEndpoint) -> str:
    """The node's name; v1beta1 objects may carry it as topology (EP-9)."""
    if endpoint.node_name:
        return intern(endpoint.node_name)
    topology = endpoint.topology or {}
    return intern(topology.get(HOSTNAME_TOPOLOGY_KEY) or "")


def _names(hints: list[HintName]) -> tuple[str, ...]:
    return _shared_names(tuple(hint.name or "" for hint in hints))


@lru_cache(maxsize=4096)
def _shared_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The set of names as a sorted tuple, one object for all endpoints with the same names."""
    return tuple(sorted({intern(name) for name in names if name}))
