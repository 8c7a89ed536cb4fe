"""Feature gates: named switches in the form `Name=true,Other=false` (spec 60 section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nodeproxy.config.items import WrongItems
from nodeproxy.config.nearest import did_you_mean

ENDPOINT_SLICE_PROXYING = "EndpointSliceProxying"
ALLOW_SERVICE_EXTERNAL_IPS = "AllowServiceExternalIPs"

KNOWN_GATES: Mapping[str, bool] = {
    # Off by default in Kubernetes 1.17 and 1.18, on since 1.19; kept here as a live choice.
    ENDPOINT_SLICE_PROXYING: True,
    ALLOW_SERVICE_EXTERNAL_IPS: True,
}
"""Every gate with its default."""

_ALWAYS_ON = frozenset(
    {"MultiCIDRServiceAllocator", "NFTablesProxyMode", "PreferSameTrafficDistribution"}
)
"""Locked in Kubernetes 1.36; older DaemonSets still switch them on."""

_IDLE = frozenset(
    {
        "ComponentFlagz",
        "ComponentStatusz",
        "ContextualLogging",
        "LoggingAlphaOptions",
        "LoggingBetaOptions",
        "NativeHistograms",
        "RelaxedServiceNameValidation",
        "StrictIPCIDRValidation",
    }
)
"""kube-proxy 1.36 knows them, and here nothing depends on them (spec 60 section 3)."""

_GATE_GROUPS = frozenset({"AllAlpha", "AllBeta"})
"""Accepted for all gates of a maturity (CFG-30); ours are all mature, so nothing follows."""


class FeatureGates(msgspec.Struct, frozen=True):
    """The gates an operator set explicitly; everything else has its default."""

    explicit: Mapping[str, bool] = {}

    def is_enabled(self, name: str) -> bool:
        """The value of a gate.

        Raises:
            KeyError: there is no such gate; a programming error.
        """
        return self.explicit.get(name, KNOWN_GATES[name])

    def is_explicit(self, name: str) -> bool:
        """True if the operator set this gate."""
        return name in self.explicit


def parse_feature_gates(text: str) -> FeatureGates:
    """Parse `Name=true,Other=false`; the last mention of a name counts.

    Raises:
        WrongItems: not of that form, a gate that cannot be switched off, or an unknown one.
    """
    explicit: dict[str, bool] = {}
    mistakes = []
    for index, pair in enumerate(_pairs(text)):
        name, _, value = pair.partition("=")
        if mistake := _mistake(pair):
            mistakes.append((index, mistake))
        elif name in KNOWN_GATES:
            explicit[name] = value.lower() == "true"
    if mistakes:
        raise WrongItems(mistakes)
    return FeatureGates(explicit)


def idle_gates(text: str) -> list[str]:
    """Those gates among `Name=true,Other=false` on which nothing depends here."""
    names = [pair.partition("=")[0] for pair in _pairs(text)]
    return [name for name in names if name in _IDLE | _GATE_GROUPS]


def is_known_to_peer(name: str) -> bool:
    """True if kube-proxy 1.36 would not refuse a file with this gate."""
    return name != ENDPOINT_SLICE_PROXYING


def _pairs(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _mistake(pair: str) -> str:
    """What is wrong with `Name=true`; blank if nothing is."""
    name, equals, value = pair.partition("=")
    if not equals or value.lower() not in ("true", "false"):
        return f'"{pair}" is not of the form Name=true or Name=false'
    if name in _ALWAYS_ON and value.lower() == "false":
        return f'feature gate "{name}" is always on; leave it out'
    known = (*KNOWN_GATES, *_ALWAYS_ON, *_IDLE, *_GATE_GROUPS)
    if name in known:
        return ""
    what_is = did_you_mean(name, known) or f"known: {', '.join(sorted(KNOWN_GATES))}"
    return f'unrecognized feature gate "{name}"; {what_is}'
