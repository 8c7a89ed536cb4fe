"""NodePorts follow the addresses of the node (DP-54, NFT-29)."""

from __future__ import annotations

import pytest

from lab.topology import CLIENT_ADDRESSES, NODE_ADDRESSES, Lab, private_node
from lab.traffic import Answer, Outcome, Target, ask
from nodeproxy.model.addresses import parse_cidr
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.settings import PlanOptions
from tests.support.builders import service, slice_
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.live

PORT = 30080
LATE = "172.20.0.1"
"""Inside --nodeport-addresses, and no address of the node at first."""


def ask_node(lab: Lab, address: str) -> Outcome:
    return ask(lab.client, Target("tcp", address, PORT), source=CLIENT_ADDRESSES[0])


async def test_an_address_that_comes_later_accepts_node_ports_at_once() -> None:
    """The routing table knows: docs/decisions/0007-node-addresses-by-routing-table.md."""
    with private_node() as lab:
        lab.serve(tcp=[8080])
        lab.client.ip(f"route add {LATE} via {NODE_ADDRESSES[0]}")
        with lab.node.entered():
            channel = NetfilterSocket()
        with channel:
            options = PlanOptions(node_port_addresses=(parse_cidr("172.20.0.0/16"),))
            node = ProgrammedNode(channel=channel, options=options)
            web = service("web").cluster_ip("10.96.0.10").port(80).node_port(PORT)
            ready = slice_("web-1", service="web").port(8080).endpoint(lab.pods[0].ipv4)
            await node.take(web.upserted(), ready.upserted())

            before = ask_node(lab, LATE)
            lab.node.ip(f"addr add {LATE}/32 dev eth0")
            there = ask_node(lab, LATE)
            other = ask_node(lab, NODE_ADDRESSES[0])
            lab.node.ip(f"addr del {LATE}/32 dev eth0")
            after = ask_node(lab, LATE)

    assert isinstance(there, Answer)
    assert there.server == lab.pods[0].ipv4
    assert not isinstance(before, Answer)
    assert not isinstance(other, Answer)
    assert not isinstance(after, Answer)
