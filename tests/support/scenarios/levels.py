"""The dataplanes that need no kernel, by the name of their level."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.running import MakeDataplane
from tests.support.scenarios.tracelevel import TraceLevel

LEVELS: Mapping[str, MakeDataplane] = {"plan": PlanLevel, "trace": TraceLevel}
"""From the nearest to the specification to the nearest to the kernel."""
