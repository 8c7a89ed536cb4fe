from __future__ import annotations

from nodeproxy.model.addresses import parse_addr
from nodeproxy.netlink.ipvs import parse_virtual_servers
from nodeproxy.node.leftovers.ipvs import SET_NAMES, sort_servers

HEAD = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
"""
BOUND = frozenset({parse_addr("10.96.0.10")})


def names(servers: tuple[object, ...]) -> list[str]:
    return [str(server) for server in servers]


def test_servers_on_the_interface_and_their_node_ports_are_of_kube_proxy():
    servers = parse_virtual_servers(
        HEAD + "TCP  0A60000A:0050 rr \n"
        "  -> 0AF4000B:1F90      Masq    1      0          0\n"
        "  -> 0AF4000C:1F90      Masq    1      0          0\n"
        "TCP  C0A80002:7580 rr \n"
        "  -> 0AF4000C:1F90      Masq    1      0          0\n"
    )

    found = sort_servers(servers, BOUND)

    assert names(found.ours) == ["TCP 10.96.0.10:80", "TCP 192.168.0.2:30080"]
    assert found.others == ()


def test_servers_of_others_stay():
    servers = parse_virtual_servers(
        HEAD + "TCP  0A60000A:0050 rr \n"
        "  -> 0AF4000B:1F90      Masq    1      0          0\n"
        "TCP  C0A800FE:192B wlc \n"
        "  -> C0A80002:192B      Route   1      0          0\n"
        "UDP  C0A800FE:0035 wlc \n"
        "  -> 0AF4000B:1F90      Masq    1      0          0\n"
        "TCP  C0A800FE:7581 rr \n"
    )

    found = sort_servers(servers, BOUND)

    assert names(found.ours) == ["TCP 10.96.0.10:80"]
    assert names(found.others) == [
        "TCP 192.168.0.254:6443",
        "UDP 192.168.0.254:53",
        "TCP 192.168.0.254:30081",
    ]


def test_without_the_interface_nobody_knows_whose_they_are():
    servers = parse_virtual_servers(HEAD + "TCP  0A60000A:0050 rr \n")

    found = sort_servers(servers, frozenset())

    assert found.ours == ()
    assert names(found.others) == ["TCP 10.96.0.10:80"]


def test_names_of_sets_are_cut_as_the_kernel_wants_them():
    assert max(len(name) for name in SET_NAMES) == 31
    assert {"KUBE-CLUSTER-IP", "KUBE-6-LOAD-BALANCER-SOURCE-CID"} <= SET_NAMES
