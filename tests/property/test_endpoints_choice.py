"""However events of both kinds and choices between them are batched, the same endpoints count."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeproxy.agent.inbox import Inbox
from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.events import EndpointsChosen, Kind, Removed, SourceEvent, Upserted
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import endpoints, service, slice_, upserted

NAMES = ("web",)
SERVICES = upserted(
    *(service(name).cluster_ip(f"10.96.0.{n}").port(80) for n, name in enumerate(NAMES, start=1))
)


@st.composite
def objects(draw: st.DrawFn) -> SourceEvent:
    """A slice or an Endpoints object that comes or goes."""
    name = NAMES[0]
    addresses = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        slices = slice_(f"{name}-{draw(st.integers(1, 2))}", service=name).port(80)
        for number in addresses:
            slices.endpoint(f"10.0.0.{number}")
        told: list[SourceEvent] = [slices.upserted(), slices.removed()]
        return draw(st.sampled_from(told))
    listed = endpoints(name).subset().port(80)
    for number in addresses:
        listed.address(f"10.0.0.{number}")
    others: list[SourceEvent] = [listed.upserted(), listed.removed()]
    return draw(st.sampled_from(others))


choices = st.sampled_from([Kind.ENDPOINT_SLICE, Kind.ENDPOINTS, None]).map(EndpointsChosen)
histories = st.lists(
    st.tuples(st.one_of(objects(), choices), st.booleans()), min_size=3, max_size=10
)
"""Events, each with whether the inbox is emptied behind it."""


def expected(history: list[SourceEvent]) -> ClusterState:
    """What counts at the end, event by event and without any state in between."""
    known: dict[tuple[Kind, str], Upserted] = {}
    chosen: Kind | None = None
    for event in history:
        match event:
            case Upserted(kind, _, name):
                known[kind, name] = event
            case Removed(kind, _, name):
                known.pop((kind, name), None)
            case EndpointsChosen(kind):
                chosen = kind
                known = {key: it for key, it in known.items() if kind in (None, key[0])}
    state = ClusterState("n1")
    counting = [it for (kind, _), it in known.items() if chosen in (None, kind)]
    state.apply([*SERVICES, *counting])
    return state


def addresses(state: ClusterState) -> dict[str, list[str]]:
    keys = {name: ServicePortKey("default", name, "", Protocol.TCP) for name in NAMES}
    found = {name: state.endpoints(Family.IPV4, key) for name, key in keys.items()}
    return {name: [format_addr(e.addr) for e in those] for name, those in found.items()}


@settings(max_examples=300)
@given(histories)
def test_any_batching_gives_the_same_endpoints_and_plan(
    history: list[tuple[SourceEvent, bool]],
):
    inbox, state = Inbox(), ClusterState("n1")
    planner = Planner(state, PlanOptions())
    planner.replan(state.apply(SERVICES))
    for event, is_end in history:
        inbox.put([event])
        if is_end:
            planner.replan(state.apply(inbox.take_all()))
    planner.replan(state.apply(inbox.take_all()))
    fresh = Planner(state, PlanOptions())
    fresh.replan(state.apply(()))

    wanted = expected([event for event, _ in history])
    assert addresses(state) == addresses(wanted)
    assert state.endpoint_count == wanted.endpoint_count
    assert planner.plans == fresh.plans
