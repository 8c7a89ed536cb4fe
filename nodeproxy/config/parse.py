"""From flags to a `Config`, with every mistake reported at once (CFG-2, CFG-22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from nodeproxy.config import flags, values
from nodeproxy.config.flags import Flag
from nodeproxy.config.gates import FeatureGates, parse_feature_gates
from nodeproxy.config.schema import Config, ConntrackConfig, ListenAddress, LocalMode, ProxyMode
from nodeproxy.errors import ConfigError

HEALTHZ_PORT = 10256
METRICS_PORT = 10249

_T = TypeVar("_T")


class InvalidFlags(ConfigError):
    """What was asked for is not possible as written; all mistakes together."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__(*messages)
        self.messages = tuple(messages)

    def __str__(self) -> str:
        return "\n".join(self.messages)


class _Reader:
    """Reads flags by name and collects what is wrong with them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self.messages: list[str] = []
        self.unused: list[Flag] = []
        """Flags that were given and set aside."""

    def read(self, flag: Flag, parse: Callable[[str], _T], default: _T) -> _T:
        """The value of a flag; the default if it was not given or is wrong."""
        text = self._texts.get(flag.name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as exc:
            self.messages.extend(f"{flag.spelling}: {message}" for message in exc.args)
            return default

    def set_aside(self, flag: Flag) -> None:
        """A flag is of no use beside the others: as with kube-proxy it may say what it likes."""
        if self._texts.pop(flag.name, ""):
            self.unused.append(flag)

    def demand(self, flag: Flag, by: str) -> None:
        """A flag without which another makes no sense."""
        if not self._texts.get(flag.name):
            self.messages.append(f"{flag.spelling}: not set, but {by} needs it")

    def refuse_together(self, flag: Flag, other: Flag, reason: str) -> None:
        """Two flags that exclude each other."""
        if self._texts.get(flag.name) and self._texts.get(other.name):
            self.messages.append(
                f"{flag.spelling}: cannot be combined with {other.spelling}; {reason}"
            )


def parse_flags(texts: Mapping[str, str], host_name: str) -> Config:
    """Build the settings of the agent from the flags that were given.

    Args:
        texts: value by flag name without dashes; flags that were not given are absent.
        host_name: what the operating system calls this machine, for want of
            `--hostname-override` (CFG-43).

    Raises:
        InvalidFlags: with one message for each flag that is wrong.
    """
    reader = _Reader(texts)
    bind_address = reader.read(flags.BIND_ADDRESS, values.parse_bind_address, None)
    local_mode = _read_local_mode(reader)
    wants_ipv6 = ":" in texts.get(flags.BIND_ADDRESS.name, "")
    config = Config(
        node_name=_read_node_name(reader, texts, host_name),
        kubeconfig=reader.read(flags.KUBECONFIG, str, ""),
        master=reader.read(flags.MASTER, values.parse_master, ""),
        manifests=reader.read(flags.MANIFESTS, str, ""),
        proxy_mode=reader.read(flags.PROXY_MODE, values.parse_proxy_mode, ProxyMode.NFTABLES),
        detect_local_mode=local_mode,
        cluster_cidrs=reader.read(flags.CLUSTER_CIDR, values.parse_cluster_cidrs, ()),
        pod_bridge_interface=reader.read(flags.POD_BRIDGE_INTERFACE, values.parse_interface, ""),
        pod_interface_name_prefix=reader.read(
            flags.POD_INTERFACE_NAME_PREFIX, values.parse_interface_prefix, ""
        ),
        feature_gates=reader.read(flags.FEATURE_GATES, parse_feature_gates, FeatureGates()),
        node_port_addresses=reader.read(
            flags.NODEPORT_ADDRESSES, values.parse_node_port_addresses, None
        ),
        bind_address=bind_address,
        healthz_bind_address=_read_listen_address(
            reader, flags.HEALTHZ_BIND_ADDRESS, "::" if wants_ipv6 else "0.0.0.0", HEALTHZ_PORT
        ),
        metrics_bind_address=_read_listen_address(
            reader, flags.METRICS_BIND_ADDRESS, "::1" if wants_ipv6 else "127.0.0.1", METRICS_PORT
        ),
        masquerade_all=reader.read(flags.MASQUERADE_ALL, values.parse_bool, False),
        masquerade_bit=reader.read(
            flags.MASQUERADE_BIT, lambda text: values.parse_integer(text, 0, 31), 14
        ),
        verbosity=_read_verbosity(reader),
        sync_period_seconds=reader.read(flags.SYNC_PERIOD, values.parse_positive_duration, 30.0),
        min_sync_period_seconds=reader.read(flags.MIN_SYNC_PERIOD, values.parse_pause, 0.0),
        config_sync_period_seconds=reader.read(
            flags.CONFIG_SYNC_PERIOD, values.parse_positive_duration, 900.0
        ),
        api_content_type=reader.read(
            flags.API_CONTENT_TYPE, str, "application/vnd.kubernetes.protobuf"
        ),
        api_qps=reader.read(flags.API_QPS, values.parse_rate, 5.0),
        api_burst=reader.read(flags.API_BURST, values.parse_count, 10),
        oom_score_adj=reader.read(flags.OOM_SCORE_ADJ, values.parse_oom_score_adj, -999),
        conntrack=_read_conntrack(reader),
        bind_address_hard_fail=reader.read(flags.BIND_ADDRESS_HARD_FAIL, values.parse_bool, False),
        profiling=reader.read(flags.PROFILING, values.parse_bool, False),
        localhost_node_ports=reader.read(flags.LOCALHOST_NODE_PORTS, values.parse_bool, True),
        show_hidden_metrics=reader.read(flags.SHOW_HIDDEN_METRICS, str, ""),
        unused_flags=tuple(flag.name for flag in reader.unused),
    )
    for other in (flags.KUBECONFIG, flags.MASTER):
        reader.refuse_together(flags.MANIFESTS, other, "manifests take the API server's place")
    if reader.messages:
        raise InvalidFlags(reader.messages)
    return config


def parse_verbosity(texts: Mapping[str, str]) -> int:
    """The log level alone, for commands that have no other settings.

    Raises:
        InvalidFlags: it is not a number.
    """
    reader = _Reader(texts)
    verbosity = _read_verbosity(reader)
    if reader.messages:
        raise InvalidFlags(reader.messages)
    return verbosity


def _read_conntrack(reader: _Reader) -> ConntrackConfig:
    return ConntrackConfig(
        max_per_core=reader.read(flags.CONNTRACK_MAX_PER_CORE, values.parse_count, 32768) or None,
        min=reader.read(flags.CONNTRACK_MIN, values.parse_count, 131072),
        tcp_established_seconds=reader.read(
            flags.CONNTRACK_TCP_ESTABLISHED, values.parse_whole_seconds, 86400
        )
        or None,
        tcp_close_wait_seconds=reader.read(
            flags.CONNTRACK_TCP_CLOSE_WAIT, values.parse_whole_seconds, 3600
        )
        or None,
        tcp_be_liberal=reader.read(flags.CONNTRACK_TCP_BE_LIBERAL, values.parse_bool, False),
        udp_seconds=reader.read(flags.CONNTRACK_UDP, values.parse_whole_seconds, 0),
        udp_stream_seconds=reader.read(flags.CONNTRACK_UDP_STREAM, values.parse_whole_seconds, 0),
        cleans_tcp=reader.read(flags.CONNTRACK_CLEAN_TCP, values.parse_bool, False),
    )


_FLAGS_OF_MODES = {
    LocalMode.CLUSTER_CIDR: flags.CLUSTER_CIDR,
    LocalMode.BRIDGE_INTERFACE: flags.POD_BRIDGE_INTERFACE,
    LocalMode.INTERFACE_NAME_PREFIX: flags.POD_INTERFACE_NAME_PREFIX,
}
"""What tells pods apart in a mode; of no use in the others."""


def _read_local_mode(reader: _Reader) -> LocalMode:
    """The mode, with what is given for other modes set aside and what it needs demanded."""
    mode = reader.read(
        flags.DETECT_LOCAL_MODE, values.parse_detect_local_mode, LocalMode.CLUSTER_CIDR
    )
    for other, flag in _FLAGS_OF_MODES.items():
        if other is not mode:
            reader.set_aside(flag)
    if mode in (LocalMode.BRIDGE_INTERFACE, LocalMode.INTERFACE_NAME_PREFIX):
        reader.demand(_FLAGS_OF_MODES[mode], f"{flags.DETECT_LOCAL_MODE.spelling}={mode}")
    return mode


def _read_verbosity(reader: _Reader) -> int:
    # Go programs take any level and mean "everything" by large ones.
    return reader.read(flags.VERBOSITY, lambda text: values.parse_integer(text, 0, 10_000), 0)


def _read_node_name(reader: _Reader, texts: Mapping[str, str], host_name: str) -> str:
    """`--hostname-override`, where an empty value is as good as none, or the host's name."""
    if texts.get(flags.HOSTNAME_OVERRIDE.name):
        return reader.read(flags.HOSTNAME_OVERRIDE, values.parse_node_name, "")
    name = host_name.strip().lower()
    if not name:
        reader.messages.append(
            "this machine has no host name; give the node's name with --hostname-override"
        )
    return name


def _read_listen_address(
    reader: _Reader, flag: Flag, default_host: str, default_port: int
) -> ListenAddress | None:
    default: ListenAddress | None = ListenAddress(default_host, default_port)
    return reader.read(flag, lambda text: values.parse_listen_address(text, default_port), default)
