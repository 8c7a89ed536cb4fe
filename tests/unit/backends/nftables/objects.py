"""The Services and endpoints the backend's tests are about, and how to look at the result."""

from __future__ import annotations

from nodeproxy.model.addresses import Family
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.types import PlanKey
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_
from tests.support.programming import OWN_NODE, Pools, ProgrammedNode, plain_elements, pools

V4, V6 = Family.IPV4, Family.IPV6
WEB = "10.96.0.10 tcp 80"


def web(name: str = "web", number: int = 10, port: int = 80) -> ServiceBuilder:
    return service(name).cluster_ip(f"10.96.0.{number}").port(port)


def pods(count: int, name: str = "web", first: int = 1, node: str = "n2") -> SliceBuilder:
    """Endpoints 10.0.0.first and following, on port 8080."""
    builder = slice_(f"{name}-1", service=name).port(8080)
    for number in range(first, first + count):
        builder.endpoint(f"10.0.{number // 250}.{number % 250 + 1}", node=node)
    return builder


def pods_at(*addresses: str, name: str = "web", node: str = "n2") -> SliceBuilder:
    builder = slice_(f"{name}-1", service=name).port(8080)
    for address in addresses:
        builder.endpoint(address, node=node)
    return builder


def local_pods(*addresses: str, name: str = "web") -> SliceBuilder:
    return pods_at(*addresses, name=name, node=OWN_NODE)


def members(node: ProgrammedNode, family: Family = V4) -> dict[str, set[str]]:
    """The keys of all plain sets, class sets included, that are not empty."""
    found = plain_elements(node.kernel.listing(family))
    return {name: set(elements) for name, elements in found.items()}


def endpoints_of(node: ProgrammedNode, family: Family = V4) -> Pools:
    return pools(node.kernel.listing(family))


def behind(node: ProgrammedNode, frontend: str = WEB, pool: str = "service") -> set[str]:
    """The addresses that answer for a frontend."""
    targets = endpoints_of(node)[pool].get(frontend, frozenset())
    return {target.partition(" ")[0] for target in targets}


def plan_key(name: str, family: Family = V4) -> PlanKey:
    return PlanKey(family, ServicePortKey("default", name, "", Protocol.TCP))
