"""The dataplanes that need no kernel, by the name of their level."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.scenarios.iptables_planlevel import IptablesPlanLevel
from tests.support.scenarios.iptables_tracelevel import IptablesTraceLevel
from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.running import MakeDataplane
from tests.support.scenarios.tracelevel import TraceLevel

LEVELS: Mapping[str, MakeDataplane] = {"plan": PlanLevel, "trace": TraceLevel}
"""From the nearest to the specification to the nearest to the kernel."""
IPTABLES_LEVELS: Mapping[str, MakeDataplane] = {
    "iptables-plan": IptablesPlanLevel,
    "iptables-trace": IptablesTraceLevel,
}
"""The same for iptables mode; scenarios go through `in_iptables_mode` before."""
