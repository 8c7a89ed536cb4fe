"""kube-proxy's other flags: naming one is no typing mistake, and the answer should say so."""

from __future__ import annotations

REPLACED_FLAGS = {
    "cleanup": "it is a command here: nodeproxy cleanup",
    "config": "configuration files are not available in this version; give the settings as flags",
    "version": "it is a command here: nodeproxy version",
    "healthz-port": "give the port with --healthz-bind-address",
    "metrics-port": "give the port with --metrics-bind-address",
}
"""Flags that are spelled differently here, with what to do instead."""

ABSENT_FLAGS = frozenset(
    {
        "boot-id-file",
        "init-only",
        "ipvs-exclude-cidrs",
        "ipvs-min-sync-period",
        "ipvs-scheduler",
        "ipvs-strict-arp",
        "ipvs-sync-period",
        "ipvs-tcp-timeout",
        "ipvs-tcpfin-timeout",
        "ipvs-udp-timeout",
        "log-flush-frequency",
        "log-json-info-buffer-size",
        "log-json-split-stream",
        "log-text-info-buffer-size",
        "log-text-split-stream",
        "logging-format",
        "machine-id-file",
        "vmodule",
        "write-config-to",
    }
)
"""Flags that this version does not have (spec 60 section 1)."""
