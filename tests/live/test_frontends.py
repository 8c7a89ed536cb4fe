"""Frontends beyond ClusterIP and NodePort, and affinity, through the real agent from every source.

What exactly they mean is shown by the scenarios; here, that sources and agent carry them.
"""

from __future__ import annotations

import itertools

import pytest

from lab import objects
from lab.objects import Backend, Json, Port
from lab.topology import STRANGER_ADDRESSES
from lab.traffic import Answer, Failure, Target, ask
from lab.waiting import eventually
from tests.live.site import (
    ELSEWHERE,
    PACKET_KINDS,
    POD_PORT,
    PacketKind,
    Site,
    address,
    backend_of,
    first_answer,
)

pytestmark = pytest.mark.live

_numbers = itertools.count(1)


class Shop:
    """A load balancer Service that no other test uses."""

    def __init__(self, site: Site, backends: list[Backend], **spec: object) -> None:
        number = next(_numbers)
        self.name = f"shop-{number}"
        self._addresses = [(f"10.96.9.{number}", f"fd00:96:9::{number:x}")]
        self._addresses += [(f"1.2.3.{number}", f"2001:db8:f::{number:x}")]
        self._addresses += [(f"198.51.100.{number}", f"2001:db8:e::{number:x}")]
        ports = [Port(p, p, 80, POD_PORT) for p in ("tcp", "udp")]
        service = objects.service(self.name, self._addresses[0], ports)
        site.cluster.put_service(self.name, self._with_all_frontends(service, spec))
        site.cluster.put_backends(self.name, ports, backends)

    def cluster_ip(self, kind: PacketKind) -> Target:
        return self._target(0, kind)

    def vip(self, kind: PacketKind) -> Target:
        return self._target(1, kind)

    def external_ip(self, kind: PacketKind) -> Target:
        return self._target(2, kind)

    def _target(self, index: int, kind: PacketKind) -> Target:
        return Target(kind.protocol, self._addresses[index][kind.family == "IPv6"], 80)

    def _with_all_frontends(self, service: Json, spec: dict[str, object]) -> Json:
        _, vips, external = self._addresses
        more = {"type": "LoadBalancer", "externalIPs": [*external], **spec}
        status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in vips]}}
        return service | {"spec": service["spec"] | more, "status": status}


def test_external_ips_and_load_balancer_ips_reach_endpoints(site: Site, kind: PacketKind):
    """DP-4, PP-8."""
    shop = Shop(site, site.backends(1))

    answers = [first_answer(site.client, t) for t in (shop.vip(kind), shop.external_ip(kind))]

    assert {answer.server for answer in answers} == {address(site.backends(1)[0], kind)}
    assert all(answer.is_masqueraded for answer in answers)


def test_policy_local_keeps_the_address_of_clients(site: Site, kind: PacketKind):
    """DP-5.3."""
    backends = [site.backends(1)[0], backend_of(site.lab.far_pods[0], ELSEWHERE)]
    shop = Shop(site, backends, externalTrafficPolicy="Local", healthCheckNodePort=32000)
    first_answer(site.client, shop.vip(kind))

    answers = [ask(site.client, shop.vip(kind)) for _ in range(20)]

    assert {a.server for a in answers if isinstance(a, Answer)} == {address(backends[0], kind)}
    assert not any(a.is_masqueraded for a in answers if isinstance(a, Answer))


def test_source_ranges_let_in_whom_they_name(site: Site, kind: PacketKind):
    """DP-40, DP-41: everybody else is dropped, but not from the external IP."""
    ranges = ["192.168.0.8/29", "2001:db8::/64"]
    shop = Shop(site, site.backends(1), loadBalancerSourceRanges=ranges)
    stranger = STRANGER_ADDRESSES[kind.family == "IPv6"]
    first_answer(site.client, shop.external_ip(kind))

    admitted = ask(site.client, shop.vip(kind))
    dropped = ask(site.client, shop.vip(kind), source=stranger, timeout=0.3)
    elsewhere = ask(site.client, shop.external_ip(kind), source=stranger)

    assert isinstance(admitted, Answer)
    assert isinstance(dropped, Failure)
    assert dropped.kind == "timeout"
    assert isinstance(elsewhere, Answer)


def test_clients_stay_with_their_endpoints_while_the_agent_is_replaced(site: Site):
    """DP-61, DP-64; by chance twenty connections would all go to one of three once in 10**9."""
    shop = Shop(site, site.backends(3), sessionAffinity="ClientIP")
    before = {kind: _server_seen_always(site, shop, kind) for kind in PACKET_KINDS}

    site.agent.kill()
    without_agent = {kind: _servers(site, shop, kind) for kind in PACKET_KINDS}
    site.agent.start()
    eventually("the agent is ready", site.agent.is_ready)
    afterwards = {kind: _servers(site, shop, kind) for kind in PACKET_KINDS}

    assert without_agent == afterwards == before


def _server_seen_always(site: Site, shop: Shop, kind: PacketKind) -> set[str]:
    """The one that answers as soon as every endpoint has been told to the agent."""
    first_answer(site.caller, shop.cluster_ip(kind))
    return eventually(
        "one endpoint for one client",
        lambda: _servers(site, shop, kind),
        lambda servers: len(servers) == 1,
    )


def _servers(site: Site, shop: Shop, kind: PacketKind) -> set[str]:
    targets = (shop.cluster_ip(kind), shop.vip(kind))
    outcomes = [ask(site.caller, target) for target in 10 * targets]
    return {outcome.server for outcome in outcomes if isinstance(outcome, Answer)}
