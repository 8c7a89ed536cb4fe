"""From a Service object to its service ports, one for each port and family.

What a Service means for the data plane is decided here and nowhere else (spec 20 sections 1, 2
and 4). Reading is lenient: a part that cannot be used is reported and left out, the rest stands.

Where no API server has filled in defaults (manifests), absent fields get the value it would have
given: clusterIPs from clusterIP, families from the addresses, type ClusterIP, protocol TCP.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sys import intern
from typing import NamedTuple

from nodeproxy.model.addresses import (
    FAMILIES,
    Addr,
    Cidr,
    Family,
    family_of,
    merge_cidrs,
    parse_addr,
    parse_cidr,
)
from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.model.problems import Problem
from nodeproxy.model.services import ServicePort
from nodeproxy.model.wire import LoadBalancerIngress, Service, ServicePortWire, ServiceSpec
from nodeproxy.state.policies import (
    affinity_seconds_from,
    external_policy_from,
    health_check_node_port_from,
    policy_from,
)
from nodeproxy.state.report import MAX_PORT, Report, key_from, port_number_from, protocol_from

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
"""Another proxy serves the object; the presence of the key matters, not its value (EP-2)."""


class _Port(NamedTuple):
    """What spec.ports[] says, checked."""

    key: ServicePortKey
    port: int
    node_port: int


def service_ports_from(
    service: Service,
) -> tuple[tuple[ServicePort, ...], tuple[Problem, ...]]:
    """Read a Service.

    Returns:
        Its service ports of both families (none if it is not served, SVC-1, SVC-2), and what had
        to be ignored or repaired.
    """
    report = Report("Service", service.metadata)
    spec = service.spec
    if spec is None:
        report.add("spec", "not set; Service ignored")
        return (), report.problems()
    if not _is_served(service, spec, report):
        return (), report.problems()
    cluster_ips = _cluster_ips(spec, report)
    ports = _ports(key_from(service.metadata), spec.ports or (), report)
    external_ips = _external_ips(spec.external_ips or (), report)
    vips = _load_balancer_ips(service, report)
    ranges = _source_ranges(spec.load_balancer_source_ranges or (), report)
    _check_ranges(ranges, vips, cluster_ips, report)
    internal_policy = policy_from(spec.internal_traffic_policy, "internalTrafficPolicy", report)
    external_policy = external_policy_from(spec, report)
    affinity_seconds = affinity_seconds_from(spec, report)
    health_port = health_check_node_port_from(spec, external_policy, report)
    result = tuple(
        ServicePort(
            key=port.key,
            family=family,
            cluster_ip=cluster_ip,
            port=port.port,
            node_port=port.node_port,
            external_ips=_of_family(external_ips, cluster_ip),
            load_balancer_ips=_of_family(vips, cluster_ip),
            source_ranges=_restricting(ranges, cluster_ip),
            internal_policy=internal_policy,
            external_policy=external_policy,
            affinity_seconds=affinity_seconds,
            health_check_node_port=health_port,
        )
        for family, cluster_ip in cluster_ips.items()
        for port in ports
    )
    return result, report.problems()


def _is_served(service: Service, spec: ServiceSpec, report: Report) -> bool:
    """False for headless and ExternalName Services and those of another proxy (SVC-1, SVC-2)."""
    if PROXY_NAME_LABEL in (service.metadata.labels or ()):
        return False
    texts = (spec.cluster_ip, *(spec.cluster_ips or ()))
    if spec.type == "ExternalName" or "None" in texts:
        return False
    if not any(texts):
        report.add("spec.clusterIP", "not set; Service ignored until it has one")
        return False
    return True


def _cluster_ips(spec: ServiceSpec, report: Report) -> dict[Family, Addr]:
    """The ClusterIP of each family the Service has (SVC-3).

    Without ipFamilies (objects from before dual stack, manifests) the addresses tell.
    """
    texts = spec.cluster_ips or [spec.cluster_ip or ""]
    field = "spec.clusterIPs[{}]" if spec.cluster_ips else "spec.clusterIP"
    result: dict[Family, Addr] = {}
    for index, text in enumerate(texts):
        addr = _addr(text, field.format(index), "no ClusterIP of that family", report)
        if addr is None:
            continue
        if spec.ip_families and not _is_declared(spec.ip_families, index, addr, report):
            continue
        result.setdefault(family_of(addr), addr)
    return {family: result[family] for family in FAMILIES if family in result}


def _is_declared(families: Sequence[str], index: int, addr: Addr, report: Report) -> bool:
    """True if ipFamilies[index] is the family of the address at that place."""
    if index >= len(families):
        return False
    if families[index] == family_of(addr):
        return True
    report.add(
        f"spec.ipFamilies[{index}]",
        f'"{families[index]}" does not fit the ClusterIP at that place; ClusterIP ignored',
    )
    return False


def _ports(service: ServiceKey, wires: Sequence[ServicePortWire], report: Report) -> list[_Port]:
    """The usable ports; of two with the same name and protocol the last wins (SVC-4)."""
    ports: dict[tuple[str, Protocol], _Port] = {}
    namespace, name = intern(service.namespace), service.name
    for index, wire in enumerate(wires):
        field = f"spec.ports[{index}]"
        protocol = protocol_from(wire.protocol, report, f"{field}.protocol")
        number = port_number_from(wire.port, report, f"{field}.port")
        if protocol is None or number is None:
            continue
        port_name = intern(wire.name or "")
        if (port_name, protocol) in ports:
            report.add(
                field,
                f'a second port "{port_name}" with protocol {protocol.name}; it replaces the first',
            )
        key = ServicePortKey(namespace, name, port_name, protocol)
        ports[port_name, protocol] = _Port(key, number, _node_port(wire, field, report))
    return list(ports.values())


def _node_port(wire: ServicePortWire, field: str, report: Report) -> int:
    number = wire.node_port or 0
    if 0 <= number <= MAX_PORT:
        return number
    report.add(f"{field}.nodePort", f"{number} is not in 1..{MAX_PORT}; port has no NodePort")
    return 0


def _external_ips(texts: Sequence[str], report: Report) -> list[Addr]:
    """Those that parse, in their order; blank ones are no mistake (SVC-10)."""
    found = (
        _addr(text, f"spec.externalIPs[{index}]", "external IP ignored", report)
        for index, text in enumerate(texts)
        if text.strip()
    )
    return [addr for addr in found if addr is not None]


def _load_balancer_ips(service: Service, report: Report) -> list[Addr]:
    """Addresses whose load balancer delivers packets with the VIP as destination (SVC-13..15)."""
    load_balancer = service.status and service.status.load_balancer
    ingress: Iterable[LoadBalancerIngress] = (load_balancer and load_balancer.ingress) or ()
    found = (
        _addr(entry.ip, f"status.loadBalancer.ingress[{index}].ip", "address ignored", report)
        for index, entry in enumerate(ingress)
        if entry.ip and entry.ip_mode in (None, "VIP")
    )
    return [addr for addr in found if addr is not None]


def _addr(text: str, field: str, consequence: str, report: Report) -> Addr | None:
    try:
        return parse_addr(text)
    except ValueError as exc:
        report.add(field, f"{exc}; {consequence}")
        return None


def _source_ranges(texts: Sequence[str], report: Report) -> tuple[Cidr, ...]:
    """The ranges that parse, of both families, merged (SVC-16, NFT-17).

    Merged here, ranges that are written otherwise but let the same sources in are no change.
    """
    ranges: list[Cidr] = []
    stripped = [text.strip() for text in texts]
    for index, text in enumerate(stripped):
        if not text:
            continue
        try:
            ranges.append(parse_cidr(text))
        except ValueError as exc:
            report.add(f"spec.loadBalancerSourceRanges[{index}]", f"{exc}; range ignored")
    if any(stripped) and not ranges:
        report.add(
            "spec.loadBalancerSourceRanges",
            "none can be used; load balancer addresses are open to every source",
        )
    return merge_cidrs(ranges)


def _check_ranges(
    ranges: Sequence[Cidr], vips: Iterable[Addr], families: Iterable[Family], report: Report
) -> None:
    """Ranges of one family say nothing of the other, whose addresses stay open (SVC-18)."""
    if not ranges:
        return
    restricted = {cidr.family for cidr in ranges}
    for family in families:
        if family not in restricted and any(family_of(vip) is family for vip in vips):
            report.add(
                "spec.loadBalancerSourceRanges",
                f"none is {family}; its {family} load balancer addresses are open to every source",
            )


def _of_family(addrs: list[Addr], like: Addr) -> tuple[Addr, ...]:
    return tuple(addr for addr in addrs if len(addr) == len(like)) if addrs else ()


def _restricting(ranges: tuple[Cidr, ...], like: Addr) -> tuple[Cidr, ...]:
    """Ranges of one family; empty, meaning unrestricted, if one is everything (SVC-17, SVC-18)."""
    if not ranges:
        return ()
    own = tuple(cidr for cidr in ranges if len(cidr.addr) == len(like))
    return () if any(cidr.is_everything for cidr in own) else own
