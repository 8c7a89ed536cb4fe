from __future__ import annotations

import pytest

from nodeproxy.config.gates import (
    ALLOW_SERVICE_EXTERNAL_IPS,
    ENDPOINT_SLICE_PROXYING,
    FeatureGates,
    parse_feature_gates,
)


def test_endpoint_slices_are_the_default_source() -> None:
    gates = FeatureGates()

    assert gates.is_enabled(ENDPOINT_SLICE_PROXYING)
    assert not gates.is_explicit(ENDPOINT_SLICE_PROXYING)


def test_external_ips_are_allowed_unless_refused() -> None:
    """SVC-11."""
    refused = parse_feature_gates("AllowServiceExternalIPs=false")

    assert FeatureGates().is_enabled(ALLOW_SERVICE_EXTERNAL_IPS)
    assert not refused.is_enabled(ALLOW_SERVICE_EXTERNAL_IPS)


def test_a_gate_that_was_set_is_known_to_be_explicit() -> None:
    gates = parse_feature_gates("EndpointSliceProxying=False")

    assert not gates.is_enabled(ENDPOINT_SLICE_PROXYING)
    assert gates.is_explicit(ENDPOINT_SLICE_PROXYING)


def test_the_last_mention_of_a_gate_counts() -> None:
    gates = parse_feature_gates("EndpointSliceProxying=true, EndpointSliceProxying=false,")

    assert gates.explicit == {ENDPOINT_SLICE_PROXYING: False}


def test_groups_of_gates_are_accepted_and_change_nothing() -> None:
    """CFG-30."""
    assert parse_feature_gates("AllAlpha=true,AllBeta=false") == FeatureGates()


def test_a_gate_that_is_always_on_may_be_switched_on() -> None:
    """An older DaemonSet keeps its arguments."""
    assert parse_feature_gates("NFTablesProxyMode=true") == FeatureGates()


def test_a_gate_that_is_always_on_cannot_be_switched_off() -> None:
    """Spec 60 section 3: a change of a locked gate is an error."""
    with pytest.raises(ValueError, match='"NFTablesProxyMode" is always on; leave it out'):
        parse_feature_gates("NFTablesProxyMode=false")


def test_an_unknown_gate_is_refused_with_the_known_ones() -> None:
    """CFG-30."""
    with pytest.raises(ValueError, match=r'unrecognized feature gate "Foo"; known: AllowService'):
        parse_feature_gates("Foo=true")


@pytest.mark.parametrize("text", ["EndpointSliceProxying", "EndpointSliceProxying=", "=true x"])
def test_gates_need_a_boolean(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form Name=true or Name=false"):
        parse_feature_gates(text)
