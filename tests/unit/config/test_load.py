"""Which of flags, file and defaults counts (CFG-5, CFG-6, CFG-43)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy.config.load import UnreadableFile, load_config
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Config, LocalMode, Origin, OriginKind
from nodeproxy.model.addresses import parse_cidr
from tests.unit.config.texts import KUBEADM, Folder


def warnings(config: Config) -> list[str]:
    return [remark.text for remark in config.remarks if remark.is_warning]


def notes(config: Config) -> list[str]:
    return [remark.text for remark in config.remarks if not remark.is_warning]


def test_the_configmap_of_kubeadm_works_unchanged() -> None:
    config = load_config({"config": str(KUBEADM)}, "node-1")

    flags_alone = load_config(
        {
            "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf",
            "cluster-cidr": "10.244.0.0/16",
        },
        "node-1",
    )
    assert values(config) == values(flags_alone)
    assert config.remarks == ()


def values(config: Config) -> dict[str, object]:
    told = {"origins", "flags", "config_file", "remarks", "unused"}
    names = set(config.__struct_fields__) - told
    return {name: getattr(config, name) for name in names}


def test_a_file_with_nothing_in_it_gives_the_defaults(folder: Folder) -> None:
    """TS-1305."""
    assert values(folder.load("")) == values(load_config({}, "node-1"))


def test_a_file_counts_alone_and_the_flags_it_replaces_are_named(folder: Folder) -> None:
    """TS-1305: kube-proxy ignores them silently."""
    config = folder.load(
        "clusterCIDR: 10.0.0.0/8\n", cluster_cidr="192.168.0.0/16", bind_address="10.0.0.1"
    )

    assert config.cluster_cidrs == (parse_cidr("10.0.0.0/8"),)
    assert config.bind_address is None
    assert warnings(config) == [
        "--cluster-cidr, --bind-address: ignored, because --config is given; "
        f"set it in {folder.path}"
    ]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("  bar ", "bar"), ("Bar", "bar"), ("", "foo")],
)
def test_the_flag_for_the_name_of_the_node_wins(flag: str, expected: str, folder: Folder) -> None:
    """TS-1303; an empty flag is as good as none."""
    config = folder.load("hostnameOverride: foo\n", hostname_override=flag)

    assert (config.node_name, warnings(config)) == (expected, [])


def test_the_name_of_the_node_may_stand_in_the_file(folder: Folder) -> None:
    """TS-1303."""
    assert folder.load("hostnameOverride: Foo\n").node_name == "foo"


def test_a_blank_name_in_the_file_is_refused(folder: Folder) -> None:
    with pytest.raises(InvalidSettings, match=r"np\.yaml:3: hostnameOverride: the name is"):
        folder.load('hostnameOverride: "  "\n')


def test_flags_about_logs_win(folder: Folder) -> None:
    """TS-1305."""
    file = "logging: {verbosity: 2, format: json}\n"

    config = folder.load(file, v="7")

    assert (config.verbosity, config.log_format) == (7, "json")
    assert warnings(config) == []


def test_logs_may_be_set_in_the_file(folder: Folder) -> None:
    """TS-1305."""
    assert folder.load("logging: {verbosity: 2}\n").verbosity == 2


def test_flags_without_a_field_in_kube_proxys_file_count_beside_it(folder: Folder) -> None:
    config = folder.load(
        "mode: nftables\n", master="https://10.0.0.1:6443", conntrack_clean_tcp="true"
    )

    assert (config.master, config.conntrack.cleans_tcp) == ("https://10.0.0.1:6443", True)
    assert warnings(config) == []


def test_our_own_section_counts_and_its_flags_win(folder: Folder) -> None:
    own = "manifests: /srv/a\ncleanTCPFlows: true\n"

    config = folder.load("", own, manifests="/srv/b")

    assert (config.manifests, config.conntrack.cleans_tcp) == ("/srv/b", True)


def test_feature_gates_of_both_documents_count(folder: Folder) -> None:
    config = folder.load(
        "featureGates: {AllowServiceExternalIPs: false}\n",
        "featureGates: {EndpointSliceProxying: false}\n",
    )

    assert config.feature_gates.explicit == {
        "AllowServiceExternalIPs": False,
        "EndpointSliceProxying": False,
    }


def test_a_wrong_gate_is_told_with_its_own_line(folder: Folder) -> None:
    gates = "featureGates:\n  AllowServiceExternalIPs: true\n  EndpointSliceProxyin: false\n"

    with pytest.raises(InvalidSettings) as caught:
        folder.load("mode: nftables\n", gates)

    assert caught.value.messages == (
        f"{folder.path}:9: featureGates.EndpointSliceProxyin: unrecognized feature gate "
        '"EndpointSliceProxyin"; did you mean EndpointSliceProxying?',
    )


@pytest.mark.parametrize("server", ["healthServer", "metricsServer"])
def test_a_server_is_switched_off_in_our_section(server: str, folder: Folder) -> None:
    config = folder.load("healthzBindAddress: 0.0.0.0:1\n", f"{server}: false\n")

    addresses = {
        "healthServer": config.healthz_bind_address,
        "metricsServer": config.metrics_bind_address,
    }
    assert [name for name, address in addresses.items() if address is None] == [server]


def test_an_empty_address_in_a_file_is_the_default(folder: Folder) -> None:
    """CFG-21: kubeadm writes one."""
    config = folder.load('healthzBindAddress: ""\nmetricsBindAddress: ""\n')

    assert str(config.healthz_bind_address) == "0.0.0.0:10256"
    assert str(config.metrics_bind_address) == "127.0.0.1:10249"


class TestSections:
    """TS-1301, TS-1304: each mode has a section of its own."""

    def test_the_section_of_the_mode_counts(self, folder: Folder) -> None:
        config = folder.load(
            "mode: nftables\n"
            "nftables: {masqueradeAll: true, masqueradeBit: 3, syncPeriod: 9s, minSyncPeriod: 2s}\n"
        )

        assert (config.masquerade_all, config.masquerade_bit) == (True, 3)
        assert (config.sync_period_seconds, config.min_sync_period_seconds) == (9.0, 2.0)

    def test_the_section_of_another_mode_is_told_to_have_no_effect(self, folder: Folder) -> None:
        config = folder.load("mode: nftables\niptables: {masqueradeAll: true, syncPeriod: 9s}\n")

        assert (config.masquerade_all, config.sync_period_seconds) == (False, 30.0)
        assert [text.split(": ", 1)[1] for text in warnings(config)] == [
            "iptables.masqueradeAll: no effect here: the mode is nftables, where "
            "nftables.masqueradeAll counts",
            "iptables.syncPeriod: no effect here: the mode is nftables, where nftables.syncPeriod "
            "counts",
        ]

    def test_the_section_of_another_mode_may_say_the_same(self, folder: Folder) -> None:
        """Files that kube-proxy has written hold the defaults of every mode."""
        config = folder.load("mode: nftables\niptables: {masqueradeBit: 14, syncPeriod: 30s}\n")

        assert config.remarks == ()

    def test_the_section_of_another_mode_is_checked_all_the_same(self, folder: Folder) -> None:
        with pytest.raises(InvalidSettings, match=r"iptables\.masqueradeBit: \"32\" is not a num"):
            folder.load("mode: nftables\niptables: {masqueradeBit: 32}\n")

    def test_of_a_wrong_mode_only_the_mode_is_told(self, folder: Folder) -> None:
        with pytest.raises(InvalidSettings) as caught:
            folder.load("mode: ipvs\niptables: {masqueradeAll: true, syncPeriod: 9s}\n")

        assert len(caught.value.messages) == 1
        assert caught.value.remarks == ()

    def test_without_a_mode_what_was_meant_for_iptables_stays_in_force(
        self, folder: Folder
    ) -> None:
        """An empty mode is iptables to kube-proxy."""
        config = folder.load(
            'mode: ""\n'
            "iptables: {masqueradeAll: true, minSyncPeriod: 5s, masqueradeBit: 9}\n"
            "nftables: {masqueradeAll: false, minSyncPeriod: 1s}\n"
        )

        assert (config.masquerade_all, config.masquerade_bit) == (True, 9)
        assert config.min_sync_period_seconds == 1.0

    @pytest.mark.parametrize(
        ("flag", "expected"), [("iptables-sync-period", 9.0), ("ipvs-sync-period", 30.0)]
    )
    def test_the_flags_of_the_iptables_mode_are_for_every_mode(
        self, flag: str, expected: float
    ) -> None:
        """CFG-4, TS-1304."""
        assert load_config({flag: "9s"}, "node-1").sync_period_seconds == expected


class TestPorts:
    """TS-1306: kube-proxy's deprecated flags."""

    @pytest.mark.parametrize(
        ("address", "port", "expected"),
        [
            ("1.2.3.4", "12345", "1.2.3.4:12345"),
            ("1.2.3.4:23456", "12345", "1.2.3.4:23456"),
            ("fd00:1::5", "12345", "[fd00:1::5]:12345"),
            ("[fd00:1::5]:23456", "12345", "[fd00:1::5]:23456"),
            (None, "12345", "0.0.0.0:12345"),
            ("1.2.3.4:23456", "0", "None"),
            (None, "0", "None"),
        ],
    )
    def test_a_port_is_put_where_the_address_has_none(
        self, address: str | None, port: str, expected: str
    ) -> None:
        texts = {"healthz-port": port} | ({"healthz-bind-address": address} if address else {})

        config = load_config(texts, "node-1")

        assert str(config.healthz_bind_address) == expected
        assert notes(config) == ["--healthz-port: deprecated; give the port with the address"]

    def test_an_address_in_brackets_without_port_is_refused(self) -> None:
        """CFG-8."""
        with pytest.raises(InvalidSettings, match="is not IP:port"):
            load_config({"healthz-port": "1", "healthz-bind-address": "[fd00:1::5]"}, "node-1")

    @pytest.mark.parametrize("port", ["-1", "65536", "x"])
    def test_a_port_is_a_number(self, port: str) -> None:
        with pytest.raises(InvalidSettings, match=r"--metrics-port: .* is not a number from 0 to"):
            load_config({"metrics-port": port}, "node-1")

    def test_beside_a_file_they_do_not_count(self, folder: Folder) -> None:
        """CFG-6."""
        config = folder.load("", healthz_port="5", metrics_port="0")

        assert str(config.healthz_bind_address) == "0.0.0.0:10256"
        assert str(config.metrics_bind_address) == "127.0.0.1:10249"
        assert warnings(config)[0].startswith("--healthz-port, --metrics-port: ignored")


def test_every_value_knows_where_it_came_from(folder: Folder) -> None:
    config = folder.load("clusterCIDR: 10.0.0.0/8\nnftables:\n  masqueradeBit: 3\n", v="2")

    assert config.origins == {
        "clusterCIDR": Origin(OriginKind.FILE, path=str(folder.path), line=3),
        "nftables.masqueradeBit": Origin(OriginKind.FILE, path=str(folder.path), line=5),
        "logging.verbosity": Origin(OriginKind.FLAG, flag="--v"),
    }
    assert set(map(str, config.origins.values())) == {
        "flag --v",
        f"{folder.path}:3",
        f"{folder.path}:5",
    }


def test_mistakes_of_file_and_flags_come_together_in_the_order_of_lines(folder: Folder) -> None:
    with pytest.raises(InvalidSettings) as caught:
        folder.load("oomScoreAdj: 2000\nmode: ipvs\nbindAddress: 3\nclusterCidr: x\n", v="loud")

    assert [message.split(" ")[0] for message in caught.value.messages] == [
        "--v:",
        f"{folder.path}:3:",
        f"{folder.path}:4:",
        f"{folder.path}:5:",
    ]
    assert [remark.text.split(":")[1] for remark in caught.value.remarks] == ["6"]


def test_a_mode_by_interface_names_the_file_where_the_interface_is_missing(
    folder: Folder,
) -> None:
    """TS-1360."""
    with pytest.raises(InvalidSettings) as caught:
        folder.load("mode: nftables\ndetectLocalMode: BridgeInterface\n")

    assert caught.value.messages == (
        f"{folder.path}: detectLocal.bridgeInterface: not set, but detectLocalMode: "
        "BridgeInterface on line 4 needs it",
    )


def test_what_is_for_another_local_mode_is_not_looked_at(folder: Folder) -> None:
    config = folder.load("detectLocalMode: NodeCIDR\nclusterCIDR: nonsense\n")

    assert config.detect_local_mode is LocalMode.NODE_CIDR
    assert (config.cluster_cidrs, config.unused) == ((), ("clusterCIDR",))


def test_manifests_and_the_kubeconfig_of_the_file_exclude_each_other(folder: Folder) -> None:
    with pytest.raises(InvalidSettings) as caught:
        folder.load("clientConnection: {kubeconfig: /k}\n", manifests="/srv")

    assert caught.value.messages == (
        f"--manifests: cannot be combined with {folder.path}:3: clientConnection.kubeconfig; "
        "manifests take the API server's place",
    )


def test_a_file_that_cannot_be_opened_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "missing.yaml"

    with pytest.raises(UnreadableFile) as caught:
        load_config({"config": str(path)}, "node-1")

    assert str(caught.value) == (
        f"{path}: No such file or directory; name a readable file with --config"
    )


def test_an_empty_flag_for_the_file_is_as_good_as_none() -> None:
    assert load_config({"config": ""}, "node-1").config_file == ""


def test_loading_again_with_the_flags_of_before_sees_the_new_file(folder: Folder) -> None:
    before = folder.load("clusterCIDR: 10.0.0.0/8\n", v="3")
    folder.path.write_text(folder.path.read_text().replace("10.0", "10.1"))

    after = load_config(before.flags, before.node_name)

    assert after.cluster_cidrs == (parse_cidr("10.1.0.0/8"),)
    assert after.verbosity == 3
