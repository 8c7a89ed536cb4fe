from __future__ import annotations

import msgspec
import pytest

from nodeproxy.config.parse import parse_flags
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Config, ListenAddress, LocalMode
from nodeproxy.errors import ConfigError
from nodeproxy.model.addresses import parse_addr, parse_cidr

NODE, BRIDGE, PREFIX = (
    LocalMode.NODE_CIDR,
    LocalMode.BRIDGE_INTERFACE,
    LocalMode.INTERFACE_NAME_PREFIX,
)


def test_without_flags_everything_has_kube_proxys_default() -> None:
    config = parse_flags({}, "node-1")

    assert config == Config(
        node_name="node-1",
        healthz_bind_address=ListenAddress("0.0.0.0", 10256),
        metrics_bind_address=ListenAddress("127.0.0.1", 10249),
    )


def test_every_flag_reaches_its_setting() -> None:
    texts = {
        "manifests": "examples",
        "hostname-override": "Node-2",
        "proxy-mode": "nftables",
        "cluster-cidr": "10.244.0.0/16",
        "feature-gates": "EndpointSliceProxying=false",
        "nodeport-addresses": "192.168.0.0/24",
        "bind-address": "192.168.0.7",
        "healthz-bind-address": "",
        "metrics-bind-address": "0.0.0.0:9",
        "masquerade-all": "true",
        "iptables-masquerade-bit": "15",
        "v": "4",
    }

    config = parse_flags(texts, "node-1")

    assert msgspec.structs.replace(config, flags={}, origins={}) == Config(
        node_name="node-2",
        manifests="examples",
        cluster_cidrs=(parse_cidr("10.244.0.0/16"),),
        feature_gates=config.feature_gates,
        node_port_addresses=(parse_cidr("192.168.0.0/24"),),
        bind_address=parse_addr("192.168.0.7"),
        healthz_bind_address=None,
        metrics_bind_address=ListenAddress("0.0.0.0", 9),
        masquerade_all=True,
        masquerade_bit=15,
        verbosity=4,
    )
    assert config.feature_gates.explicit == {"EndpointSliceProxying": False}


def test_all_mistakes_are_told_at_once() -> None:
    texts = {"cluster-cidr": "10.0.0", "proxy-mode": "ipvs", "v": "loud"}

    with pytest.raises(InvalidSettings) as caught:
        parse_flags(texts, "node-1")

    assert sorted(caught.value.messages) == [
        '--cluster-cidr: "10.0.0" is not a CIDR; write it as 10.0.0.0/8',
        '--proxy-mode: "ipvs" is not available in this version; use nftables',
        '--v: "loud" is not a number from 0 to 10000',
    ]
    assert isinstance(caught.value, ConfigError)
    assert str(caught.value).count("\n") == 2


def test_an_ipv6_bind_address_moves_the_servers_to_ipv6() -> None:
    config = parse_flags({"bind-address": "fd00::2"}, "node-1")

    assert str(config.healthz_bind_address) == "[::]:10256"
    assert str(config.metrics_bind_address) == "[::1]:10249"


@pytest.mark.parametrize("flag", ["kubeconfig", "master"])
def test_manifests_and_an_api_server_exclude_each_other(flag: str) -> None:
    texts = {"manifests": "examples", flag: "https://example"}

    with pytest.raises(InvalidSettings, match=f"--manifests: cannot be combined with --{flag}"):
        parse_flags(texts, "node-1")


def test_the_name_of_the_host_is_the_name_of_the_node() -> None:
    """CFG-43."""
    assert parse_flags({}, " Host.Example ").node_name == "host.example"


def test_an_empty_override_is_as_good_as_none() -> None:
    assert parse_flags({"hostname-override": ""}, "node-1").node_name == "node-1"


def test_a_blank_override_is_refused() -> None:
    """CFG-43."""
    with pytest.raises(InvalidSettings, match="--hostname-override: the name is blank"):
        parse_flags({"hostname-override": "  "}, "node-1")


def test_a_host_without_name_needs_the_override() -> None:
    with pytest.raises(InvalidSettings, match="give the node's name with --hostname-override"):
        parse_flags({}, "")


class TestLocalDetection:
    """TS-1351, TS-1353, TS-1360: each mode needs one flag and looks at no other."""

    @pytest.mark.parametrize(
        ("texts", "expected"),
        [
            ({}, Config(node_name="n")),
            ({"detect-local-mode": "NodeCIDR"}, Config(node_name="n", detect_local_mode=NODE)),
            (
                {"detect-local-mode": "BridgeInterface", "pod-bridge-interface": "cbr0"},
                Config(node_name="n", detect_local_mode=BRIDGE, pod_bridge_interface="cbr0"),
            ),
            (
                {"detect-local-mode": "InterfaceNamePrefix", "pod-interface-name-prefix": "cali"},
                Config(node_name="n", detect_local_mode=PREFIX, pod_interface_name_prefix="cali"),
            ),
        ],
    )
    def test_every_mode_reaches_its_settings(self, texts: dict[str, str], expected: Config) -> None:
        config = parse_flags(texts, "n")

        assert detection(config) == detection(expected)

    @pytest.mark.parametrize(
        ("mode", "flag"),
        [
            ("BridgeInterface", "pod-bridge-interface"),
            ("InterfaceNamePrefix", "pod-interface-name-prefix"),
        ],
    )
    @pytest.mark.parametrize("given", [True, False])
    def test_a_mode_by_interface_needs_the_interface(
        self, mode: str, flag: str, *, given: bool
    ) -> None:
        texts = {"detect-local-mode": mode} | ({flag: ""} if given else {})

        with pytest.raises(InvalidSettings) as caught:
            parse_flags(texts, "n")

        assert caught.value.messages == (
            f"--{flag}: not set, but --detect-local-mode={mode} needs it",
        )

    def test_what_is_for_other_modes_is_not_looked_at(self) -> None:
        """The peer checks clusterCIDR in mode ClusterCIDR only; a DaemonSet may still have it."""
        texts = {
            "detect-local-mode": "NodeCIDR",
            "cluster-cidr": "nonsense",
            "pod-bridge-interface": "cbr0",
        }

        config = parse_flags(texts, "n")

        assert (config.cluster_cidrs, config.pod_bridge_interface) == ((), "")
        assert config.unused == ("clusterCIDR", "detectLocal.bridgeInterface")

    def test_a_wrong_mode_is_told_with_the_flag(self) -> None:
        with pytest.raises(InvalidSettings, match='--detect-local-mode: "Guess" is not a mode'):
            parse_flags({"detect-local-mode": "Guess"}, "n")


def detection(config: Config) -> tuple[object, ...]:
    return (
        config.detect_local_mode,
        config.cluster_cidrs,
        config.pod_bridge_interface,
        config.pod_interface_name_prefix,
        config.unused,
    )
