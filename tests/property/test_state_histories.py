"""The same objects give the same state, however their events came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.events import SourceEvent
from nodeproxy.state.cluster import Changes, ClusterState
from tests.support.histories import OWN_NODE, batches, histories, outcome


@given(histories(), st.data())
def test_any_history_ends_where_its_outcome_does(events: list[SourceEvent], data: st.DataObject):
    state, loaded = ClusterState(OWN_NODE), ClusterState(OWN_NODE)

    for batch in data.draw(batches(events)):
        state.apply(batch)
    loaded.apply(data.draw(st.permutations(outcome(events))))

    assert vars(state) == vars(loaded)


@given(histories())
def test_a_state_told_again_has_not_changed(events: list[SourceEvent]):
    """EP-5: periodic resyncs must cost nothing."""
    state = ClusterState(OWN_NODE)
    state.apply(events)

    changes = state.apply(outcome(events))

    assert changes == Changes(services=set(), node_changed=False, problems=())


@given(histories(), st.data())
def test_every_service_that_reads_differently_is_told(
    events: list[SourceEvent], data: st.DataObject
):
    """No change is lost: what was not told about is as it was."""
    state = ClusterState(OWN_NODE)
    for batch in data.draw(batches(events)):
        before = _readings(state)

        told = {str(key) for key in state.apply(batch).services}

        after = _readings(state)
        differing = {name for name in before | after if before.get(name) != after.get(name)}
        assert differing <= told


def _readings(state: ClusterState) -> dict[str, object]:
    """What can be read of each Service."""
    return {
        str(key): [(port, state.endpoints(port.family, port.key)) for port in ports]
        for key, ports in state.services.items()
    }
