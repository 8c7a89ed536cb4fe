"""Every setting that `Config` has, once, in the order they are told.

The table reads flags and files (`nodeproxy.config.parse`), tells values again
(`nodeproxy config print`, `--write-config-to`) and says what a running agent can take over
(`nodeproxy.config.reload`). Fields of kube-proxy that `Config` does not have are in
`nodeproxy.config.idle`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nodeproxy.config import flags, networks, values
from nodeproxy.config.durations import format_duration
from nodeproxy.config.flags import Flag, FlagKind
from nodeproxy.config.gates import FeatureGates, parse_feature_gates
from nodeproxy.config.schema import ListenAddress, LocalMode, ProxyMode
from nodeproxy.config.setting import Plain, Setting
from nodeproxy.model.addresses import Addr, Cidr, format_addr

HEALTHZ_PORT = 10256
METRICS_PORT = 10249

SPEAKS_JSON = "JSON is spoken with the API server"
_FEW_REQUESTS = "there are only a few long requests to the API server, nothing to slow down"
_NO_RESYNC = "a watch that works needs no periodic refresh"
_NO_HIDDEN_METRICS = "no metric is hidden"


def _tell_cidrs(cidrs: tuple[Cidr, ...]) -> str:
    return ",".join(map(str, cidrs))


def _tell_node_ports(cidrs: tuple[Cidr, ...] | None) -> list[str]:
    return ["primary"] if cidrs is None else [str(cidr) for cidr in cidrs]


def _tell_gates(gates: FeatureGates) -> dict[str, bool]:
    return dict(gates.explicit)


def _tell_address(address: Addr | None) -> str:
    return format_addr(address) if address else "0.0.0.0"


def _tell_listen_address(address: ListenAddress | None) -> str:
    return str(address) if address else ""


def _tell_optional(number: int | None) -> int:
    return number or 0


def _tell_seconds(seconds: float | None) -> str:
    return format_duration(seconds or 0)


def _plain(value: str | int | float | bool) -> Plain:
    return value


def _limited(lowest: int, highest: int) -> Callable[[str], int]:
    return functools.partial(values.parse_integer, lowest=lowest, highest=highest)


def _text(
    name: str,
    attribute: str,
    flag: Flag,
    parse: Callable[[str], str] = str,
    default: str = "",
    **more: Any,  # noqa: ANN401 (the fields of Setting)
) -> Setting[str]:
    return Setting(name, attribute, flag, FlagKind.TEXT, parse, default, _plain, **more)


def _switch(
    name: str,
    attribute: str,
    flag: Flag,
    default: bool = False,
    **more: Any,  # noqa: ANN401 (the fields of Setting)
) -> Setting[bool]:
    parse = values.parse_bool
    return Setting(name, attribute, flag, FlagKind.SWITCH, parse, default, _plain, **more)


NODE_NAME = _text(
    "hostnameOverride",
    "node_name",
    flags.HOSTNAME_OVERRIDE,
    parse=values.parse_node_name,
    flag_wins=True,
)
KUBECONFIG = _text("clientConnection.kubeconfig", "kubeconfig", flags.KUBECONFIG)
MASTER = _text(
    "master", "master", flags.MASTER, parse=values.parse_master, is_own=True, flag_wins=True
)
MANIFESTS = _text("manifests", "manifests", flags.MANIFESTS, is_own=True, flag_wins=True)
PROXY_MODE = Setting[ProxyMode](
    "mode",
    "proxy_mode",
    flags.PROXY_MODE,
    FlagKind.TEXT,
    values.parse_proxy_mode,
    ProxyMode.NFTABLES,
    str,
)
DETECT_LOCAL_MODE = Setting[LocalMode](
    "detectLocalMode",
    "detect_local_mode",
    flags.DETECT_LOCAL_MODE,
    FlagKind.TEXT,
    values.parse_detect_local_mode,
    LocalMode.CLUSTER_CIDR,
    str,
    is_live=True,
)
CLUSTER_CIDR = Setting[tuple[Cidr, ...]](
    "clusterCIDR",
    "cluster_cidrs",
    flags.CLUSTER_CIDR,
    FlagKind.TEXT,
    networks.parse_cluster_cidrs,
    (),
    _tell_cidrs,
    is_live=True,
)
POD_BRIDGE_INTERFACE = _text(
    "detectLocal.bridgeInterface",
    "pod_bridge_interface",
    flags.POD_BRIDGE_INTERFACE,
    parse=values.parse_interface,
    is_live=True,
)
POD_INTERFACE_NAME_PREFIX = _text(
    "detectLocal.interfaceNamePrefix",
    "pod_interface_name_prefix",
    flags.POD_INTERFACE_NAME_PREFIX,
    parse=values.parse_interface_prefix,
    is_live=True,
)
FEATURE_GATES = Setting[FeatureGates](
    "featureGates",
    "feature_gates",
    flags.FEATURE_GATES,
    FlagKind.GATES,
    parse_feature_gates,
    FeatureGates(),
    _tell_gates,
    is_live=True,
)
NODEPORT_ADDRESSES = Setting[tuple[Cidr, ...] | None](
    "nodePortAddresses",
    "node_port_addresses",
    flags.NODEPORT_ADDRESSES,
    FlagKind.LIST,
    networks.parse_node_port_addresses,
    None,
    _tell_node_ports,
    is_live=True,
)
BIND_ADDRESS = Setting[Addr | None](
    "bindAddress",
    "bind_address",
    flags.BIND_ADDRESS,
    FlagKind.TEXT,
    values.parse_bind_address,
    None,
    _tell_address,
    is_live=True,
)
HEALTHZ_BIND_ADDRESS = Setting[ListenAddress | None](
    "healthzBindAddress",
    "healthz_bind_address",
    flags.HEALTHZ_BIND_ADDRESS,
    FlagKind.TEXT,
    functools.partial(values.parse_listen_address, default_port=HEALTHZ_PORT),
    ListenAddress("0.0.0.0", HEALTHZ_PORT),
    _tell_listen_address,
    parse_in_file=functools.partial(values.parse_host_and_port, default_port=HEALTHZ_PORT),
)
METRICS_BIND_ADDRESS = Setting[ListenAddress | None](
    "metricsBindAddress",
    "metrics_bind_address",
    flags.METRICS_BIND_ADDRESS,
    FlagKind.TEXT,
    functools.partial(values.parse_listen_address, default_port=METRICS_PORT),
    ListenAddress("127.0.0.1", METRICS_PORT),
    _tell_listen_address,
    parse_in_file=functools.partial(values.parse_host_and_port, default_port=METRICS_PORT),
)
BIND_ADDRESS_HARD_FAIL = _switch(
    "bindAddressHardFail", "bind_address_hard_fail", flags.BIND_ADDRESS_HARD_FAIL
)
PROFILING = _switch("enableProfiling", "profiling", flags.PROFILING)
SHOW_HIDDEN_METRICS = _text(
    "showHiddenMetricsForVersion",
    "show_hidden_metrics",
    flags.SHOW_HIDDEN_METRICS,
    parse=values.parse_hidden_metrics_version,
    idle=_NO_HIDDEN_METRICS,
)
MASQUERADE_ALL = _switch("*.masqueradeAll", "masquerade_all", flags.MASQUERADE_ALL, is_live=True)
MASQUERADE_BIT = Setting[int](
    "*.masqueradeBit",
    "masquerade_bit",
    flags.MASQUERADE_BIT,
    FlagKind.INTEGER,
    _limited(0, 31),
    14,
    _plain,
    keeps_zero=True,
    is_live=True,
)
LOCALHOST_NODE_PORTS = _switch(
    "iptables.localhostNodePorts",
    "localhost_node_ports",
    flags.LOCALHOST_NODE_PORTS,
    default=True,
    keeps_zero=True,
)
SYNC_PERIOD = Setting[float](
    "*.syncPeriod",
    "sync_period_seconds",
    flags.SYNC_PERIOD,
    FlagKind.DURATION,
    values.parse_positive_duration,
    30.0,
    _tell_seconds,
    is_live=True,
)
MIN_SYNC_PERIOD = Setting[float](
    "*.minSyncPeriod",
    "min_sync_period_seconds",
    flags.MIN_SYNC_PERIOD,
    FlagKind.DURATION,
    values.parse_pause,
    0.0,
    _tell_seconds,
    is_live=True,
)
CONFIG_SYNC_PERIOD = Setting[float](
    "configSyncPeriod",
    "config_sync_period_seconds",
    flags.CONFIG_SYNC_PERIOD,
    FlagKind.DURATION,
    values.parse_positive_duration,
    900.0,
    _tell_seconds,
    idle=_NO_RESYNC,
)
API_CONTENT_TYPE = Setting[str](
    "clientConnection.contentType",
    "api_content_type",
    flags.API_CONTENT_TYPE,
    FlagKind.TEXT,
    str,
    "application/vnd.kubernetes.protobuf",
    _plain,
    idle=SPEAKS_JSON,
)
API_QPS = Setting[float](
    "clientConnection.qps",
    "api_qps",
    flags.API_QPS,
    FlagKind.NUMBER,
    values.parse_rate,
    5.0,
    _plain,
    idle=_FEW_REQUESTS,
)
API_BURST = Setting[int](
    "clientConnection.burst",
    "api_burst",
    flags.API_BURST,
    FlagKind.INTEGER,
    values.parse_count,
    10,
    _plain,
    idle=_FEW_REQUESTS,
)
OOM_SCORE_ADJ = Setting[int | None](
    "oomScoreAdj",
    "oom_score_adj",
    flags.OOM_SCORE_ADJ,
    FlagKind.INTEGER,
    _limited(-1000, 1000),
    -999,
    _tell_optional,
    keeps_zero=True,
)
CONNTRACK_MAX_PER_CORE = Setting[int | None](
    "conntrack.maxPerCore",
    "conntrack.max_per_core",
    flags.CONNTRACK_MAX_PER_CORE,
    FlagKind.INTEGER,
    values.parse_count_or_none,
    32768,
    _tell_optional,
    keeps_zero=True,
    is_live=True,
)
CONNTRACK_MIN = Setting[int | None](
    "conntrack.min",
    "conntrack.min",
    flags.CONNTRACK_MIN,
    FlagKind.INTEGER,
    values.parse_count,
    131072,
    _tell_optional,
    keeps_zero=True,
    is_live=True,
)
CONNTRACK_TCP_ESTABLISHED = Setting[int | None](
    "conntrack.tcpEstablishedTimeout",
    "conntrack.tcp_established_seconds",
    flags.CONNTRACK_TCP_ESTABLISHED,
    FlagKind.DURATION,
    values.parse_whole_seconds_or_none,
    86400,
    _tell_seconds,
    keeps_zero=True,
    is_live=True,
)
CONNTRACK_TCP_CLOSE_WAIT = Setting[int | None](
    "conntrack.tcpCloseWaitTimeout",
    "conntrack.tcp_close_wait_seconds",
    flags.CONNTRACK_TCP_CLOSE_WAIT,
    FlagKind.DURATION,
    values.parse_whole_seconds_or_none,
    3600,
    _tell_seconds,
    keeps_zero=True,
    is_live=True,
)
CONNTRACK_TCP_BE_LIBERAL = _switch(
    "conntrack.tcpBeLiberal",
    "conntrack.tcp_be_liberal",
    flags.CONNTRACK_TCP_BE_LIBERAL,
    is_live=True,
)
CONNTRACK_UDP = Setting[int](
    "conntrack.udpTimeout",
    "conntrack.udp_seconds",
    flags.CONNTRACK_UDP,
    FlagKind.DURATION,
    values.parse_whole_seconds,
    0,
    _tell_seconds,
    is_live=True,
)
CONNTRACK_UDP_STREAM = Setting[int](
    "conntrack.udpStreamTimeout",
    "conntrack.udp_stream_seconds",
    flags.CONNTRACK_UDP_STREAM,
    FlagKind.DURATION,
    values.parse_whole_seconds,
    0,
    _tell_seconds,
    is_live=True,
)
CONNTRACK_CLEAN_TCP = _switch(
    "cleanTCPFlows", "conntrack.cleans_tcp", flags.CONNTRACK_CLEAN_TCP, is_own=True, flag_wins=True
)
VERBOSITY = Setting[int](
    "logging.verbosity",
    "verbosity",
    flags.VERBOSITY,
    FlagKind.INTEGER,
    _limited(0, 10_000),
    0,
    _plain,
    flag_wins=True,
    is_live=True,
)
LOG_FORMAT = Setting[str](
    "logging.format",
    "log_format",
    flags.LOG_FORMAT,
    FlagKind.TEXT,
    values.parse_log_format,
    "text",
    _plain,
    flag_wins=True,
)

SETTINGS: tuple[Setting[Any], ...] = (
    KUBECONFIG,
    MASTER,
    MANIFESTS,
    API_CONTENT_TYPE,
    API_QPS,
    API_BURST,
    NODE_NAME,
    PROXY_MODE,
    DETECT_LOCAL_MODE,
    CLUSTER_CIDR,
    POD_BRIDGE_INTERFACE,
    POD_INTERFACE_NAME_PREFIX,
    NODEPORT_ADDRESSES,
    FEATURE_GATES,
    MASQUERADE_ALL,
    MASQUERADE_BIT,
    LOCALHOST_NODE_PORTS,
    SYNC_PERIOD,
    MIN_SYNC_PERIOD,
    CONFIG_SYNC_PERIOD,
    BIND_ADDRESS,
    HEALTHZ_BIND_ADDRESS,
    METRICS_BIND_ADDRESS,
    BIND_ADDRESS_HARD_FAIL,
    PROFILING,
    SHOW_HIDDEN_METRICS,
    OOM_SCORE_ADJ,
    CONNTRACK_MAX_PER_CORE,
    CONNTRACK_MIN,
    CONNTRACK_TCP_ESTABLISHED,
    CONNTRACK_TCP_CLOSE_WAIT,
    CONNTRACK_TCP_BE_LIBERAL,
    CONNTRACK_UDP,
    CONNTRACK_UDP_STREAM,
    CONNTRACK_CLEAN_TCP,
    VERBOSITY,
    LOG_FORMAT,
)
"""Every setting, in the order they are told."""
