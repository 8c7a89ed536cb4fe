"""Feature gates: named switches in the form `Name=true,Other=false` (spec 60 section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

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
        ValueError: not of that form, a gate that cannot be switched off, or an unknown one; the
            message tells the known ones.
    """
    explicit: dict[str, bool] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or value.lower() not in ("true", "false"):
            raise ValueError(f'"{pair}" is not of the form Name=true or Name=false')
        if name in _GATE_GROUPS:
            continue
        if name in _ALWAYS_ON:
            if value.lower() == "false":
                raise ValueError(f'feature gate "{name}" is always on; leave it out')
            continue
        if name not in KNOWN_GATES:
            known = ", ".join(sorted(KNOWN_GATES))
            raise ValueError(f'unrecognized feature gate "{name}"; known: {known}')
        explicit[name] = value.lower() == "true"
    return FeatureGates(explicit)
