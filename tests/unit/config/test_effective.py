from __future__ import annotations

import yaml
from hypothesis import HealthCheck, given, settings, strategies

from nodeproxy.config.document import own_document, peer_document
from nodeproxy.config.effective import format_documents, format_effective
from nodeproxy.config.load import load_config
from nodeproxy.config.schema import Config
from nodeproxy.config.settings import SETTINGS
from tests.unit.config.texts import Folder

TEXTS = {
    "hostname-override": ["node-9", "123"],
    "kubeconfig": ["/etc/k.conf", "/tmp/a b"],
    "master": ["https://10.0.0.1"],
    "detect-local-mode": ["NodeCIDR", "ClusterCIDR"],
    "cluster-cidr": ["10.0.0.0/8", "fd00::/64,10.0.0.0/8"],
    "feature-gates": ["EndpointSliceProxying=false,AllowServiceExternalIPs=true"],
    "nodeport-addresses": ["primary", "10.0.0.0/8,::/0"],
    "bind-address": ["::1", "10.0.0.1"],
    "healthz-bind-address": ["", "[::]:1", "1.2.3.4"],
    "metrics-bind-address": ["", "127.0.0.1:7"],
    "masquerade-all": ["true"],
    "iptables-masquerade-bit": ["0", "31"],
    "iptables-localhost-nodeports": ["false"],
    "iptables-sync-period": ["1m30s", "5s"],
    "iptables-min-sync-period": ["1s", "250ms"],
    "oom-score-adj": ["0", "-1000"],
    "conntrack-max-per-core": ["0", "5"],
    "conntrack-min": ["0"],
    "conntrack-tcp-timeout-established": ["0", "5m"],
    "conntrack-udp-timeout": ["30s"],
    "conntrack-clean-tcp": ["true"],
    "kube-api-qps": ["0.5", "50"],
    "v": ["4"],
    "logging-format": ["json"],
}
FLAGS = strategies.fixed_dictionaries(
    {}, optional={name: strategies.sampled_from(texts) for name, texts in TEXTS.items()}
)


def values(config: Config) -> dict[str, object]:
    return {setting.name: setting.value(config) for setting in SETTINGS}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FLAGS)
def test_settings_written_down_mean_the_same(folder: Folder, flags: dict[str, str]) -> None:
    """CFG-9."""
    config = load_config(flags, "node-1")

    folder.path.write_text(format_documents(config))
    again = load_config({"config": str(folder.path)}, "node-1")
    assert values(again) == values(config)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FLAGS)
def test_what_is_printed_can_be_used_as_a_file(folder: Folder, flags: dict[str, str]) -> None:
    config = load_config(flags, "node-1")

    folder.path.write_text(format_effective(config, "yaml"))
    again = load_config({"config": str(folder.path)}, "node-1")
    assert values(again) == values(config)


def test_the_defaults_written_down_leave_nothing_to_say(folder: Folder) -> None:
    folder.path.write_text(format_documents(load_config({}, "node-1")))

    config = load_config({"config": str(folder.path)}, "node-1")

    assert config.remarks == ()


def test_the_name_of_this_host_is_not_written_down() -> None:
    document = peer_document(load_config({}, "node-1"))

    assert document["hostnameOverride"] == ""


def test_a_name_that_was_chosen_is_written_down() -> None:
    document = peer_document(load_config({"hostname-override": "n"}, "node-1"))

    assert document["hostnameOverride"] == "n"


def test_kube_proxy_is_not_given_what_it_refuses() -> None:
    """Its own decoder refuses gates it does not know."""
    gates = "EndpointSliceProxying=false,AllowServiceExternalIPs=false"
    config = load_config({"feature-gates": gates}, "node-1")

    assert peer_document(config)["featureGates"] == {"AllowServiceExternalIPs": False}
    assert own_document(config)["featureGates"] == {"EndpointSliceProxying": False}


def test_what_has_its_default_needs_no_second_document() -> None:
    assert own_document(load_config({}, "node-1")) == {}
    assert len(list(yaml.safe_load_all(format_documents(load_config({}, "node-1"))))) == 1


def test_a_value_that_does_not_count_is_not_shown_as_if_it_did() -> None:
    config = load_config(
        {"detect-local-mode": "NodeCIDR", "cluster-cidr": "10.0.0.0/8", "kube-api-qps": "50"}, "n"
    )

    rows = {
        row.split()[0]: row.split()[1:] for row in format_effective(config, "table").splitlines()
    }
    assert " ".join(rows["clusterCIDR"]) == (
        '"" default (flag --cluster-cidr is ignored: detectLocalMode)'
    )
    assert " ".join(rows["clientConnection.qps"]) == "50.0 flag --kube-api-qps (no effect here)"
