"""The settings of one agent, validated: whoever holds a `Config` need not check it again."""

from __future__ import annotations

import enum

import msgspec

from nodeproxy.config.gates import FeatureGates
from nodeproxy.model.addresses import Addr, Cidr


class ProxyMode(enum.StrEnum):
    """How rules are programmed."""

    NFTABLES = "nftables"


class LocalMode(enum.StrEnum):
    """How to tell a packet from a pod of this node (spec 30 section 4)."""

    CLUSTER_CIDR = "ClusterCIDR"
    NODE_CIDR = "NodeCIDR"
    BRIDGE_INTERFACE = "BridgeInterface"
    INTERFACE_NAME_PREFIX = "InterfaceNamePrefix"


class ListenAddress(msgspec.Struct, frozen=True):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator can choose. Flags carry the names kube-proxy gives them."""

    node_name: str
    kubeconfig: str = ""
    """Path; empty with an empty master and no manifests means in-cluster (CFG-40)."""
    master: str = ""
    """URL that replaces the server of the kubeconfig."""
    manifests: str = ""
    """Directory of manifests; when set, no API server is asked."""
    proxy_mode: ProxyMode = ProxyMode.NFTABLES
    detect_local_mode: LocalMode = LocalMode.CLUSTER_CIDR
    cluster_cidrs: tuple[Cidr, ...] = ()
    """At most one per family; empty in other modes than ClusterCIDR."""
    pod_bridge_interface: str = ""
    """Not empty in mode BridgeInterface only."""
    pod_interface_name_prefix: str = ""
    """Not empty in mode InterfaceNamePrefix only."""
    feature_gates: FeatureGates = FeatureGates()
    node_port_addresses: tuple[Cidr, ...] | None = None
    """None means `primary`, the default of the nftables mode (DP-53); () means every address."""
    bind_address: Addr | None = None
    """A specific address overrides the idea of the node's primary IP (NODE-3)."""
    healthz_bind_address: ListenAddress | None = None
    metrics_bind_address: ListenAddress | None = None
    masquerade_all: bool = False
    masquerade_bit: int = 14
    """0..31."""
    verbosity: int = 0
    unused_flags: tuple[str, ...] = ()
    """Flags that were given and are of no use beside the others."""
