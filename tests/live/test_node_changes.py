"""The own Node changes while traffic goes on, and nobody starts the agent again.

kube-proxy logs a changed address and goes on with the old one, and ends when the podCIDRs change
(NODE-5).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lab import manifests, objects
from lab.agent import HEALTH_ADDRESS, AgentProcess
from lab.objects import Json, Port
from lab.topology import CLIENT_ADDRESSES, NODE_ADDRESSES, NODE_NAME, Lab, private_node
from lab.traffic import Answer, Conversation, Stream, ask
from lab.waiting import eventually
from tests.live.clusters import ApiCluster, ManifestCluster
from tests.live.site import (
    HOST_PORT,
    LOOK_SECONDS,
    OTHER_POD_PORT,
    PACKET_KINDS,
    POD_PORT,
    PacketKind,
    Site,
    backend_of,
    first_answer,
    first_failure,
)

pytestmark = pytest.mark.live

MOVED = ("192.168.2.2", "2001:db8:2::2")
"""Addresses the node gets in place of its first ones."""
POD_CIDRS = ("10.244.0.0/24", "fd00:10:244::/64")
ELSEWHERE_CIDRS = ("10.250.0.0/24", "fd00:10:250::/64")
FLAGS = ("--nodeport-addresses=primary", "--detect-local-mode=NodeCIDR")
DELETION_TAINT = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}


class NodeSite(Site):
    """A site whose Node object changes; the cluster is an API server."""

    def __init__(self, lab: Lab, api: ApiCluster, agent: AgentProcess) -> None:
        super().__init__(lab, api, agent)
        self.api = api

    def put_node(
        self,
        *,
        addresses: tuple[str, ...] = NODE_ADDRESSES,
        pod_cidrs: tuple[str, ...] = POD_CIDRS,
        zone: str = "zone-a",
    ) -> None:
        """Replace the Node object."""
        self.api.put(node_object(addresses, pod_cidrs, zone))


def node_object(addresses: tuple[str, ...], pod_cidrs: tuple[str, ...], zone: str) -> Json:
    node = objects.node()
    node["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone
    node["spec"] = {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)}
    node["status"] = {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]}
    return node


def put_manifest(directory: Path, addresses: tuple[str, ...]) -> None:
    manifests.write_objects(directory, "node", [node_object(addresses, POD_CIDRS, "zone-a")])


@contextlib.contextmanager
def running(log: Path) -> Iterator[NodeSite]:
    """A lab with an agent that knows its node by the Node object alone."""
    with private_node() as lab, ApiCluster(lab.node, uses_slices=True) as api:
        lab.serve(tcp=[POD_PORT, OTHER_POD_PORT], udp=[POD_PORT, OTHER_POD_PORT])
        lab.serve_on_node(tcp=[HOST_PORT], udp=[HOST_PORT])
        api.put(node_object(NODE_ADDRESSES, POD_CIDRS, "zone-a"))
        with AgentProcess(lab.node, [*api.agent_arguments, *FLAGS], log) as agent:
            eventually("the agent is ready", agent.is_ready)
            yield NodeSite(lab, api, agent)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeSite]:
    with running(tmp_path_factory.mktemp("log") / "agent") as site:
        yield site


@pytest.fixture(autouse=True)
def _node_is_at_home(request: pytest.FixtureRequest) -> None:
    if "site" in request.fixturenames:
        request.getfixturevalue("site").put_node()


def status(site: NodeSite, path: str) -> int:
    """Ask the health server."""
    with site.node.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(2.0)
        sock.connect(HEALTH_ADDRESS)
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        return int(sock.recv(4096).split()[1])


@contextlib.contextmanager
def addresses_added(site: Site) -> Iterator[None]:
    site.node.ip(*(f"addr add {a}/{128 if ':' in a else 32} dev eth0" for a in MOVED))
    try:
        yield
    finally:
        site.node.ip(*(f"addr del {a}/{128 if ':' in a else 32} dev eth0" for a in MOVED))


def test_node_ports_move_with_the_address_and_no_connection_is_lost(
    site: NodeSite, kind: PacketKind
):
    """NODE-5, DP-53, TS-1204."""
    web = site.published(site.backends(3))
    first_answer(site.client, web.on_node(kind))

    with (
        addresses_added(site),
        Conversation(site.client, web.on_node(kind)) as established,
        Stream(established.say, name="established") as speaking,
        Stream(lambda: ask(site.caller, web.cluster_ip(kind)), name="new") as asking,
    ):
        site.put_node(addresses=MOVED)
        first_answer(site.client, web.on_node(kind, MOVED))
        first_failure(site.client, web.on_node(kind), "refused")
        site.put_node()
        first_answer(site.client, web.on_node(kind))
        first_failure(site.client, web.on_node(kind, MOVED), "refused")

    assert isinstance(established.opening, Answer)
    assert len(speaking.samples) > 1
    assert not speaking.failures()
    assert not asking.failures()


def test_node_that_loses_its_old_address_keeps_every_connection_between_pods(tmp_path: Path):
    """The address is exchanged on the interface too, as DHCP or a new subnet does it."""
    with running(tmp_path / "agent") as site, contextlib.ExitStack() as streams:
        web = site.published(site.backends(3))
        site.node.ip(*(f"addr add {a}/{128 if ':' in a else 32} dev eth0" for a in MOVED))
        asking = [
            streams.enter_context(
                Stream(partial(ask, site.caller, web.cluster_ip(kind)), name=str(kind))
            )
            for kind in PACKET_KINDS
        ]

        site.put_node(addresses=MOVED)
        for kind in PACKET_KINDS:
            first_answer(site.client, web.on_node(kind, MOVED))
        site.node.ip(
            *(f"addr del {a}/{64 if ':' in a else 24} dev eth0" for a in NODE_ADDRESSES),
            *(f"route add {a} dev eth0" for a in CLIENT_ADDRESSES),
        )
        answers = [first_answer(site.client, web.on_node(kind, MOVED)) for kind in PACKET_KINDS]
        seen = [len(stream.samples) for stream in asking]
        eventually(
            "traffic after the exchange",
            lambda: all(len(s.samples) > n for s, n in zip(asking, seen, strict=True)),
        )
        is_running = site.agent.is_running

    assert len(answers) == len(PACKET_KINDS)
    assert [stream.failures() for stream in asking] == [()] * len(PACKET_KINDS)
    assert is_running


def test_node_object_in_a_file_is_followed_too(tmp_path: Path):
    directory = tmp_path / "manifests"
    directory.mkdir()
    kind = PACKET_KINDS[0]
    with private_node() as lab:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        cluster = ManifestCluster(directory)
        put_manifest(directory, NODE_ADDRESSES)
        arguments = [*cluster.agent_arguments, *FLAGS]
        with AgentProcess(lab.node, arguments, tmp_path / "agent") as agent:
            site = Site(lab, cluster, agent)
            web = site.published(site.backends(1))
            with addresses_added(site):
                first_answer(site.client, web.on_node(kind))
                put_manifest(directory, MOVED)
                moved = first_answer(site.client, web.on_node(kind, MOVED))
                first_failure(site.client, web.on_node(kind), "refused")

    assert moved.server == lab.pods[0].ipv4


def test_pods_are_told_from_others_by_the_networks_the_node_has_now(
    site: NodeSite, kind: PacketKind
):
    """NODE-5, TS-1204: kube-proxy ends with exit code 1."""
    web = site.published(site.backends(3))
    target = web.cluster_ip(kind)

    def is_masqueraded() -> bool | None:
        outcome = ask(site.caller, target, timeout=LOOK_SECONDS)
        return outcome.is_masqueraded if isinstance(outcome, Answer) else None

    with Stream(lambda: ask(site.caller, target), name="new") as asking:
        eventually("a pod is one of ours", is_masqueraded, lambda seen: seen is False)
        site.put_node(pod_cidrs=ELSEWHERE_CIDRS)
        eventually("the pod is none of ours", is_masqueraded, lambda seen: seen is True)
        site.put_node()
        eventually("the pod is one of ours again", is_masqueraded, lambda seen: seen is False)

    assert not asking.failures()


def test_hints_follow_the_zone_the_node_is_in_now(site: NodeSite, kind: PacketKind):
    """EP-54."""
    near, far = site.lab.pods[0], site.lab.pods[1]
    web = site.publish([])
    ports = [Port("tcp", "tcp", 80, POD_PORT), Port("udp", "udp", 80, POD_PORT)]
    for written in objects.endpoint_slices(web.name, ports, [backend_of(near), backend_of(far)]):
        for endpoint, zone in zip(written["endpoints"], ("zone-a", "zone-b"), strict=True):
            endpoint["hints"] = {"forZones": [{"name": zone}]}
        site.api.put(written)

    def server() -> str:
        outcome = ask(site.caller, web.cluster_ip(kind), timeout=LOOK_SECONDS)
        return outcome.server if isinstance(outcome, Answer) else ""

    in_a, in_b = (near.addresses, far.addresses)
    number = 0 if kind.family == "IPv4" else 1
    first_answer(site.caller, web.cluster_ip(kind))
    with Stream(lambda: ask(site.caller, web.cluster_ip(kind)), name="new") as asking:
        eventually("the endpoint of zone a", server, lambda seen: seen == in_a[number])
        site.put_node(zone="zone-b")
        eventually("the endpoint of zone b", server, lambda seen: seen == in_b[number])
        site.put_node(zone="zone-a")
        eventually("the endpoint of zone a again", server, lambda seen: seen == in_a[number])

    assert not asking.failures()


@pytest.mark.parametrize("change", ["taint", "deletion"])
def test_node_that_goes_away_is_told_to_load_balancers_while_its_services_work(
    site: NodeSite, change: str
):
    """HZ-6: /healthz says it, /livez does not."""
    web = site.published(site.backends(3))
    node = node_object(NODE_ADDRESSES, POD_CIDRS, "zone-a")
    if change == "taint":
        node["spec"]["taints"] = [DELETION_TAINT]
    else:
        node["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"

    with Stream(lambda: ask(site.caller, web.cluster_ip(PACKET_KINDS[0])), name="new") as asking:
        before = eventually("eligible", lambda: status(site, "/healthz"), lambda c: c == 200)
        site.api.put(node)
        eventually("not eligible", lambda: status(site, "/healthz"), lambda code: code == 503)
        alive = status(site, "/livez")
        site.put_node()
        eventually("eligible again", lambda: status(site, "/healthz"), lambda code: code == 200)

    assert (before, alive) == (200, 200)
    assert not asking.failures()


def test_node_that_is_not_ready_or_deleted_changes_nothing(site: NodeSite):
    """NODE-5, TS-1205: the last object counts; HZ-6: conditions of the Node do not."""
    web = site.published(site.backends(1))
    kind = PACKET_KINDS[0]
    first_answer(site.client, web.on_node(kind))
    node = node_object(NODE_ADDRESSES, POD_CIDRS, "zone-a")
    node["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    node["spec"]["unschedulable"] = True

    site.api.put(node)
    site.api.remove("Node", "", NODE_NAME)
    web.scale_to(site.backends(2)[1:])
    eventually(
        "the change after the Node's removal",
        lambda: ask(site.client, web.on_node(kind), timeout=LOOK_SECONDS),
        lambda seen: isinstance(seen, Answer) and seen.server == site.backends(2)[1].ipv4,
    )

    assert status(site, "/healthz") == 200
    assert site.agent.is_running
