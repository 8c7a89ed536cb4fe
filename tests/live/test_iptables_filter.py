"""What iptables mode does in the filter table beside refusals (DP-59, DP-70): real packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lab.topology import Lab, private_node
from lab.traffic import Answer, Outcome, Target, ask
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.model.addresses import FAMILIES, parse_cidr
from nodeproxy.plan.settings import PlanOptions
from tests.live.test_invalid import next_source_port, send
from tests.support.builders import node, service, slice_
from tests.support.iptables_programming import IptablesNode
from tests.support.programming import OWN_NODE

pytestmark = pytest.mark.live

HEALTH_PORT, OTHER_PORT = 32000, 32001
CLUSTER_IP, NODE_IP = "10.96.0.10", "192.168.0.2"
PLAN = PlanOptions(cluster_cidrs=(parse_cidr("10.244.0.0/16"),))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with private_node() as lab:
        lab.serve(tcp=[8080])
        lab.serve_on_node(tcp=[HEALTH_PORT, OTHER_PORT])
        yield lab


@pytest.fixture(params=Flavour)
def tool(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Commands]:
    tool = Commands(request.param, ("nsenter", f"--net={lab.node.path}"))
    yield tool
    cleanup(tool, FAMILIES)
    for chain in ("INPUT", "FORWARD"):
        lab.node.run(f"iptables-{tool.flavour}", "-P", chain, "ACCEPT")


async def program(lab: Lab, tool: Commands, mode: IptablesOptions | None = None) -> None:
    """A Service behind a load balancer, with one pod here."""
    pods = slice_("web-1", service="web").port(8080).endpoint(lab.pods[1].ipv4, node=OWN_NODE)
    web = service("web").cluster_ip(CLUSTER_IP).port(80).node_port(30080)
    await IptablesNode(tool, options=PLAN, mode=mode).take(
        node(OWN_NODE).internal_ip(NODE_IP).upserted(), web.upserted(), pods.upserted()
    )


async def program_health_check(tool: Commands) -> None:
    """A Service whose health is asked for, on a node without endpoints of it."""
    web = service("web").cluster_ip(CLUSTER_IP).port(80).node_port(30080).local()
    balanced = web.load_balancer_ip("1.2.3.4").health_check(HEALTH_PORT)
    await IptablesNode(tool, options=PLAN).take(balanced.upserted())


def drop_by_default(lab: Lab, tool: Commands, chain: str) -> None:
    lab.node.run(f"iptables-{tool.flavour}", "-P", chain, "DROP")


def from_client(lab: Lab, port: int) -> Outcome:
    return ask(lab.client, Target("tcp", NODE_IP, port), timeout=0.5)


async def test_a_node_that_forwards_nothing_by_default_forwards_to_services(
    lab: Lab, tool: Commands
):
    """DP-70: what carries the masquerade mark, and all that belongs to its connection."""
    drop_by_default(lab, tool, "FORWARD")

    await program(lab, tool)

    assert isinstance(from_client(lab, 30080), Answer)
    assert not isinstance(
        ask(lab.client, Target("tcp", lab.pods[1].ipv4, 8080), timeout=0.5), Answer
    )


async def test_health_checks_are_admitted_to_a_node_that_admits_nobody(lab: Lab, tool: Commands):
    """DP-59: that port alone, from everywhere."""
    drop_by_default(lab, tool, "INPUT")
    lab.node.run(
        f"iptables-{tool.flavour}", "-A", "INPUT", "-m", "conntrack",
        "--ctstate", "ESTABLISHED", "-j", "ACCEPT",
    )  # fmt: skip

    await program_health_check(tool)

    asked = {port: from_client(lab, port) for port in (HEALTH_PORT, OTHER_PORT)}
    lab.node.run(f"iptables-{tool.flavour}", "-F", "INPUT")
    assert isinstance(asked[HEALTH_PORT], Answer)
    assert not isinstance(asked[OTHER_PORT], Answer)


@pytest.mark.parametrize("drops_invalid", [True, False])
async def test_invalid_packets_are_dropped_unless_connection_tracking_is_liberal(
    lab: Lab, tool: Commands, *, drops_invalid: bool
):
    """DP-70; the packet behind it that is not invalid arrives in any case."""
    await program(lab, tool, IptablesOptions(drops_invalid=drops_invalid))
    sender, receiver = lab.pods[0], lab.pods[2]
    capture = receiver.namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)

    with capture:
        capture.settimeout(5)
        send(sender, receiver.ipv4, 9090, source_port=1001)
        ask(sender.namespace, Target("tcp", receiver.ipv4, 9090), timeout=0.5)
        first = next_source_port(capture)

    assert (first == 1001) is not drops_invalid
