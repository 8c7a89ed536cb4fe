"""The plan is a function of the cluster, not of how it came about (design invariant 5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.addresses import Family
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.text import format_plan
from nodeproxy.plan.types import Claim, PlanKey, ServicePortPlan, claim_of
from nodeproxy.state.cluster import ClusterState
from tests.support.histories import OWN_NODE, batches, histories, outcome


def fresh() -> tuple[ClusterState, Planner]:
    state = ClusterState(OWN_NODE)
    return state, Planner(state, PlanOptions())


@given(histories(), st.data())
def test_any_history_gives_the_plan_of_its_outcome(events: list[SourceEvent], data: st.DataObject):
    state, planner = fresh()
    loaded_state, loaded = fresh()

    for batch in data.draw(batches(events)):
        planner.replan(state.apply(batch))
    loaded.replan(loaded_state.apply(data.draw(st.permutations(outcome(events)))))

    assert planner.plans == loaded.plans
    assert planner.settings == loaded.settings
    assert planner.conflicts == loaded.conflicts
    assert format_plan(planner.plans) == format_plan(loaded.plans)


@given(histories(), st.data())
def test_the_deltas_add_up_to_the_plan(events: list[SourceEvent], data: st.DataObject):
    """A backend sees only deltas; and a delta tells nothing that was so already."""
    state, planner = fresh()
    known: dict[PlanKey, ServicePortPlan] = {}

    for batch in data.draw(batches(events)):
        delta = planner.replan(state.apply(batch))

        assert all(known.get(key) != plan for key, plan in delta.puts.items())
        assert delta.removes <= known.keys()
        assert not delta.removes & delta.puts.keys()
        known = {k: plan for k, plan in known.items() if k not in delta.removes} | delta.puts
        assert known == planner.plans


@given(histories())
def test_every_destination_has_one_owner(events: list[SourceEvent]):
    """SVC-60 [N]: and who claims it and is first in key order is that owner."""
    state, planner = fresh()
    planner.replan(state.apply(events))

    claimed: dict[tuple[Family, Claim], list[PlanKey]] = {}
    for key, plan in planner.plans.items():
        lost = [conflict.frontend for conflict in planner.conflicts.get(key, ())]
        for frontend in (*plan.frontends, *lost):
            claimed.setdefault((key.family, claim_of(frontend)), []).append(key)

    for (_, claim), keys in claimed.items():
        owners = [k for k in keys if claim in map(claim_of, planner.plans[k].frontends)]
        assert owners == [min(keys)]
