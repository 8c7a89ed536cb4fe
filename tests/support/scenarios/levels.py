"""The dataplanes that need no kernel, by the name of their level."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.running import MakeDataplane

LEVELS: Mapping[str, MakeDataplane] = {"plan": PlanLevel}
"""From the nearest to the specification to the nearest to the kernel."""
