"""The world of the scenarios on a node in iptables mode: same hosts, same packets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from lab.flows import FlowLog
from lab.topology import Lab, private_node
from nodeproxy.backends.base import Backend
from nodeproxy.backends.iptables.backend import IptablesBackend
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.model.addresses import FAMILIES, Addr
from nodeproxy.netlink.channel import NetfilterSocket
from tests.support.scenarios.liveworld import LiveWorld, Port
from tests.support.scenarios.model import Place
from tests.support.scenarios.world import HOSTS

ROUTE_LOCALNET = {"net.ipv4.conf.all.route_localnet": "1"}
"""What the agent sets for NodePorts on loopback (DP-57)."""


class IptablesWorld(LiveWorld):
    """A lab whose node is programmed by iptables-restore."""

    def __init__(
        self, lab: Lab, channel: NetfilterSocket, flows: FlowLog, flavour: Flavour
    ) -> None:
        super().__init__(lab, channel, flows)
        self.tool = Commands(flavour, ("nsenter", f"--net={lab.node.path}"))
        lab.node.set_sysctls(ROUTE_LOCALNET)

    def begin(self, node_addresses: frozenset[Addr], ports: Sequence[tuple[Addr, Port]]) -> None:
        """Make everything as if no scenario had been here before (see `LiveWorld.begin`)."""
        cleanup(self.tool, FAMILIES)
        super().begin(node_addresses, ports)

    def new_backend(self) -> Backend:
        """A backend that knows nothing yet, as that of an agent that starts."""
        return IptablesBackend(self.tool, FAMILIES)


@contextlib.contextmanager
def open_iptables_world(flavour: Flavour) -> Iterator[IptablesWorld]:
    """Build it; it is gone when the block ends or this process does."""
    pods = [name for name, host in HOSTS.items() if host.place is Place.POD_HERE]
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(private_node(pods))
        with lab.node.entered():
            channel = stack.enter_context(NetfilterSocket())
        flows = stack.enter_context(FlowLog(lab.node))
        world = IptablesWorld(lab, channel, flows, flavour)
        stack.callback(world.close)
        yield world
