from __future__ import annotations

import pytest

from nodeproxy.config.load import load_config
from nodeproxy.config.reload import Change, Reload, compare, taken_over
from nodeproxy.config.schema import Config
from nodeproxy.plan.settings import plan_options_from
from tests.unit.config.texts import Folder


def settings(**flags: str) -> Config:
    return load_config({name.replace("_", "-"): text for name, text in flags.items()}, "node-1")


def test_the_same_settings_are_no_change() -> None:
    assert compare(settings(v="3"), settings(v="3")).is_empty


def test_where_a_value_stands_does_not_matter(folder: Folder) -> None:
    in_file = folder.load("\n\nclusterCIDR: 10.0.0.0/8\n")

    assert compare(settings(cluster_cidr="10.0.0.0/8"), in_file).is_empty


@pytest.mark.parametrize(
    ("flag", "text", "change"),
    [
        ("v", "4", Change("logging.verbosity", "0", "4")),
        ("cluster-cidr", "10.0.0.0/8", Change("clusterCIDR", '""', "10.0.0.0/8")),
        ("nodeport-addresses", "::/0", Change("nodePortAddresses", "primary", "::/0")),
        ("masquerade-all", "true", Change("nftables.masqueradeAll", "false", "true")),
        ("iptables-min-sync-period", "1s", Change("nftables.minSyncPeriod", "0s", "1s")),
        ("conntrack-min", "5", Change("conntrack.min", "131072", "5")),
        ("bind-address", "10.0.0.1", Change("bindAddress", "0.0.0.0", "10.0.0.1")),
        (
            "feature-gates",
            "EndpointSliceProxying=false",
            Change("featureGates", '""', "EndpointSliceProxying=false"),
        ),
    ],
)
def test_what_a_running_agent_takes_over(flag: str, text: str, change: Change) -> None:
    assert compare(settings(), settings(**{flag: text})) == Reload(live=(change,))


@pytest.mark.parametrize(
    ("flag", "text", "change"),
    [
        (
            "healthz-bind-address",
            "",
            Change("healthzBindAddress", "0.0.0.0:10256", '""'),
        ),
        ("conntrack-clean-tcp", "true", Change("cleanTCPFlows", "false", "true")),
        ("kubeconfig", "/k", Change("clientConnection.kubeconfig", '""', "/k")),
        ("oom-score-adj", "0", Change("oomScoreAdj", "-999", "0")),
        ("hostname-override", "b", Change("hostnameOverride", "node-1", "b")),
    ],
)
def test_what_waits_for_a_restart(flag: str, text: str, change: Change) -> None:
    assert compare(settings(), settings(**{flag: text})) == Reload(restart=(change,))


def test_a_change_is_told_in_one_line() -> None:
    (change,) = compare(settings(), settings(v="4")).live

    assert str(change) == "logging.verbosity: 0 -> 4"


def test_after_a_reload_only_what_is_live_has_changed() -> None:
    old = settings(conntrack_min="5")
    new = settings(
        v="4",
        cluster_cidr="10.0.0.0/8",
        conntrack_min="6",
        conntrack_clean_tcp="true",
        oom_score_adj="0",
    )

    now = taken_over(old, new)

    assert (now.verbosity, now.cluster_cidrs) == (4, new.cluster_cidrs)
    assert (now.conntrack.min, now.conntrack.cleans_tcp, now.oom_score_adj) == (6, False, -999)
    assert compare(now, new).live == ()
    assert [change.field for change in compare(now, new).restart] == [
        "oomScoreAdj",
        "cleanTCPFlows",
    ]


def test_everything_the_plan_depends_on_is_live() -> None:
    """A planner that takes new options takes all of them."""
    new = settings(
        detect_local_mode="InterfaceNamePrefix",
        pod_interface_name_prefix="cali",
        masquerade_all="true",
        iptables_masquerade_bit="3",
        nodeport_addresses="10.0.0.0/8,::/0",
        feature_gates="AllowServiceExternalIPs=false",
        bind_address="10.0.0.1",
    )

    now = taken_over(settings(), new)

    assert plan_options_from(now) == plan_options_from(new)
