"""What a load balancer hears about a Service, against what happens to packets it sends."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import objects
from lab.agent import AgentProcess
from lab.objects import Backend, Json, Port
from lab.topology import NODE_ADDRESSES, private_node
from lab.traffic import Answer, Target, ask
from lab.waiting import eventually
from tests.live.clusters import ApiCluster, ManifestCluster
from tests.live.site import ELSEWHERE, LOOK_SECONDS, POD_PORT, Family, Site, backend_of

pytestmark = pytest.mark.live

CHECK_PORT, NODE_PORT = 32080, 32081
CLUSTER_IPS = ("10.96.7.7", "fd00:10:96::7:7")
PORTS = [Port("http", "tcp", 80, POD_PORT, NODE_PORT)]
ROUNDS = 5


class Balanced(Site):
    """A site with one Service of type LoadBalancer and policy Local."""

    def put(self, check_port: int = CHECK_PORT) -> None:
        self.cluster.put_service("web", balanced_service(check_port))

    def scale_to(self, *backends: Backend) -> None:
        self.cluster.put_backends("web", PORTS, backends)

    def here(self) -> Backend:
        return backend_of(self.lab.pods[0])

    def elsewhere(self) -> Backend:
        return backend_of(self.lab.pods[1], ELSEWHERE)

    def check(self, family: Family = "IPv4", port: int = CHECK_PORT) -> int:
        """What the load balancer hears; 0 if nobody answers."""
        head, _ = self.checked(family, port)
        return int(head.split()[1]) if head else 0

    def checked(self, family: Family, port: int = CHECK_PORT) -> tuple[str, str]:
        """Head and body of the answer."""
        is_ipv4 = family == "IPv4"
        kind = socket.AF_INET if is_ipv4 else socket.AF_INET6
        with self.client.socket(kind, socket.SOCK_STREAM) as sock:
            sock.settimeout(5.0)
            try:
                sock.connect((NODE_ADDRESSES[0 if is_ipv4 else 1], port))
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                text = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
            except (ConnectionRefusedError, ConnectionResetError):
                return "", ""
        head, _, body = text.partition("\r\n\r\n")
        return head, body

    def connects(self, family: Family) -> bool:
        """True if a connection the load balancer makes now is answered."""
        address = NODE_ADDRESSES[0 if family == "IPv4" else 1]
        target = Target("tcp", address, NODE_PORT)
        return isinstance(ask(self.client, target, timeout=LOOK_SECONDS), Answer)


def balanced_service(check_port: int) -> Json:
    service = objects.service("web", CLUSTER_IPS, PORTS, external_policy="Local")
    spec: dict[str, Any] = {"type": "LoadBalancer", "healthCheckNodePort": check_port}
    return service | {"spec": service["spec"] | spec}


@pytest.fixture(params=["manifests", "api"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Balanced]:
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(private_node())
        lab.serve(tcp=[POD_PORT])
        cluster: ManifestCluster | ApiCluster
        if request.param == "manifests":
            (tmp_path / "objects").mkdir()
            cluster = ManifestCluster(tmp_path / "objects")
        else:
            cluster = stack.enter_context(ApiCluster(lab.node, uses_slices=True))
            cluster.put(objects.node())
        agent = AgentProcess(lab.node, cluster.agent_arguments, tmp_path / "agent.log")
        stack.enter_context(agent)
        yield Balanced(lab, cluster, agent)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_node_that_is_recommended_answers_and_one_that_drops_is_not_recommended(
    site: Balanced, family: Family
):
    """HZ-21."""
    site.put()

    for _ in range(ROUNDS):
        site.scale_to(site.here(), site.elsewhere())
        eventually("the node is recommended", lambda: site.check(family) == 200)
        assert site.connects(family), "recommended before packets arrive"

        site.scale_to(site.elsewhere())
        eventually("packets are dropped", lambda: not site.connects(family))
        assert site.check(family) == 503, "still recommended when packets are dropped"


def test_each_family_is_counted_and_answered_for_by_itself(site: Balanced):
    """HZ-20a, HZ-23."""
    site.put()
    site.scale_to(site.here(), backend_of(site.lab.pods[2]), site.elsewhere())
    eventually("the node is recommended", lambda: site.check() == site.check("IPv6") == 200)

    answers = [site.checked("IPv4"), site.checked("IPv6")]

    for head, body in answers:
        assert "X-Load-Balancing-Endpoint-Weight: 2" in head
        assert json.loads(body)["localEndpoints"] == 2
        assert json.loads(body)["service"] == {"namespace": "default", "name": "web"}


def test_the_port_follows_the_service(site: Balanced):
    """HZ-21."""
    site.put()
    site.scale_to(site.here())
    eventually("the node is recommended", lambda: site.check() == 200)

    site.put(check_port=CHECK_PORT + 7)
    eventually("the new port answers", lambda: site.check(port=CHECK_PORT + 7) == 200)
    eventually("the old port is closed", lambda: site.check() == 0)
    site.cluster.delete("web")
    eventually("the port is closed", lambda: site.check(port=CHECK_PORT + 7) == 0)
