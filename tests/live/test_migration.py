"""A node changes from kube-proxy in iptables mode to nodeproxy: docs/cleanup.md, under traffic."""

from __future__ import annotations

from functools import partial

import pytest

from lab.traffic import Answer, Conversation, Failure, Stream, ask
from lab.waiting import eventually
from nodeproxy.model.addresses import Family
from nodeproxy.model.leftovers import Place
from nodeproxy.node.leftovers.xtables import Tables
from tests.live.site import POD_PORT, PacketKind, Site, Web, address, first_answer, server_of

pytestmark = pytest.mark.live

_SVC = "KUBE-SVC-QNLOQG4XHR5FB2TW"
_SEP = "KUBE-SEP-3AVYIQNEPB7LHS5C"
_TOLD = '-m comment --comment "kubernetes service portals"'


def written_by_kube_proxy(cluster_ip: str, endpoint: str) -> str:
    """Its way from a ClusterIP to an endpoint."""
    host = f"[{endpoint}]" if ":" in endpoint else endpoint
    return f"""\
*nat
:KUBE-SERVICES - [0:0]
:{_SVC} - [0:0]
:{_SEP} - [0:0]
-I PREROUTING {_TOLD} -j KUBE-SERVICES
-I OUTPUT {_TOLD} -j KUBE-SERVICES
-A KUBE-SERVICES -d {cluster_ip} -p tcp -m tcp --dport 80 -j {_SVC}
-A {_SVC} -m comment --comment "a/web -> {endpoint}" -j {_SEP}
-A {_SEP} -p tcp -m tcp -j DNAT --to-destination {host}:{POD_PORT}
COMMIT
"""


def left_by_kube_proxy(site: Site, tables: Tables, web: Web, kind: PacketKind) -> None:
    """Make the node as it is when kube-proxy has just been stopped."""
    site.agent.stop()
    site.agent.command_output("cleanup")
    endpoint = address(site.backends(1)[0], kind)
    rules = written_by_kube_proxy(web.cluster_ip(kind).address, endpoint)
    site.node.run(f"{tables.command}-restore", "--noflush", stdin=rules)


@pytest.mark.parametrize("site", ["manifests"], indirect=True)
@pytest.mark.parametrize("place", [Place.IPTABLES_NFT, Place.IPTABLES_LEGACY])
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_no_connection_fails_while_nodeproxy_takes_over(site: Site, place: Place, family: str):
    kind = PacketKind("tcp", "IPv4" if family == "IPv4" else "IPv6")
    web = site.published(site.backends(1))
    target = web.cluster_ip(kind)
    left_by_kube_proxy(site, Tables(place, Family(family)), web, kind)
    first_answer(site.caller, target)

    with Conversation(site.caller, target) as kept:
        with Stream(partial(ask, site.caller, target), name="migration") as stream:
            eventually("questions before", lambda: len(stream.samples) > 20)
            site.agent.start()
            eventually("the agent is ready", site.agent.is_ready)
            told = site.agent.command_output("cleanup", "--from", "kube-proxy", "--yes")
            asked = len(stream.samples)
            eventually("questions afterwards", lambda: len(stream.samples) > asked + 20)
        answer = kept.say()
    web.scale_to(site.backends(2)[1:])
    eventually(
        "nodeproxy decides alone",
        lambda: server_of(site.caller, target) == address(site.backends(2)[1], kind),
    )

    assert stream.failures() == ()
    assert isinstance(answer, Answer)
    assert f"removed: {place}, {family}, table nat: 3 chains with 3 rules, 2 jumps" in told
    assert not isinstance(kept.opening, Failure)
