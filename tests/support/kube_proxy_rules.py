"""What a kube-proxy of mode iptables leaves behind, among rules of others, written after spec 41.

One ClusterIP with two endpoints, one load balancer with a source range and a NodePort, one Service
without endpoints. Around it: the kubelet's chains, a CNI plugin's, an administrator's.
"""

from __future__ import annotations

# ruff: noqa: E501
from nodeproxy.model.addresses import Family

_SERVICE = "QNLOQG4XHR5FB2TW"
_BALANCED = "MZKA3P6S2UYDQJ4E"
_ENDPOINTS = ("3AVYIQNEPB7LHS5C", "W2JTD6KOX4RGZM3U")

FOREIGN = {
    "filter": """\
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:ADMIN-INPUT - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
[7:420] -A INPUT -j KUBE-FIREWALL
[5:300] -A INPUT -p tcp -m tcp --dport 22 -m comment --comment "not for -j KUBE-SERVICES" -j ADMIN-INPUT
[0:0] -A FORWARD -i cni0 -m comment --comment "kubernetes pods" -j ACCEPT
[0:0] -A OUTPUT -j KUBE-FIREWALL
[0:0] -A KUBE-FIREWALL -m conntrack --ctstate INVALID -m comment --comment "block incoming localnet connections" -j DROP
[3:180] -A ADMIN-INPUT -m limit --limit 10/sec -j ACCEPT
""",
    "nat": """\
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-MASQ - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-SVC-OF-AN-ADMIN - [0:0]
[2:168] -A POSTROUTING -m comment --comment "cni masquerade" -j CNI-MASQ
[2:168] -A CNI-MASQ -p tcp -j RETURN
[0:0] -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
[0:0] -A KUBE-SVC-OF-AN-ADMIN -p udp -j RETURN
""",
    "mangle": """\
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
[1:60] -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
""",
}
"""Tables with what must stay, in the form of `iptables-save -c`; fit for both families."""


def foreign_ruleset() -> str:
    """Everything that is not kube-proxy's, for iptables-restore --counters."""
    return "".join(f"*{table}\n{rules}COMMIT\n" for table, rules in FOREIGN.items())


def kube_proxy_ruleset(family: Family) -> str:
    """What kube-proxy adds, for iptables-restore --noflush."""
    return _FILTER.format(**_names(family)) + _NAT.format(**_names(family)) + _MANGLE


def _names(family: Family) -> dict[str, str]:
    is_v4 = family is Family.IPV4
    return {
        "service": _SERVICE,
        "balanced": _BALANCED,
        "first": _ENDPOINTS[0],
        "second": _ENDPOINTS[1],
        "cluster_ip": "10.96.0.10/32" if is_v4 else "fd00:96::10/128",
        "balanced_ip": "10.96.0.20/32" if is_v4 else "fd00:96::20/128",
        "empty_ip": "10.96.0.30/32" if is_v4 else "fd00:96::30/128",
        "vip": "198.51.100.7/32" if is_v4 else "2001:db8:f::7/128",
        "range": "203.0.113.0/24" if is_v4 else "2001:db8:a::/64",
        "pods": "10.244.0.0/16" if is_v4 else "fd00:10:244::/56",
        "one": "10.244.0.11" if is_v4 else "fd00:10:244::11",
        "two": "10.244.0.12" if is_v4 else "fd00:10:244::12",
        "one_port": "10.244.0.11:8080" if is_v4 else "[fd00:10:244::11]:8080",
        "two_port": "10.244.0.12:8080" if is_v4 else "[fd00:10:244::12]:8080",
    }


_FILTER = """\
*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-I INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "shop/empty:web has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30090 -j REJECT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/balanced:web health check node port" -m tcp --dport 32100 -j ACCEPT
-A KUBE-PROXY-FIREWALL -d {vip} -p tcp -m comment --comment "shop/balanced:web traffic not accepted by KUBE-FW-{balanced}" -m tcp --dport 80 -j DROP
-A KUBE-SERVICES -d {empty_ip} -p tcp -m comment --comment "shop/empty:web has no endpoints" -m tcp --dport 80 -j REJECT
COMMIT
"""

_NAT = """\
*nat
:KUBE-EXT-{balanced} - [0:0]
:KUBE-FW-{balanced} - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SEP-{first} - [0:0]
:KUBE-SEP-{second} - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-{balanced} - [0:0]
:KUBE-SVC-{service} - [0:0]
:KUBE-SVL-{balanced} - [0:0]
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-EXT-{balanced} -m comment --comment "masquerade traffic for shop/balanced:web external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-{balanced} -j KUBE-SVC-{balanced}
-A KUBE-EXT-{balanced} -j KUBE-SVL-{balanced}
-A KUBE-FW-{balanced} -s {range} -m comment --comment "shop/balanced:web loadbalancer IP" -j KUBE-EXT-{balanced}
-A KUBE-FW-{balanced} -m comment --comment "other traffic to shop/balanced:web will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m comment --comment shop/balanced:web -m tcp --dport 30080 -j KUBE-EXT-{balanced}
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-{first} -s {one} -m comment --comment "shop/web:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-{first} -p tcp -m comment --comment "shop/web:http" -m tcp -j DNAT --to-destination {one_port}
-A KUBE-SEP-{second} -s {two} -m comment --comment "shop/web:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-{second} -p tcp -m comment --comment "shop/web:http" -m tcp -j DNAT --to-destination {two_port}
-A KUBE-SERVICES -d {cluster_ip} -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-{service}
-A KUBE-SERVICES -d {balanced_ip} -p tcp -m comment --comment "shop/balanced:web cluster IP" -m tcp --dport 80 -j KUBE-SVC-{balanced}
-A KUBE-SERVICES -d {vip} -p tcp -m comment --comment "shop/balanced:web loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-{balanced}
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-{balanced} ! -s {pods} -d {balanced_ip} -p tcp -m comment --comment "shop/balanced:web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-{balanced} -m comment --comment "shop/balanced:web -> {one_port}" -j KUBE-SEP-{first}
-A KUBE-SVC-{service} ! -s {pods} -d {cluster_ip} -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-{service} -m comment --comment "shop/web:http -> {one_port}" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-{first}
-A KUBE-SVC-{service} -m comment --comment "shop/web:http -> {two_port}" -j KUBE-SEP-{second}
-A KUBE-SVL-{balanced} -m comment --comment "shop/balanced:web -> {one_port}" -j KUBE-SEP-{first}
COMMIT
"""

_MANGLE = """\
*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
"""
