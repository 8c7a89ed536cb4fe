"""The tables of spec 60: every flag is there, and every default is kube-proxy's (TS-1310)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nodeproxy.config.fields import PEER_FIELDS
from nodeproxy.config.flags import ACTIONS, FLAGS, Flag
from nodeproxy.config.gates import parse_feature_gates
from nodeproxy.config.idle import IDLE_FLAGS, IDLE_SETTINGS
from nodeproxy.config.load import load_config
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.reload import plain_text
from nodeproxy.config.setting import Setting
from nodeproxy.config.settings import SETTINGS
from tests.unit.config.texts import KUBEADM, Folder

SPEC = Path(__file__).parents[3] / "docs/behaviour/60-flags-config-health-metrics.md"
KNOWN = {flag.name for flag in (*FLAGS, *ACTIONS, *IDLE_FLAGS)}


def section(title: str) -> str:
    text = SPEC.read_text()
    start = text.index(title)
    return text[start : text.index("\n## ", start + 1)]


def flags_of_the_peer() -> list[str]:
    cells = re.findall(r"^\| ([a-z][a-z0-9, /-]+?)(?: \(.*\))? \|", section("## 1."), re.M)
    names = [name for cell in cells for name in re.split(r"[,/] *| / ", cell)]
    return [name.strip() for name in names if name.strip()]


def gates_of_the_peer() -> list[str]:
    cells = re.findall(r"^\| ([A-Z][A-Za-z, /]+?)(?: \(.*\))? \|", section("## 3."), re.M)
    names = [name.strip() for cell in cells for name in re.split(r"[,/]", cell)]
    return [name for name in names if name != "Gate"]


def test_the_tables_are_found() -> None:
    assert len(flags_of_the_peer()) > 50
    assert len(gates_of_the_peer()) > 10


@pytest.mark.parametrize("name", flags_of_the_peer())
def test_every_flag_of_kube_proxy_is_accepted(name: str) -> None:
    assert name in KNOWN


@pytest.mark.parametrize("name", gates_of_the_peer())
def test_every_gate_of_kube_proxy_may_be_on(name: str) -> None:
    """CFG-30."""
    assert parse_feature_gates(f"{name}=true").explicit in ({}, {name: True})


def test_every_field_of_kube_proxy_is_known() -> None:
    """The file of kubeadm has all but these."""
    text = KUBEADM.read_text()
    leaves = {name.rpartition(".")[2] for name in PEER_FIELDS}

    written = set(re.findall(r"^ *([A-Za-z]+):", text, re.M))
    assert leaves - written == {
        "featureGates",
        "format",
        "splitStream",
        "vmodule",
        "windowsRunAsService",
    }


DEFAULTS = {
    "clientConnection.kubeconfig": '""',
    "master": '""',
    "manifests": '""',
    "clientConnection.contentType": "application/vnd.kubernetes.protobuf",
    "clientConnection.qps": "5.0",
    "clientConnection.burst": "10",
    "hostnameOverride": "node-1",
    "mode": "nftables",
    "detectLocalMode": "ClusterCIDR",
    "clusterCIDR": '""',
    "detectLocal.bridgeInterface": '""',
    "detectLocal.interfaceNamePrefix": '""',
    "nodePortAddresses": "primary",
    "featureGates": '""',
    "*.masqueradeAll": "false",
    "*.masqueradeBit": "14",
    "iptables.localhostNodePorts": "true",
    "*.syncPeriod": "30s",
    # kube-proxy: 1s; see docs/decisions/0012-no-pause-between-syncs.md
    "*.minSyncPeriod": "0s",
    "configSyncPeriod": "15m0s",
    "bindAddress": "0.0.0.0",
    "healthzBindAddress": "0.0.0.0:10256",
    "metricsBindAddress": "127.0.0.1:10249",
    "bindAddressHardFail": "false",
    "enableProfiling": "false",
    "showHiddenMetricsForVersion": '""',
    "oomScoreAdj": "-999",
    "conntrack.maxPerCore": "32768",
    "conntrack.min": "131072",
    "conntrack.tcpEstablishedTimeout": "24h0m0s",
    "conntrack.tcpCloseWaitTimeout": "1h0m0s",
    "conntrack.tcpBeLiberal": "false",
    "conntrack.udpTimeout": "0s",
    "conntrack.udpStreamTimeout": "0s",
    "cleanTCPFlows": "false",
    "logging.verbosity": "0",
    "logging.format": "text",
}


def test_the_defaults_are_those_of_kube_proxy() -> None:
    """TS-1305, TS-1307, TS-1310."""
    config = load_config({}, "node-1")

    assert {setting.name: plain_text(setting.plain(config)) for setting in SETTINGS} == DEFAULTS


SAMPLES = {
    "TEXT": "x",
    "INTEGER": "7",
    "NUMBER": "2.5",
    "DURATION": "7s",
    "SWITCH": "true",
    "LIST": "10.0.0.0/8",
    "GATES": "EndpointSliceProxying=false",
}
SPECIAL = {
    "iptables.localhostNodePorts": "false",
    "mode": "nftables",
    "detectLocalMode": "NodeCIDR",
    "clusterCIDR": "10.0.0.0/8",
    "bindAddress": "10.0.0.1",
    "healthzBindAddress": "10.0.0.1:1",
    "metricsBindAddress": "10.0.0.1:2",
    "master": "https://10.0.0.1",
    "showHiddenMetricsForVersion": "1.35",
    "logging.format": "json",
}
MODES = {
    "detectLocal.bridgeInterface": {"detect-local-mode": "BridgeInterface"},
    "detectLocal.interfaceNamePrefix": {"detect-local-mode": "InterfaceNamePrefix"},
}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_flag_reaches_its_own_setting_and_no_other(setting: Setting[Any]) -> None:
    assert setting.flag is not None
    text = SPECIAL.get(setting.name, SAMPLES[setting.shape.name])
    before = MODES.get(setting.name, {})

    config = load_config({setting.flag.name: text, **before}, "node-1")

    default = load_config({}, "node-1")
    changed = {s.name for s in SETTINGS if s.value(config) != s.value(default)}
    # A mode that is the only one is no change.
    expected = {setting.name} | ({"detectLocalMode"} if before else set())
    assert changed == (expected - {"mode"})
    assert setting.concrete_name(config.proxy_mode) in config.origins


@pytest.mark.parametrize("flag", IDLE_FLAGS, ids=lambda flag: flag.name)
def test_a_flag_without_effect_is_told_with_the_reason(flag: Flag) -> None:
    config = load_config({flag.name: SAMPLES[flag.kind.name]}, "node-1")

    (reason,) = (idle.reason for idle in IDLE_SETTINGS if idle.flag is flag)
    assert [remark.text for remark in config.remarks] == [
        f"{flag.spelling}: no effect here: {reason}"
    ]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("ipvs:\n  strictARP: true\n", "ipvs.strictARP"),
        ("ipvs:\n  excludeCIDRs: [10.0.0.0/8]\n", "ipvs.excludeCIDRs"),
        ("winkernel:\n  sourceVip: 10.0.0.1\n", "winkernel.sourceVip"),
        ("logging:\n  flushFrequency: 5000000000\n", "logging.flushFrequency"),
        ("logging:\n  vmodule: [{filePattern: a, verbosity: 3}]\n", "logging.vmodule"),
        ("clientConnection:\n  acceptContentTypes: x\n", "clientConnection.acceptContentTypes"),
        ("\nportRange: 1-2\n", "portRange"),
    ],
)
def test_a_field_without_effect_is_told_with_its_line(
    fields: str, name: str, folder: Folder
) -> None:
    config = folder.load(fields)

    (remark,) = config.remarks
    assert remark.text.startswith(f"{folder.path}:4: {name}: no effect here: ")
    assert not remark.is_warning


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kube-api-qps", "50"),
        ("kube-api-burst", "100"),
        ("kube-api-content-type", "application/json"),
        ("config-sync-period", "1m"),
        ("show-hidden-metrics-for-version", "1.35"),
        ("feature-gates", "NativeHistograms=true"),
        ("feature-gates", "AllAlpha=true"),
    ],
)
def test_settings_that_are_kept_without_effect_are_told_too(name: str, text: str) -> None:
    config = load_config({name: text}, "node-1")

    (remark,) = config.remarks
    assert remark.text.startswith(f"--{name}: ")
    assert "no effect here: " in remark.text


@pytest.mark.parametrize(
    ("name", "text"), [("ipvs-strict-arp", "maybe"), ("ipvs-tcp-timeout", "soon")]
)
def test_what_has_no_effect_must_still_have_its_form(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings, match=f'--{name}: "{text}" is not a'):
        load_config({name: text}, "node-1")
