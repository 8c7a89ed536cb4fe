"""What the tree of chains is worth in iptables mode, against a linear list as the peer's.

    python -m benchmarks.iptables [--services 1000,5000,10000] [--flavours nft,legacy]

For each flavour, size and shape of the dispatch (tree, linear), in a network namespace of its own:
the time of the first sync, of a changed endpoint and of a Service more, from the backend being told
to the restore being confirmed; and the time a process of the node needs to send the first packet of
a UDP flow to a random Service, with all rules and delivery to an endpoint on the node. Medians.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import statistics
import time
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.table import aligned
from lab.namespace import Namespace
from nodeproxy.backends.iptables.backend import IptablesBackend
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.model.addresses import Addr, Family, format_addr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    FamilySettings,
    Frontend,
    FrontendKind,
    HintReason,
    PlanDelta,
    PlanKey,
    Reason,
    Selection,
    ServicePortPlan,
    Target,
    Topology,
)

_PORT = 8080
_CHANGES = 9
_PACKETS = 3000
_LINEAR = 1 << 40
"""So many rules make a leaf that nothing ever branches."""


class Row(msgspec.Struct, frozen=True):
    """What one combination showed; times in milliseconds, packets in microseconds."""

    flavour: Flavour
    shape: str
    services: int
    first_sync_ms: float
    endpoint_ms: float
    service_ms: float
    packet_us: float
    packet_p99_us: float


def service_plan(number: int, endpoints: int, salt: int = 0) -> ServicePortPlan:
    """Service `number` with its endpoints; another salt gives others."""
    key = ServicePortKey("bench", f"service-{number}", "", Protocol.UDP)
    first = number * endpoints
    targets = tuple(
        Target(Addr(b"\x0a" + (0xC80000 + first + index).to_bytes(3, "big")), _PORT + salt)
        for index in range(endpoints)
    )
    return ServicePortPlan(
        key=key,
        family=Family.IPV4,
        cluster_ip=address(number),
        frontends=(Frontend(FrontendKind.CLUSTER_IP, address(number), Protocol.UDP, 80),),
        internal_policy=TrafficPolicy.CLUSTER,
        external_policy=TrafficPolicy.CLUSTER,
        selection=Selection(
            cluster=targets,
            local=(),
            local_reachable=(),
            has_any=True,
            topology=Topology.ANY,
            cluster_reason=Reason.READY,
            local_reason=Reason.NOT_USED,
            hint_reason=HintReason.NOT_HINTED,
        ),
    )


def address(number: int) -> Addr:
    """ClusterIPs as an allocator gives them: anywhere in a /12, none twice."""
    scattered = number * 2654435761 % (1 << 20)
    return Addr((0x0A600000 + scattered).to_bytes(4, "big"))


def measure(flavour: Flavour, shape: str, services: int, endpoints: int) -> Row:
    """One combination in a namespace of its own."""
    with Namespace("iptables-bench") as namespace:
        namespace.ip(
            "link set lo up",
            "route add local 10.200.0.0/13 dev lo",
            "route add 10.96.0.0/12 dev lo",
        )
        tool = Commands(flavour, ("nsenter", f"--net={namespace.path}"))
        options = IptablesOptions(leaf_rules=_LINEAR) if shape == "linear" else IptablesOptions()
        backend = IptablesBackend(tool, (Family.IPV4,), options)
        first, endpoint, service = asyncio.run(_syncs(backend, services, endpoints))
        packets = sorted(_packets(namespace, services))
    return Row(
        flavour,
        shape,
        services,
        first,
        endpoint,
        service,
        statistics.median(packets),
        packets[len(packets) * 99 // 100],
    )


async def _syncs(
    backend: IptablesBackend, services: int, endpoints: int
) -> tuple[float, float, float]:
    plans = [service_plan(number, endpoints) for number in range(services)]
    family = Family.IPV4
    first = await _commit(backend, plans, {family: FamilySettings(family)})
    dice = random.Random(1)
    changed = [
        await _commit(backend, [service_plan(dice.randrange(services), endpoints - 1)])
        for _ in range(_CHANGES)
    ]
    added = [
        await _commit(backend, [service_plan(services + number, 1)]) for number in range(_CHANGES)
    ]
    return first, statistics.median(changed), statistics.median(added)


async def _commit(
    backend: IptablesBackend,
    plans: Sequence[ServicePortPlan],
    settings: dict[Family, FamilySettings] | None = None,
) -> float:
    """Milliseconds until the kernel has these plans."""
    puts = {PlanKey(plan.family, plan.key): plan for plan in plans}
    started = time.perf_counter()
    backend.stage(PlanDelta(puts, set(), settings or {}))
    await backend.commit()
    return (time.perf_counter() - started) * 1000


def _packets(namespace: Namespace, services: int) -> Iterator[float]:
    """Microseconds that sending the first packet of a flow takes, rules and delivery included."""
    dice = random.Random(2)
    server = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind(("0.0.0.0", _PORT))
        for _ in range(_PACKETS):
            to = format_addr(address(dice.randrange(services)))
            with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                started = time.perf_counter()
                client.sendto(b"x", (to, 80))
                yield (time.perf_counter() - started) * 1e6
            server.recv(1)


def main() -> None:
    """Measure everything that was asked for, a line each."""
    parser = argparse.ArgumentParser(description="iptables mode: tree of chains or linear list")
    parser.add_argument("--services", default="1000,5000,10000")
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--flavours", default="nft,legacy")
    asked = parser.parse_args()
    titles = ("flavour", "dispatch", "services", "first sync ms", "endpoint ms", "service ms")
    rows: list[tuple[str, ...]] = [(*titles, "packet us", "p99 us")]
    for flavour in map(Flavour, asked.flavours.split(",")):
        for services in map(int, asked.services.split(",")):
            for shape in ("tree", "linear"):
                row = measure(flavour, shape, services, asked.endpoints)
                times = (row.first_sync_ms, row.endpoint_ms, row.service_ms)
                packets = (row.packet_us, row.packet_p99_us)
                figures = (*(f"{value:,.0f}" for value in times), *(f"{v:.1f}" for v in packets))
                rows.append((row.flavour, row.shape, f"{row.services:,}", *figures))
    for line in aligned(rows, words=2):
        print(line)


if __name__ == "__main__":
    main()
