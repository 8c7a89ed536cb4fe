"""Who reaches what, and as whom: ClusterIP and NodePort from pods, the node and outside.

The rows are those of the packet path catalogue (PP) and the masquerade summary (DP-20..DP-23).
"""

from __future__ import annotations

import pytest

from lab.objects import Backend
from lab.topology import NODE_ADDRESSES, NODE_OTHER_ADDRESSES
from lab.traffic import Answer, Failure, Target, ask
from tests.live.site import (
    ELSEWHERE,
    HOST_PORT,
    PacketKind,
    Site,
    address,
    backend_of,
    first_answer,
    first_failure,
    server_of,
)

pytestmark = pytest.mark.live


def node_address(kind: PacketKind) -> str:
    return NODE_ADDRESSES[0 if kind.family == "IPv4" else 1]


def test_pod_reaches_cluster_ip_as_itself(site: Site, kind: PacketKind):
    """PP-1."""
    web = site.publish(site.backends(1))

    answer = first_answer(site.caller, web.cluster_ip(kind))

    assert answer.server == address(site.backends(1)[0], kind)
    assert not answer.is_masqueraded


def test_node_reaches_cluster_ip(site: Site, kind: PacketKind):
    """PP-3; masquerading keeps the node's address here, as it is the one that leads back."""
    web = site.publish(site.backends(1))

    answer = first_answer(site.node, web.cluster_ip(kind))

    assert answer.server == address(site.backends(1)[0], kind)


def test_outsider_reaches_cluster_ip_as_the_node(site: Site, kind: PacketKind):
    """PP-5: not from a pod, so the answer must come back through this node."""
    web = site.publish(site.backends(1))
    target = web.cluster_ip(kind)
    site.client.ip(f"route replace {target.address} via {node_address(kind)}")

    answer = first_answer(site.client, target)

    assert answer.seen_as == node_address(kind)


def test_pod_reaches_itself_through_its_service(site: Site, kind: PacketKind):
    """PP-11: without masquerade the pod would answer itself directly (DP-23)."""
    web = site.publish(site.backends(1))

    answer = first_answer(site.lab.pods[0].namespace, web.cluster_ip(kind))

    assert answer.server == answer.caller
    assert answer.seen_as == node_address(kind)


def test_pod_reaches_endpoint_on_the_host_network(site: Site, kind: PacketKind):
    """PP-2."""
    web = site.publish([Backend(*NODE_ADDRESSES)], target_port=HOST_PORT)

    answer = first_answer(site.caller, web.cluster_ip(kind))

    assert (answer.server, answer.server_port) == (node_address(kind), HOST_PORT)
    assert not answer.is_masqueraded


def test_node_reaches_endpoint_on_itself(site: Site, kind: PacketKind):
    """PP-4."""
    web = site.publish([Backend(*NODE_ADDRESSES)], target_port=HOST_PORT)

    answer = first_answer(site.node, web.cluster_ip(kind))

    assert answer.server == node_address(kind)


def test_outsider_on_node_port_is_seen_as_the_node(site: Site, kind: PacketKind):
    """PP-6 with policy Cluster (DP-4)."""
    web = site.publish(site.backends(1))

    answer = first_answer(site.client, web.on_node(kind))

    assert answer.server == address(site.backends(1)[0], kind)
    assert answer.seen_as == node_address(kind)


def test_outsider_on_node_port_is_seen_as_itself_with_policy_local(site: Site, kind: PacketKind):
    """PP-6 with policy Local (DP-5.3)."""
    web = site.publish(site.backends(1), external="Local")

    answer = first_answer(site.client, web.on_node(kind))

    assert answer.server == address(site.backends(1)[0], kind)
    assert not answer.is_masqueraded


def test_policy_local_keeps_outsiders_on_this_node(site: Site, kind: PacketKind):
    """DP-5: outsiders get the local endpoint only, pods and the node get all of them."""
    here, there = site.backends(1)[0], backend_of(site.lab.pods[1], ELSEWHERE)
    web = site.publish([here, there], external="Local")
    first_answer(site.client, web.on_node(kind))

    outside = {server_of(site.client, web.on_node(kind)) for _ in range(40)}
    pod = {server_of(site.caller, web.on_node(kind)) for _ in range(40)}
    node = {server_of(site.node, web.on_node(kind)) for _ in range(40)}

    assert outside == {address(here, kind)}
    assert pod == node == {address(here, kind), address(there, kind)}


def test_policy_local_without_local_endpoint_drops_outsiders(site: Site):
    """DP-5.3: dropped, not refused; the load balancer asks another node."""
    kind = PacketKind("udp", "IPv4")
    web = site.publish([backend_of(site.lab.pods[1], ELSEWHERE)], external="Local")
    first_answer(site.caller, web.on_node(kind))

    outcome = ask(site.client, web.on_node(kind), timeout=0.3)

    assert isinstance(outcome, Failure)
    assert outcome.kind == "timeout"


def test_internal_policy_local_uses_endpoints_of_this_node(site: Site, kind: PacketKind):
    """TS-852."""
    here, there = site.backends(1)[0], backend_of(site.lab.pods[1], ELSEWHERE)
    web = site.publish([there, here], internal="Local")
    first_answer(site.caller, web.cluster_ip(kind))

    servers = {server_of(site.caller, web.cluster_ip(kind)) for _ in range(40)}

    assert servers == {address(here, kind)}


def test_pod_on_node_port_of_its_node_is_masqueraded(site: Site, kind: PacketKind):
    """PP-13 with policy Cluster."""
    web = site.publish(site.backends(1))

    answer = first_answer(site.caller, web.on_node(kind))

    assert answer.seen_as == node_address(kind)


def test_node_port_is_closed_on_addresses_not_selected(site: Site, kind: PacketKind):
    """DP-55: the packet is not touched; the host refuses."""
    web = site.published(site.backends(1))

    outcome = ask(site.client, web.on_node(kind, NODE_OTHER_ADDRESSES))

    assert isinstance(outcome, Failure)
    assert outcome.kind == "refused"


def test_undefined_port_of_a_cluster_ip_is_refused(site: Site, kind: PacketKind):
    """DP-10."""
    web = site.published(site.backends(1))
    undefined = web.cluster_ip(kind)._replace(port=81)

    outcome = ask(site.caller, undefined)

    assert isinstance(outcome, Failure)
    assert outcome.kind == "refused"


def test_service_without_endpoints_refuses_everybody(site: Site, kind: PacketKind):
    """TS-801, TS-804 (DP-2, DP-3)."""
    web = site.publish([])

    first_failure(site.caller, web.cluster_ip(kind), "refused")
    first_failure(site.node, web.cluster_ip(kind), "refused")
    first_failure(site.client, web.on_node(kind), "refused")


def test_pod_addresses_are_never_touched(site: Site, kind: PacketKind):
    """DP-14."""
    site.published(site.backends(2))
    target = Target(kind.protocol, address(site.backends(2)[1], kind), 8080)

    answer = ask(site.client, target)

    assert isinstance(answer, Answer)
    assert answer.server == target.address
    assert not answer.is_masqueraded
