"""The values of single flags: text in, checked value out.

Every function here raises `ValueError` whose text quotes what was given and says what would be
right, with one argument for each mistake; `nodeproxy.config.parse` puts the flag's name in front.
"""

from __future__ import annotations

import math
import re

from nodeproxy.config.durations import parse_duration
from nodeproxy.config.schema import ListenAddress, LocalMode, ProxyMode
from nodeproxy.model.addresses import Addr, format_addr, parse_addr

PREVIOUS_VERSION = "1.35"
"""Of kube-proxy, before the one whose place is taken here."""
PEER_MODES = ("iptables", "ipvs", "nftables")
"""What kube-proxy has; those that are to be had here are in `ProxyMode`."""
LOG_FORMATS = ("text", "json")

_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")
_INTEGER = re.compile(r"-?[0-9]{1,10}")
# What the kernel takes, without what has a meaning of its own in nft's language.
_INTERFACE = re.compile(r"""(?!\.\.?\Z)(?:(?![/:"'*\\])[!-~]){1,15}""")


def parse_bool(text: str) -> bool:
    """`true`, `false`, and the short forms Go's flags accept; any case."""
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f'"{text}" is not a boolean; write true or false')


def parse_integer(text: str, lowest: int, highest: int) -> int:
    """A decimal number within bounds, both included."""
    if _INTEGER.fullmatch(text) and lowest <= int(text) <= highest:
        return int(text)
    raise ValueError(f'"{text}" is not a number from {lowest} to {highest}')


def parse_count(text: str) -> int:
    """A number of things, 0 included; at most what an int32 holds."""
    return parse_integer(text, 0, 2**31 - 1)


def parse_count_or_none(text: str) -> int | None:
    """A number of things; None for 0."""
    return parse_count(text) or None


def parse_rate(text: str) -> float:
    """Requests in a second."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not math.isfinite(rate):
        raise ValueError(f'"{text}" is not a number; write it as 5 or 2.5')
    return rate


def parse_positive_duration(text: str) -> float:
    """Seconds, more than none."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f'"{text}" is no time at all; give more than 0s')
    return seconds


def parse_pause(text: str) -> float:
    """Seconds, none included."""
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError(f'"{text}" is negative; give 0s or more')
    return seconds


def parse_whole_seconds(text: str) -> int:
    """Seconds as a sysctl takes them, rounded up."""
    return math.ceil(parse_pause(text))


def parse_whole_seconds_or_none(text: str) -> int | None:
    """Seconds as a sysctl takes them, rounded up; None for 0."""
    return parse_whole_seconds(text) or None


def parse_hidden_metrics_version(text: str) -> str:
    """The minor version before this one, or blank."""
    if text not in ("", PREVIOUS_VERSION):
        raise ValueError(
            f'"{text}" is not the previous minor version; write {PREVIOUS_VERSION} or leave it out'
        )
    return text


def parse_log_format(text: str) -> str:
    """`text` or `json`, blank for the default."""
    if text not in ("", *LOG_FORMATS):
        raise ValueError(f'"{text}" is not a format of logs; use {" or ".join(LOG_FORMATS)}')
    return text or LOG_FORMATS[0]


def parse_node_name(text: str) -> str:
    """Trimmed and in lower case, as the API server knows the node (CFG-43)."""
    name = text.strip().lower()
    if not name:
        raise ValueError("the name is blank; give the name the node has in the cluster")
    return name


def parse_proxy_mode(text: str) -> ProxyMode:
    """The mode, blank for the default."""
    if not text:
        return ProxyMode.NFTABLES
    try:
        return ProxyMode(text)
    except ValueError:
        what = "not available in this version" if text in PEER_MODES else "not a proxy mode"
        raise ValueError(f'"{text}" is {what}; use {" or ".join(ProxyMode)}') from None


def parse_master(text: str) -> str:
    """URL of an API server, blank for none."""
    scheme, separator, rest = text.partition("://")
    if not text or (separator and scheme in ("http", "https") and rest.strip("/")):
        return text
    if not separator:
        raise ValueError(f'"{text}" is not a URL; write it as https://{text}')
    raise ValueError(f'"{text}" is not a URL of an API server; it looks like https://10.0.0.1:6443')


def parse_bind_address(text: str) -> Addr | None:
    """An IP address; None for the unspecified one and for blank (NODE-3)."""
    if not text:
        return None
    try:
        addr = parse_addr(text)
    except ValueError as exc:
        raise ValueError(f"{exc}; nothing listens there, so it takes no port") from None
    return addr if any(addr) else None


def parse_listen_address(text: str, default_port: int) -> ListenAddress | None:
    """`IP`, `IP:port` or `[IPv6]:port`; None for blank, which means no server (CFG-7, CFG-8)."""
    if not text:
        return None
    try:
        return ListenAddress(format_addr(parse_addr(text)), default_port)
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon:
        raise ValueError(
            f'"{text}" is not IP:port; write it as 10.0.0.1:{default_port} '
            f"or [fd00::1]:{default_port}"
        )
    return ListenAddress(format_addr(parse_addr(host)), parse_integer(port, 1, 65535))


def parse_host_and_port(text: str, default_port: int) -> ListenAddress | None:
    """`IP:port` or `[IPv6]:port` with nothing left out, as kube-proxy wants it in a file."""
    try:
        bare = ListenAddress(format_addr(parse_addr(text)), default_port)
    except ValueError:
        return parse_listen_address(text, default_port)
    raise ValueError(f'"{text}" has no port; write it as {bare}')


def parse_detect_local_mode(text: str) -> LocalMode:
    """The mode, blank for the default."""
    if not text:
        return LocalMode.CLUSTER_CIDR
    try:
        return LocalMode(text)
    except ValueError:
        meant = next((mode for mode in LocalMode if mode.lower() == text.lower()), None)
        known = f"write {meant}" if meant else f"use {', '.join(LocalMode)}"
        raise ValueError(f'"{text}" is not a mode; {known}') from None


def parse_interface(text: str) -> str:
    """The name of a network interface as the kernel allows it; blank for none."""
    if text and not _INTERFACE.fullmatch(text):
        raise ValueError(
            f'"{text}" is not the name of an interface: at most 15 letters, digits and signs, '
            "without wildcard; `ip link` lists them"
        )
    return text


def parse_interface_prefix(text: str) -> str:
    """How names of network interfaces begin; blank for none."""
    bare = text.rstrip("*+")
    if bare != text and _INTERFACE.fullmatch(bare):
        raise ValueError(f'"{text}" has a wildcard; write only the beginning of the names, {bare}')
    return parse_interface(text)
