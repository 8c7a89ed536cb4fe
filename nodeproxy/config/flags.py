"""The flags of `nodeproxy run` and `nodeproxy render`, as data.

Names, defaults and meaning follow kube-proxy (spec 60 section 1), so that the arguments of an
existing DaemonSet can be kept. The command line builds its options from this table, the parser
reads the same names, and a test holds the README against it.
"""

from __future__ import annotations

import enum

import msgspec


class FlagKind(enum.Enum):
    """What a flag, or the field of the same meaning, takes."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DURATION = "duration"
    LIST = "list"
    """Comma separated, and may be given several times."""
    GATES = "gates"
    """Pairs of name and boolean, else like LIST."""
    SWITCH = "switch"
    """A boolean whose value may be left out: `--masquerade-all` is `--masquerade-all=true`."""


class Flag(msgspec.Struct, frozen=True):
    """One flag, without its leading dashes."""

    name: str
    value_name: str
    """What stands for the value in the help text."""
    help: str
    kind: FlagKind = FlagKind.TEXT
    short: str = ""
    """One-letter form."""
    is_hidden: bool = False
    """True if the help text leaves it out."""

    @property
    def spelling(self) -> str:
        """The flag as it is typed, for messages."""
        return f"--{self.name}"


CONFIG = Flag(
    "config",
    "FILE",
    "Take the settings from this KubeProxyConfiguration. Flags that have a field in it do not "
    "count then, except --hostname-override and those about logs.",
)
WRITE_CONFIG_TO = Flag(
    "write-config-to", "FILE", "Write the settings as a configuration file and end."
)
CLEANUP = Flag("cleanup", "BOOL", "Do what `nodeproxy cleanup` does and end.", FlagKind.SWITCH)
INIT_ONLY = Flag(
    "init-only",
    "BOOL",
    "Do only what needs privileges beyond CAP_NET_ADMIN, the sysctls, and end.",
    FlagKind.SWITCH,
)
VERSION = Flag(
    "version",
    "BOOL|raw",
    "Tell the version and end; raw tells it in parts.",
    FlagKind.SWITCH,
)
KUBECONFIG = Flag(
    "kubeconfig",
    "FILE",
    "Credentials and address of the API server. Without it, and without --master and "
    "--manifests, the service account of the pod is used.",
)
MASTER = Flag("master", "URL", "Address of the API server; replaces the one in the kubeconfig.")
MANIFESTS = Flag(
    "manifests",
    "DIR",
    "Take Services, EndpointSlices, Endpoints, Node and ServiceCIDRs from the YAML and JSON files "
    "of this directory and follow their changes; no API server is asked.",
)
HOSTNAME_OVERRIDE = Flag(
    "hostname-override", "NAME", "Name of this node in the cluster. Default: the host name."
)
PROXY_MODE = Flag(
    "proxy-mode", "MODE", "How rules are programmed: nftables, which is also the default."
)
DETECT_LOCAL_MODE = Flag(
    "detect-local-mode",
    "MODE",
    "How connections from pods are told from others, which are masqueraded on their way to a "
    "ClusterIP: ClusterCIDR (default, see --cluster-cidr), NodeCIDR (the podCIDRs of the Node "
    "object), BridgeInterface or InterfaceNamePrefix.",
)
CLUSTER_CIDR = Flag(
    "cluster-cidr",
    "CIDR[,CIDR]",
    "Networks of the pods, at most one per IP family. Traffic to a ClusterIP from elsewhere is "
    "masqueraded. For --detect-local-mode=ClusterCIDR.",
)
POD_BRIDGE_INTERFACE = Flag(
    "pod-bridge-interface",
    "NAME",
    "The bridge that connections from pods come in by. For --detect-local-mode=BridgeInterface.",
)
POD_INTERFACE_NAME_PREFIX = Flag(
    "pod-interface-name-prefix",
    "PREFIX",
    "How the names of the interfaces begin that connections from pods come in by. For "
    "--detect-local-mode=InterfaceNamePrefix.",
)
FEATURE_GATES = Flag(
    "feature-gates",
    "NAME=BOOL[,...]",
    "EndpointSliceProxying=true|false chooses the source of endpoints: EndpointSlices (default) "
    "or Endpoints. AllowServiceExternalIPs=false ignores spec.externalIPs of Services.",
    FlagKind.GATES,
)
NODEPORT_ADDRESSES = Flag(
    "nodeport-addresses",
    "primary|CIDR[,CIDR...]",
    "Which addresses of the node accept NodePorts: its primary addresses (default), or those "
    "inside the networks. 0.0.0.0/0,::/0 means all.",
    FlagKind.LIST,
)
BIND_ADDRESS = Flag(
    "bind-address",
    "IP",
    "Primary address of the node, if it is not the first one of its Node object. Nothing listens "
    "there. Default: 0.0.0.0, which leaves the choice to the Node object.",
)
HEALTHZ_BIND_ADDRESS = Flag(
    "healthz-bind-address",
    "IP[:PORT]",
    "Where /healthz, /livez and /readyz are served. Default: 0.0.0.0:10256. Empty: nowhere.",
)
HEALTHZ_PORT = Flag(
    "healthz-port",
    "PORT",
    "Deprecated, see --healthz-bind-address: the port if that has none. 0: no health server.",
)
METRICS_PORT = Flag(
    "metrics-port",
    "PORT",
    "Deprecated, see --metrics-bind-address: the port if that has none. 0: no metrics server.",
)
METRICS_BIND_ADDRESS = Flag(
    "metrics-bind-address",
    "IP[:PORT]",
    "Where /metrics and /proxyMode are served. Default: 127.0.0.1:10249. Empty: nowhere.",
)
MASQUERADE_ALL = Flag(
    "masquerade-all",
    "BOOL",
    "Masquerade all traffic to ClusterIPs.",
    FlagKind.SWITCH,
)
MASQUERADE_BIT = Flag(
    "iptables-masquerade-bit",
    "BIT",
    "Bit of the packet mark, 0 to 31, that asks for masquerading; used in every mode. Default: 14.",
)
SYNC_PERIOD = Flag(
    "iptables-sync-period",
    "DURATION",
    "Longest delay before a sync that failed is tried again, and half the time after which a sync "
    "that is due makes the node unhealthy; used in every mode. Default: 30s.",
)
MIN_SYNC_PERIOD = Flag(
    "iptables-min-sync-period",
    "DURATION",
    "Pause after a sync before the next one; used in every mode. Default: 0s.",
)
CONFIG_SYNC_PERIOD = Flag(
    "config-sync-period", "DURATION", "No effect: watches are not refreshed without need."
)
API_CONTENT_TYPE = Flag("kube-api-content-type", "TYPE", "No effect: JSON is spoken.")
API_QPS = Flag("kube-api-qps", "NUMBER", "No effect: requests are few.")
API_BURST = Flag("kube-api-burst", "NUMBER", "No effect: requests are few.")
OOM_SCORE_ADJ = Flag(
    "oom-score-adj",
    "NUMBER",
    "How readily the kernel ends the agent when memory runs out, -1000 to 1000. Default: -999.",
)
CONNTRACK_MAX_PER_CORE = Flag(
    "conntrack-max-per-core",
    "NUMBER",
    "Connections the kernel can track for each CPU; 0 leaves the size of its table alone. "
    "Default: 32768.",
)
CONNTRACK_MIN = Flag(
    "conntrack-min",
    "NUMBER",
    "Connections the kernel can track at least, however few CPUs there are. Default: 131072.",
)
CONNTRACK_TCP_ESTABLISHED = Flag(
    "conntrack-tcp-timeout-established",
    "DURATION",
    "How long an idle TCP connection is remembered; 0 leaves it alone. Default: 24h.",
)
CONNTRACK_TCP_CLOSE_WAIT = Flag(
    "conntrack-tcp-timeout-close-wait",
    "DURATION",
    "How long a half-closed TCP connection is remembered; 0 leaves it alone. Default: 1h.",
)
CONNTRACK_TCP_BE_LIBERAL = Flag(
    "conntrack-tcp-be-liberal",
    "BOOL",
    "Let the kernel accept TCP packets outside of the window as part of their connection.",
    FlagKind.SWITCH,
)
CONNTRACK_UDP = Flag(
    "conntrack-udp-timeout",
    "DURATION",
    "How long a UDP flow without answer is remembered; 0 leaves it alone. Default: 0s.",
)
CONNTRACK_UDP_STREAM = Flag(
    "conntrack-udp-timeout-stream",
    "DURATION",
    "How long a UDP flow with answers is remembered; 0 leaves it alone. Default: 0s.",
)
CONNTRACK_CLEAN_TCP = Flag(
    "conntrack-clean-tcp",
    "BOOL",
    "Forget TCP connections to endpoints that are gone, as UDP flows always are.",
    FlagKind.SWITCH,
)
BIND_ADDRESS_HARD_FAIL = Flag(
    "bind-address-hard-fail",
    "BOOL",
    "End if the health or metrics server cannot listen, instead of trying again.",
    FlagKind.SWITCH,
)
PROFILING = Flag("profiling", "BOOL", "Serve /debug/ on the metrics server.", FlagKind.SWITCH)
LOCALHOST_NODE_PORTS = Flag(
    "iptables-localhost-nodeports",
    "BOOL",
    "Accept NodePorts on loopback addresses; iptables mode only. Default: true.",
    FlagKind.SWITCH,
)
SHOW_HIDDEN_METRICS = Flag(
    "show-hidden-metrics-for-version", "MAJOR.MINOR", "No effect: no metric is hidden."
)
LOG_FORMAT = Flag(
    "logging-format", "text|json", "How log records look. Default: text, one line each."
)
VERBOSITY = Flag(
    "v",
    "LEVEL",
    "Log level: 0 to 3 tell what changes state, 4 adds detail, 5 adds tracebacks, 6 adds what "
    "libraries say. Default: 0.",
    short="v",
)

FLAGS = (
    CONFIG,
    KUBECONFIG,
    MASTER,
    MANIFESTS,
    HOSTNAME_OVERRIDE,
    PROXY_MODE,
    DETECT_LOCAL_MODE,
    CLUSTER_CIDR,
    POD_BRIDGE_INTERFACE,
    POD_INTERFACE_NAME_PREFIX,
    FEATURE_GATES,
    NODEPORT_ADDRESSES,
    BIND_ADDRESS,
    HEALTHZ_BIND_ADDRESS,
    METRICS_BIND_ADDRESS,
    HEALTHZ_PORT,
    METRICS_PORT,
    MASQUERADE_ALL,
    MASQUERADE_BIT,
    LOCALHOST_NODE_PORTS,
    SYNC_PERIOD,
    MIN_SYNC_PERIOD,
    CONFIG_SYNC_PERIOD,
    API_CONTENT_TYPE,
    API_QPS,
    API_BURST,
    OOM_SCORE_ADJ,
    CONNTRACK_MAX_PER_CORE,
    CONNTRACK_MIN,
    CONNTRACK_TCP_ESTABLISHED,
    CONNTRACK_TCP_CLOSE_WAIT,
    CONNTRACK_TCP_BE_LIBERAL,
    CONNTRACK_UDP,
    CONNTRACK_UDP_STREAM,
    CONNTRACK_CLEAN_TCP,
    BIND_ADDRESS_HARD_FAIL,
    PROFILING,
    SHOW_HIDDEN_METRICS,
    VERBOSITY,
    LOG_FORMAT,
)
"""Every flag that stands for a setting of the agent, in the order of the help text."""

ACTIONS = (WRITE_CONFIG_TO, CLEANUP, INIT_ONLY, VERSION)
"""Flags of kube-proxy that make it do something else than its work."""
