"""The destinations that lead to a service port."""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.model.addresses import Addr
from nodeproxy.model.services import ServicePort
from nodeproxy.plan.types import Frontend, FrontendKind


def frontends_of(port: ServicePort, *, allows_external_ips: bool = True) -> tuple[Frontend, ...]:
    """ClusterIP, externalIPs, load balancer IPs, NodePort, in this order and each once (SVC-61).

    Without `allows_external_ips` there are no externalIPs (SVC-11). An address that is both
    external IP and load balancer IP is the latter: source ranges are looked up by destination
    and hold for it then (DP-40, SVC-19).
    """
    protocol = port.key.protocol
    frontends = [Frontend(FrontendKind.CLUSTER_IP, port.cluster_ip, protocol, port.port)]
    external_ips = port.external_ips if allows_external_ips else ()
    if external_ips or port.load_balancer_ips:
        frontends += [
            Frontend(kind, addr, protocol, port.port)
            for addr, kind in _external_kinds(external_ips, port.load_balancer_ips).items()
            if addr != port.cluster_ip
        ]
    if port.node_port:
        frontends.append(Frontend(FrontendKind.NODE_PORT, Addr(b""), protocol, port.node_port))
    return tuple(frontends)


def _external_kinds(
    external_ips: Iterable[Addr], load_balancer_ips: Iterable[Addr]
) -> dict[Addr, FrontendKind]:
    vips = dict.fromkeys(load_balancer_ips, FrontendKind.LOAD_BALANCER_IP)
    external = {addr: FrontendKind.EXTERNAL_IP for addr in external_ips if addr not in vips}
    return external | vips
