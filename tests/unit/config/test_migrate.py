from __future__ import annotations

import pytest

from nodeproxy.config.load import load_config
from nodeproxy.config.migrate import migrated
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Config
from tests.unit.config.texts import HEAD, KUBEADM, Folder


def migrate(folder: Folder, **flags: str) -> tuple[str, Config]:
    """The new file, and what it means."""
    texts = {name.replace("_", "-"): text for name, text in flags.items()}
    text = migrated(texts, "node-1")
    folder.path.write_text(text)
    return text, load_config({"config": str(folder.path)}, "node-1")


def lines(text: str) -> list[str]:
    """Without comments and blank lines."""
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def test_the_file_of_kubeadm_becomes_what_is_chosen_in_it(folder: Folder) -> None:
    text, _ = migrate(folder, config=str(KUBEADM))

    assert lines(text) == [
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        "kind: KubeProxyConfiguration",
        "clientConnection:",
        "  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf",
        "mode: nftables",
        "clusterCIDR: 10.244.0.0/16",
    ]


def test_flags_become_fields_with_comments(folder: Folder) -> None:
    text, config = migrate(folder, masquerade_all="true", conntrack_min="5", v="2")

    assert lines(text)[2:] == [
        "mode: nftables",
        "nftables:",
        "  masqueradeAll: true",
        "conntrack:",
        "  min: 5",
        "logging:",
        "  verbosity: 2",
    ]
    assert "  # Masquerade all traffic to ClusterIPs (was --masquerade-all).\n" in text
    assert (config.masquerade_all, config.conntrack.min, config.verbosity) == (True, 5, 2)


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_a_mode_that_is_not_to_be_had_becomes_nftables(mode: str, folder: Folder) -> None:
    text, config = migrate(folder, proxy_mode=mode, iptables_masquerade_bit="3")

    assert f"It was {mode}, which is not to be had." in text
    assert (config.proxy_mode, config.masquerade_bit) == ("nftables", 3)


def test_the_section_of_the_old_mode_is_what_counts(folder: Folder) -> None:
    """kube-proxy never looked into that of nftables."""
    old = folder.path.with_name("old.yaml")
    old.write_text(
        f"{HEAD}mode: iptables\niptables: {{masqueradeAll: true}}\nnftables: {{masqueradeBit: 3}}\n"
    )

    _, config = migrate(folder, config=str(old))

    assert (config.masquerade_all, config.masquerade_bit) == (True, 14)


def test_what_kube_proxy_does_not_know_goes_into_the_second_document(folder: Folder) -> None:
    text, config = migrate(
        folder,
        manifests="/srv",
        metrics_bind_address="",
        feature_gates="EndpointSliceProxying=false",
    )

    assert lines(text)[3:] == [
        "---",
        "apiVersion: nodeproxy.config/v1alpha1",
        "kind: NodeproxyConfiguration",
        "manifests: /srv",
        "featureGates:",
        "  EndpointSliceProxying: false",
        "metricsServer: false",
    ]
    assert (config.manifests, config.metrics_bind_address) == ("/srv", None)


def test_what_is_left_out_is_told_at_the_end(folder: Folder) -> None:
    text, config = migrate(folder, ipvs_scheduler="rr", config_sync_period="5m")

    assert text.endswith(
        "\n# Left out, or to be looked at:\n"
        "#   --config-sync-period: no effect here: a watch that works needs no periodic refresh\n"
        "#   --ipvs-scheduler: no effect here: there is no IPVS mode\n"
    )
    assert config.remarks == ()


def test_zero_that_was_chosen_is_kept(folder: Folder) -> None:
    text, config = migrate(folder, conntrack_max_per_core="0", oom_score_adj="0")

    assert "  maxPerCore: 0" in lines(text)
    assert (config.conntrack.max_per_core, config.oom_score_adj) == (None, 0)


def test_a_mistake_is_told_and_nothing_is_written() -> None:
    with pytest.raises(InvalidSettings, match="--cluster-cidr: "):
        migrated({"cluster-cidr": "nonsense", "proxy-mode": "iptables"}, "node-1")


def test_a_mode_that_never_was_is_a_mistake() -> None:
    with pytest.raises(InvalidSettings, match='--proxy-mode: "userspace" is not a proxy mode'):
        migrated({"proxy-mode": "userspace"}, "node-1")
