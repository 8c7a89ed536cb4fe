"""The settings of one agent, validated: whoever holds a `Config` need not check it again."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

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


class OriginKind(enum.StrEnum):
    """What kind of place a value came from."""

    DEFAULT = "default"
    FLAG = "flag"
    FILE = "file"


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from."""

    kind: OriginKind = OriginKind.DEFAULT
    flag: str = ""
    """The flag as it is typed, `--v`; of kind FLAG."""
    path: str = ""
    """Of kind FILE."""
    line: int = 0
    """From 1; of kind FILE."""

    def __str__(self) -> str:
        match self.kind:
            case OriginKind.FLAG:
                return f"flag {self.flag}"
            case OriginKind.FILE:
                return f"{self.path}:{self.line}"
            case OriginKind.DEFAULT:
                return "default"


class ConntrackConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the kernel shall track connections; seconds are whole, as the sysctls take them."""

    max_per_core: int | None = 32768
    """Entries of the table for each CPU; None leaves the size alone, whatever `min` says."""
    min: int | None = 131072
    """Entries of the table at least; None for no lower limit."""
    tcp_established_seconds: int | None = 86400
    """None leaves the sysctl alone."""
    tcp_close_wait_seconds: int | None = 3600
    """None leaves the sysctl alone."""
    tcp_be_liberal: bool = False
    udp_seconds: int = 0
    """0 leaves the sysctl alone."""
    udp_stream_seconds: int = 0
    """0 leaves the sysctl alone."""
    cleans_tcp: bool = False
    """True if TCP connections to endpoints that are gone are forgotten too; not in kube-proxy."""


class Remark(msgspec.Struct, frozen=True):
    """Something to tell about settings that are valid."""

    text: str
    """`--cluster-cidr: ...` or `/etc/nodeproxy.yaml:7: clusterCIDR: ...`."""
    is_warning: bool = False
    """True if something else was probably meant."""


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
    log_format: str = "text"
    """`text` or `json`."""
    sync_period_seconds: float = 30.0
    """Ceiling of the delay between retries, and half of the health timeout (LIFE-4, HZ-3)."""
    min_sync_period_seconds: float = 0.0
    """Pause between the end of a sync and the next one (LIFE-3); 0 unless chosen."""
    config_sync_period_seconds: float = 900.0
    """Without effect: nothing is listed again as long as its watch works."""
    api_content_type: str = "application/vnd.kubernetes.protobuf"
    api_qps: float = 5.0
    api_burst: int = 10
    oom_score_adj: int | None = -999
    """-1000..1000; None leaves it alone."""
    conntrack: ConntrackConfig = ConntrackConfig()
    bind_address_hard_fail: bool = False
    """True if the agent ends when a health or metrics server cannot listen (LIFE-7)."""
    profiling: bool = False
    localhost_node_ports: bool = True
    """Meant for the iptables mode (DP-57)."""
    show_hidden_metrics: str = ""
    """The minor version whose hidden metrics are wanted, or blank."""
    config_file: str = ""
    """Path of the file some values came from; blank without `--config`."""
    flags: Mapping[str, str] = {}
    """What the command line said, by flag name without dashes: what a reload starts from."""
    origins: Mapping[str, Origin] = {}
    """Where values came from, by the name of the setting (`nodeproxy.config.settings`); absent
    for defaults."""
    remarks: tuple[Remark, ...] = ()
    """What was noticed while reading: unknown fields, and what has no effect here."""
    unused: tuple[str, ...] = ()
    """Names of settings that were given and are of no use beside the others."""

    def label(self, name: str, flag: str) -> str:
        """What to call a setting in a message: the place where it was given.

        Args:
            name: of the setting.
            flag: its flag as it is typed, for a value that no file holds.
        """
        origin = self.origins.get(name)
        if origin and origin.kind is OriginKind.FILE:
            return f"{origin}: {name}"
        return f"{self.config_file}: {name}" if self.config_file and not origin else flag


def config_from(found: Mapping[str, Any]) -> Config:
    """The settings from their values by attribute, `conntrack.min`."""
    prefix = "conntrack."
    conntrack = {
        name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)
    }
    others = {name: value for name, value in found.items() if not name.startswith(prefix)}
    return Config(conntrack=ConntrackConfig(**conntrack), **others)
