"""What kube-proxy takes and nodeproxy has no use for: accepted, and told (spec 60 sections 1, 2).

Silence would let somebody believe that a setting works.
"""

from __future__ import annotations

import msgspec

from nodeproxy.config.flags import Flag, FlagKind
from nodeproxy.config.settings import SPEAKS_JSON

_NO_IPVS = "there is no IPVS mode"
_WINDOWS = "it is for Windows"
_NOT_USED = "kube-proxy does not use it either"
_UNBUFFERED = "every log record is written at once, to stderr"
_NO_VMODULE = "log levels are not told apart by source file; -v counts for all"


class IdleSetting(msgspec.Struct, frozen=True):
    """A setting without effect."""

    name: str
    """Its field in the file; of one that has only a flag, the flag's name."""
    flag: Flag | None
    shape: FlagKind
    reason: str
    is_field: bool = True
    """True if files may hold it."""


def _idle(
    field: str, flag: str, reason: str, shape: FlagKind = FlagKind.TEXT, value_name: str = "VALUE"
) -> IdleSetting:
    option = Flag(flag, value_name, f"No effect: {reason}.", shape, is_hidden=True)
    return IdleSetting(field or flag, option if flag else None, shape, reason, bool(field))


IDLE_SETTINGS = (
    _idle("ipvs.syncPeriod", "ipvs-sync-period", _NO_IPVS, FlagKind.DURATION),
    _idle("ipvs.minSyncPeriod", "ipvs-min-sync-period", _NO_IPVS, FlagKind.DURATION),
    _idle("ipvs.scheduler", "ipvs-scheduler", _NO_IPVS),
    _idle("ipvs.excludeCIDRs", "ipvs-exclude-cidrs", _NO_IPVS, FlagKind.LIST),
    _idle("ipvs.strictARP", "ipvs-strict-arp", _NO_IPVS, FlagKind.SWITCH),
    _idle("ipvs.tcpTimeout", "ipvs-tcp-timeout", _NO_IPVS, FlagKind.DURATION),
    _idle("ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout", _NO_IPVS, FlagKind.DURATION),
    _idle("ipvs.udpTimeout", "ipvs-udp-timeout", _NO_IPVS, FlagKind.DURATION),
    _idle("winkernel.networkName", "network-name", _WINDOWS),
    _idle("winkernel.sourceVip", "source-vip", _WINDOWS),
    _idle("winkernel.enableDSR", "enable-dsr", _WINDOWS, FlagKind.SWITCH),
    _idle("winkernel.rootHnsEndpointName", "root-hnsendpoint-name", _WINDOWS),
    _idle("winkernel.forwardHealthCheckVip", "forward-healthcheck-vip", _WINDOWS, FlagKind.SWITCH),
    _idle("windowsRunAsService", "windows-service", _WINDOWS, FlagKind.SWITCH),
    _idle("portRange", "", _NOT_USED),
    _idle("", "boot-id-file", _NOT_USED),
    _idle("", "machine-id-file", _NOT_USED),
    _idle("clientConnection.acceptContentTypes", "", SPEAKS_JSON),
    _idle("logging.vmodule", "vmodule", _NO_VMODULE, FlagKind.LIST),
    _idle("logging.flushFrequency", "log-flush-frequency", _UNBUFFERED, FlagKind.DURATION),
    _idle(
        "logging.options.text.splitStream", "log-text-split-stream", _UNBUFFERED, FlagKind.SWITCH
    ),
    _idle("logging.options.text.infoBufferSize", "log-text-info-buffer-size", _UNBUFFERED),
    _idle(
        "logging.options.json.splitStream", "log-json-split-stream", _UNBUFFERED, FlagKind.SWITCH
    ),
    _idle("logging.options.json.infoBufferSize", "log-json-info-buffer-size", _UNBUFFERED),
)
"""Every setting of kube-proxy that does nothing here and that `Config` does not hold."""

IDLE_FLAGS = tuple(setting.flag for setting in IDLE_SETTINGS if setting.flag)
