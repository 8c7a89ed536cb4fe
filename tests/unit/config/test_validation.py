"""TS-1350: what kube-proxy accepts in a file and what it refuses."""

from __future__ import annotations

import pytest

from nodeproxy.config.load import load_config
from nodeproxy.config.reader import InvalidSettings
from tests.unit.config.texts import Folder

V6 = 'bindAddress: "::1"\nhealthzBindAddress: "[::1]:10256"\nmetricsBindAddress: "[::1]:10249"\n'


@pytest.mark.parametrize(
    "fields",
    [
        "",  # TS-1351
        "mode: nftables\nipvs: {scheduler: rr}\niptables: {masqueradeAll: true}\n",
        'healthzBindAddress: ""\n',
        f'{V6}clusterCIDR: "fd00:1::/64"\n',
        "healthzBindAddress: 0.0.0.0:12345\n",
        'bindAddress: 10.0.0.1\nclusterCIDR: "fd00:1::/64"\n',
        'clusterCIDR: "192.168.59.0/24,fd00:192:168::/64"\n',
        "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: vethabcde}\n",
        "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: avz}\n",
        "detectLocalMode: NodeCIDR\n",
        "iptables: {masqueradeBit: 0}\n",  # TS-1354
        "nftables: {masqueradeBit: 31}\n",
        "oomScoreAdj: -1000\n",  # TS-1355
        "oomScoreAdj: 1000\n",
        "conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s}\n",
        'mode: ""\n',  # TS-1356
        "clientConnection: {burst: 0}\n",  # TS-1357
        "clientConnection: {burst: 5}\n",
        "nodePortAddresses: []\n",  # TS-1359
        "nodePortAddresses: [primary]\n",
        "nodePortAddresses: [127.0.0.0/8]\n",
        "nodePortAddresses: [0.0.0.0/0]\n",
        'nodePortAddresses: ["::/0"]\n',
        'nodePortAddresses: ["::1/128"]\n',
        "nodePortAddresses: [10.20.0.0/16]\n",
        "nodePortAddresses: [10.20.0.0/16, 100.200.0.0/16]\n",
        'nodePortAddresses: [127.0.0.1/32, "2001:db8::/32"]\n',
        'nodePortAddresses: ["2001:db8::/32", "fd00::/8"]\n',
        "nodePortAddresses: [127.0.0.1/32, 127.0.0.1/32]\n",
        'clusterCIDR: ""\n',  # TS-1360
        "nftables: {syncPeriod: 5s, minSyncPeriod: 5s}\n",
        "showHiddenMetricsForVersion: '1.35'\n",
        "logging: {format: json}\n",
    ],
)
def test_what_kube_proxy_accepts_is_accepted(fields: str, folder: Folder) -> None:
    assert folder.load(fields).node_name == "node-1"


CIDR = "is not a CIDR"
RANGE32 = "is not a number from 0 to 31"
COUNT = "is not a number from 0 to 2147483647"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # TS-1352
        ("bindAddress: 10.10.12.11:2000\n", ['bindAddress: "10.10.12.11:2000" is not an IP']),
        ("healthzBindAddress: 0.0.0.0\n", ['healthzBindAddress: "0.0.0.0" has no port; write it']),
        ("metricsBindAddress: 127.0.0.1\n", ['metricsBindAddress: "127.0.0.1" has no port; write']),
        # TS-1353
        ("configSyncPeriod: -1s\n", ['configSyncPeriod: "-1s" is no time at all']),
        ("nftables: {syncPeriod: -5s}\n", ['nftables.syncPeriod: "-5s" is no time at all']),
        ("nftables: {minSyncPeriod: -2s}\n", ['nftables.minSyncPeriod: "-2s" is negative']),
        (
            "nftables: {syncPeriod: 1s, minSyncPeriod: 5s}\n",
            ["nftables.minSyncPeriod: 5s is more than the sync period, 1s"],
        ),
        ("nftables: {minSyncPeriod: 1m}\n", ["nftables.minSyncPeriod: 1m is more than the sync p"]),
        ("detectLocalMode: Guess\n", ['detectLocalMode: "Guess" is not a mode; use ClusterCIDR']),
        ("logging: {format: unsupported}\n", ['logging.format: "unsupported" is not a format']),
        # TS-1354
        ("nftables: {masqueradeBit: -10}\n", [f'nftables.masqueradeBit: "-10" {RANGE32}']),
        ("nftables: {masqueradeBit: 32}\n", [f'nftables.masqueradeBit: "32" {RANGE32}']),
        ("iptables: {masqueradeBit: 32}\n", [f'iptables.masqueradeBit: "32" {RANGE32}']),
        # TS-1355
        ("conntrack: {maxPerCore: -1}\n", [f'conntrack.maxPerCore: "-1" {COUNT}']),
        ("conntrack: {min: -1}\n", [f'conntrack.min: "-1" {COUNT}']),
        ("conntrack: {tcpEstablishedTimeout: -5s}\n", ['.tcpEstablishedTimeout: "-5s" is neg']),
        ("conntrack: {tcpCloseWaitTimeout: -5s}\n", ['.tcpCloseWaitTimeout: "-5s" is negative']),
        ("conntrack: {udpTimeout: -5s}\n", ['conntrack.udpTimeout: "-5s" is negative']),
        ("conntrack: {udpStreamTimeout: -5s}\n", ['conntrack.udpStreamTimeout: "-5s" is negative']),
        ("oomScoreAdj: -1001\n", ['oomScoreAdj: "-1001" is not a number from -1000 to 1000']),
        ("oomScoreAdj: 1001\n", ['oomScoreAdj: "1001" is not a number from -1000 to 1000']),
        # TS-1356
        ("mode: iptables\n", ['mode: "iptables" is not available in this version; use nftables']),
        ("mode: ipvs\n", ['mode: "ipvs" is not available in this version; use nftables']),
        ("mode: kernelspace\n", ['mode: "kernelspace" is not a proxy mode; use nftables']),
        ("mode: non-existing\n", ['mode: "non-existing" is not a proxy mode; use nftables']),
        # TS-1357
        ("clientConnection: {burst: -5}\n", [f'clientConnection.burst: "-5" {COUNT}']),
        # TS-1358
        ("healthzBindAddress: 123.456.789.10:12345\n", ['"123.456.789.10" is not an IP address']),
        ("healthzBindAddress: 10.10.10.10:foo\n", ['"foo" is not a number from 1 to 65535']),
        ("healthzBindAddress: 10.10.10.10:0\n", ['"0" is not a number from 1 to 65535']),
        ("healthzBindAddress: 10.10.10.10:65536\n", ['"65536" is not a number from 1 to 65535']),
        ('healthzBindAddress: "[fd00:1::5]"\n', ['"[fd00:1::5]" is not IP:port']),
        # TS-1359
        ("nodePortAddresses: [foo]\n", [f'nodePortAddresses[0]: "foo" {CIDR}']),
        ("nodePortAddresses: [1.2.3]\n", [f'nodePortAddresses[0]: "1.2.3" {CIDR}; write it as']),
        ('nodePortAddresses: ["0"]\n', [f'nodePortAddresses[0]: "0" {CIDR}']),
        ("nodePortAddresses: [10.20.30.40]\n", ["write it as 10.20.30.40/32"]),
        (
            'nodePortAddresses: ["::0", "::1", "2001:db8::/32"]\n',
            [f'nodePortAddresses[0]: "::0" {CIDR}', f'nodePortAddresses[1]: "::1" {CIDR}'],
        ),
        ('nodePortAddresses: ["2001:db8:xyz/64"]\n', [f'"2001:db8:xyz/64" {CIDR}']),
        ("nodePortAddresses: [primary, 127.0.0.0/8]\n", ["nodePortAddresses[0]: primary and netw"]),
        ("nodePortAddresses: [127.0.0.0/8, primary]\n", ["nodePortAddresses[1]: primary and netw"]),
        # TS-1360
        ("detectLocalMode: BridgeInterface\n", ["detectLocal.bridgeInterface: not set"]),
        ("detectLocalMode: InterfaceNamePrefix\n", ["detectLocal.interfaceNamePrefix: not set"]),
        ("clusterCIDR: 10.0.0.0/8,fd00::/64,10.1.0.0/16\n", ["more than one network of a family"]),
        ("clusterCIDR: 10.0.0.0/8,10.1.0.0/16\n", ["more than one network of a family"]),
        ("clusterCIDR: cidr\n", [f'clusterCIDR: "cidr" {CIDR}']),
        ("clusterCIDR: 10.0.0.0/8,\n", ['clusterCIDR: "10.0.0.0/8," has a comma too many']),
        # spec 60 section 2
        ("showHiddenMetricsForVersion: '1.34'\n", ['"1.34" is not the previous minor version']),
        ("featureGates: {EndpointSlice: true}\n", ['unrecognized feature gate "EndpointSlice"']),
        ("featureGates: {NFTablesProxyMode: false}\n", ["is always on; leave it out"]),
    ],
)
def test_what_kube_proxy_refuses_is_refused_with_a_remedy(
    fields: str, expected: list[str], folder: Folder
) -> None:
    with pytest.raises(InvalidSettings) as caught:
        folder.load(f"{'' if 'mode:' in fields else 'mode: nftables'}\n{fields}")

    messages = caught.value.messages
    assert len(messages) == len(expected)
    for message, part in zip(messages, expected, strict=True):
        assert message.startswith(f"{folder.path}:") and part in message  # noqa: PT018


@pytest.mark.parametrize("flag", ["", "cidr", "10.0.0.0/8,10.1.0.0/16"])
def test_a_cluster_cidr_is_checked_as_a_flag_too(flag: str) -> None:
    """[Q] kube-proxy refuses an empty flag; here it is as good as none."""
    if flag:
        with pytest.raises(InvalidSettings, match="--cluster-cidr: "):
            load_config({"cluster-cidr": flag}, "node-1")
    else:
        assert load_config({"cluster-cidr": flag}, "node-1").cluster_cidrs == ()
