"""The fields of a configuration file: which there are, and what each takes (spec 60 section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from nodeproxy.config.flags import FlagKind
from nodeproxy.config.idle import IDLE_SETTINGS
from nodeproxy.config.setting import MODE_SECTION
from nodeproxy.config.settings import FEATURE_GATES, SETTINGS

PEER_API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
PEER_KIND = "KubeProxyConfiguration"
OWN_API_VERSION = "nodeproxy.config/v1alpha1"
OWN_KIND = "NodeproxyConfiguration"

SECTIONS = ("iptables", "nftables")
"""Sections of proxy modes that hold the settings each mode has of its own."""

HEALTH_SERVER = "healthServer"
METRICS_SERVER = "metricsServer"
"""Fields of a NodeproxyConfiguration that switch a server off: in kube-proxy's file an empty
address is the default (CFG-21), and kubeadm writes just that."""


class Field(msgspec.Struct, frozen=True):
    """What a field takes."""

    shape: FlagKind
    keeps_zero: bool = False
    """True if 0, false or blank is a value; else it stands for the default."""
    is_idle: bool = False
    """True if nothing here depends on it; its content is not looked at closely."""


def _peer_fields() -> Iterator[tuple[str, Field]]:
    for setting in SETTINGS:
        if setting.is_own:
            continue
        field = Field(setting.shape, setting.keeps_zero)
        if setting.name.startswith(MODE_SECTION):
            for section in SECTIONS:
                yield setting.name.replace(MODE_SECTION, f"{section}.", 1), field
        else:
            yield setting.name, field
    for idle in IDLE_SETTINGS:
        if idle.is_field:
            yield idle.name, Field(idle.shape, is_idle=True)


def _own_fields() -> Iterator[tuple[str, Field]]:
    for setting in SETTINGS:
        if setting.is_own or setting is FEATURE_GATES:
            yield setting.name, Field(setting.shape, setting.keeps_zero)
    yield HEALTH_SERVER, Field(FlagKind.SWITCH, keeps_zero=True)
    yield METRICS_SERVER, Field(FlagKind.SWITCH, keeps_zero=True)


PEER_FIELDS: Mapping[str, Field] = dict(_peer_fields())
"""Fields of a KubeProxyConfiguration by their path, `conntrack.min`."""
OWN_FIELDS: Mapping[str, Field] = dict(_own_fields())
"""Fields of a NodeproxyConfiguration."""
