"""Messages of IPVS as pyroute2 reads them: a kernel with IPVS is not at every tester's hand."""

from __future__ import annotations

import pytest
from pyroute2.netlink.generic.ipvs import ipvsmsg

from nodeproxy.model.addresses import parse_addr
from nodeproxy.netlink.ipvs import VirtualServer, delete_request, parse_virtual_servers

TEXT = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr persistent 10800 FFFFFFFF
  -> AC110003:1AE1      Masq    1      0          0
  -> AC110004:1AE1      Masq    1      0          2
FWM  00000007 wlc
  -> AC110009:0050      Route   1      0          0
SCTP [fd00:0096:0000:0000:0000:0000:0000:000a]:0035 rr
"""


def test_the_kernels_list_is_read_without_servers_by_mark():
    found = parse_virtual_servers(TEXT)

    assert found == [
        VirtualServer(
            "TCP",
            parse_addr("10.96.0.1"),
            443,
            frozenset({"TCP AC110003:1AE1", "TCP AC110004:1AE1"}),
        ),
        VirtualServer("SCTP", parse_addr("fd00:96::a"), 53, frozenset()),
    ]
    assert [str(server) for server in found] == ["TCP 10.96.0.1:443", "SCTP [fd00:96::a]:53"]


@pytest.mark.parametrize(
    ("addr", "family", "protocol", "number"),
    [("10.96.0.1", 2, "UDP", 17), ("fd00:96::a", 10, "SCTP", 132)],
)
def test_one_server_is_named_in_the_request_to_delete_it(
    addr: str, family: int, protocol: str, number: int
):
    server = VirtualServer(protocol, parse_addr(addr), 8443, frozenset())

    message = ipvsmsg(delete_request(31, server))
    message.decode()

    named = message.get_attr("IPVS_CMD_ATTR_SERVICE")
    assert (message["header"]["type"], message["cmd"]) == (31, 3)
    assert named.get_attr("IPVS_SVC_ATTR_AF") == family
    assert named.get_attr("IPVS_SVC_ATTR_PROTOCOL") == number
    assert named.get_attr("IPVS_SVC_ATTR_ADDR") == addr
    assert named.get_attr("IPVS_SVC_ATTR_PORT") == 8443
