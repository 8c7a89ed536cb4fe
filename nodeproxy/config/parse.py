"""From what was given to a `Config`, with every mistake reported at once (CFG-2, CFG-22)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nodeproxy.config import flags, values
from nodeproxy.config import settings as s
from nodeproxy.config.durations import format_duration
from nodeproxy.config.fields import HEALTH_SERVER, METRICS_SERVER, SECTIONS
from nodeproxy.config.flags import Flag
from nodeproxy.config.given import Given
from nodeproxy.config.idle import IDLE_SETTINGS
from nodeproxy.config.leftovers import note_what_is_idle
from nodeproxy.config.reader import InvalidSettings, Reader
from nodeproxy.config.schema import (
    Config,
    ListenAddress,
    LocalMode,
    Origin,
    OriginKind,
    ProxyMode,
    Remark,
    config_from,
)
from nodeproxy.config.setting import MODE_SECTION, Setting


def givens_from_flags(texts: Mapping[str, str]) -> list[Given]:
    """What flags give, under the names of their settings.

    Args:
        texts: value by flag name without dashes; flags that were not given are absent.
    """
    return [
        Given(_NAMES_BY_FLAG.get(name, name), text, Origin(OriginKind.FLAG, flag=f"--{name}"))
        for name, text in texts.items()
    ]


_NAMES_BY_FLAG = {setting.flag.name: setting.name for setting in s.SETTINGS if setting.flag} | {
    idle.flag.name: idle.name for idle in IDLE_SETTINGS if idle.flag
}


def parse_flags(texts: Mapping[str, str], host_name: str) -> Config:
    """Build the settings of the agent from flags alone; see `parse_givens`.

    Raises:
        InvalidSettings: with one message for each flag that is wrong.
    """
    config = parse_givens(givens_from_flags(texts), host_name)
    return msgspec.structs.replace(config, flags=dict(texts))


def parse_givens(givens: Iterable[Given], host_name: str, config_file: str = "") -> Config:
    """Build the settings of the agent.

    Args:
        givens: what counts of flags and file.
        host_name: what the operating system calls this machine, for want of
            `--hostname-override` (CFG-43).
        config_file: path of the file, if there is one.

    Raises:
        InvalidSettings: with every mistake.
    """
    reader = Reader(givens, config_file)
    # The mode first: it decides which sections count.
    found: dict[str, Any] = {s.PROXY_MODE.attribute: _read_proxy_mode(reader)}
    found |= _read_local_detection(reader)
    found |= {
        s.NODE_NAME.attribute: _read_node_name(reader, host_name),
        s.HEALTHZ_BIND_ADDRESS.attribute: _read_listen_address(
            reader, s.HEALTHZ_BIND_ADDRESS, flags.HEALTHZ_PORT, HEALTH_SERVER
        ),
        s.METRICS_BIND_ADDRESS.attribute: _read_listen_address(
            reader, s.METRICS_BIND_ADDRESS, flags.METRICS_PORT, METRICS_SERVER
        ),
    }
    found |= {
        setting.attribute: reader.read(setting)
        for setting in s.SETTINGS
        if setting.attribute not in found
    }
    config = config_from(found)
    _compare_periods(reader, config)
    _refuse_two_sources(reader)
    note_what_is_idle(reader, config)
    if reader.mistakes:
        raise InvalidSettings(reader.mistakes, reader.remarks)
    mode = config.proxy_mode
    return msgspec.structs.replace(
        config,
        config_file=config_file,
        origins={_concrete(name, mode): origin for name, origin in reader.origins.items()},
        remarks=tuple(reader.remarks),
        unused=tuple(reader.unused),
    )


def _concrete(name: str, mode: ProxyMode) -> str:
    return name.replace(MODE_SECTION, f"{mode}.", 1)


def parse_verbosity(texts: Mapping[str, str]) -> int:
    """The log level alone, for commands that have no other settings.

    Raises:
        InvalidSettings: it is not a number.
    """
    reader = Reader(givens_from_flags(texts))
    verbosity = reader.read(s.VERBOSITY)
    if reader.mistakes:
        raise InvalidSettings(reader.mistakes)
    return verbosity


def _read_proxy_mode(reader: Reader) -> ProxyMode:
    """The mode, and which sections of a file hold what is told for each mode.

    Without a mode kube-proxy takes iptables and looks into that section; here it is nftables,
    and what was meant for it has to stay in force.
    """
    mode = reader.read(s.PROXY_MODE)
    given = reader.given(s.PROXY_MODE)
    # Of a mode that is a mistake nobody knows which section was meant.
    is_chosen = given is not None and bool(given.text) and not reader.mistakes
    others = () if is_chosen else tuple(name for name in SECTIONS if name != mode)
    reader.sections = (str(mode), *others)
    return mode


_SETTINGS_OF_LOCAL_MODES: Mapping[LocalMode, Setting[Any]] = {
    LocalMode.CLUSTER_CIDR: s.CLUSTER_CIDR,
    LocalMode.BRIDGE_INTERFACE: s.POD_BRIDGE_INTERFACE,
    LocalMode.INTERFACE_NAME_PREFIX: s.POD_INTERFACE_NAME_PREFIX,
}
"""What tells pods apart in a mode; of no use in the others."""


def _read_local_detection(reader: Reader) -> dict[str, Any]:
    """The mode and what it needs; what is given for other modes is set aside."""
    mode = reader.read(s.DETECT_LOCAL_MODE)
    found: dict[str, Any] = {s.DETECT_LOCAL_MODE.attribute: mode}
    for other, setting in _SETTINGS_OF_LOCAL_MODES.items():
        if other is mode:
            found[setting.attribute] = reader.read(setting)
        else:
            reader.set_aside(setting)
            found[setting.attribute] = setting.default
    if mode in (LocalMode.BRIDGE_INTERFACE, LocalMode.INTERFACE_NAME_PREFIX):
        reader.demand(_SETTINGS_OF_LOCAL_MODES[mode], s.DETECT_LOCAL_MODE, mode)
    return found


def _read_node_name(reader: Reader, host_name: str) -> str:
    """What the operator says, where an empty name is as good as none, or the host's name."""
    given = reader.given(s.NODE_NAME)
    if given and given.text:
        return reader.read(s.NODE_NAME)
    name = host_name.strip().lower()
    if not name:
        reader.mistakes.append(
            "this machine has no host name; give the node's name with --hostname-override"
        )
    return name


def _read_listen_address(
    reader: Reader, setting: Setting[ListenAddress | None], port_flag: Flag, switch: str
) -> ListenAddress | None:
    """Where a server listens; by default the family follows the bind address."""
    given = reader.given(setting)
    switched = reader.find(switch)
    if switched and switched.text == "false":
        reader.origins[setting.name] = switched.origin
        return None
    assert setting.default is not None
    port = _read_port(reader, port_flag, setting.default.port)
    if port == 0:
        return None
    if given is None:
        return ListenAddress(_default_host(reader, setting.default), port)
    if given.origin.path:
        return reader.read(setting)
    return reader.parse(
        setting, given, lambda text: values.parse_listen_address(text, port), setting.default
    )


def _default_host(reader: Reader, default: ListenAddress) -> str:
    bind_address = reader.given(s.BIND_ADDRESS)
    if bind_address is None or ":" not in bind_address.text:
        return default.host
    return "::" if default.host == "0.0.0.0" else "::1"


def _read_port(reader: Reader, flag: Flag, default: int) -> int:
    """One of kube-proxy's deprecated flags for ports (CFG-6); 0 for no server."""
    given = reader.find(flag.name)
    if given is None:
        return default
    reader.remarks.append(Remark(f"{given.label}: deprecated; give the port with the address"))
    try:
        return values.parse_integer(given.text, 0, 65535)
    except ValueError as exc:
        reader.mistakes.append(f"{given.label}: {exc}")
        return default


def _compare_periods(reader: Reader, config: Config) -> None:
    """A retry may not come before the pause that was asked for is over."""
    given, pause = reader.given(s.SYNC_PERIOD), reader.given(s.MIN_SYNC_PERIOD)
    if config.min_sync_period_seconds <= config.sync_period_seconds or not pause:
        return
    longest = format_duration(config.sync_period_seconds)
    whose = given.label if given else "the default of the sync period"
    reader.mistakes.append(
        f"{pause.label}: {pause.text} is more than the sync period, {longest} ({whose}); "
        "give less here or more there"
    )


def _refuse_two_sources(reader: Reader) -> None:
    for other in (s.KUBECONFIG, s.MASTER):
        reader.refuse_together(s.MANIFESTS, other, "manifests take the API server's place")
