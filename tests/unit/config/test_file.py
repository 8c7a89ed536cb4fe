"""CFG-20, CFG-21: what a configuration file may look like."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given as for_any
from hypothesis import strategies

from nodeproxy.config.fields import PEER_FIELDS
from nodeproxy.config.file import read_file
from nodeproxy.config.given import Given
from nodeproxy.config.parse import parse_givens
from nodeproxy.config.reader import InvalidSettings
from tests.unit.config.texts import HEAD, OWN_HEAD


def mistakes(text: str) -> list[str]:
    return list(read_file(text.encode(), "np.yaml").mistakes)


def warnings(text: str) -> list[str]:
    content = read_file(text.encode(), "np.yaml")
    assert content.mistakes == ()
    assert all(remark.is_warning for remark in content.remarks)
    return [remark.text for remark in content.remarks]


def givens(text: str) -> dict[str, str]:
    content = read_file(text.encode(), "np.yaml")
    assert content.mistakes == ()
    return {given.name: given.text for given in content.givens}


def test_a_value_is_known_by_its_field_and_its_line() -> None:
    content = read_file(f"{HEAD}conntrack:\n  min: 5\n".encode(), "np.yaml")

    (given,) = content.givens
    assert (given.name, given.text, given.label) == (
        "conntrack.min",
        "5",
        "np.yaml:4: conntrack.min",
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("mode: nftables", "nftables"),
        ("bindAddressHardFail: true", "true"),
        ("clientConnection: {qps: 2.5}", "2.5"),
        ("configSyncPeriod: 5m", "5m"),
        ("nodePortAddresses: [10.0.0.0/8, '::/0']", "10.0.0.0/8,::/0"),
        ("featureGates: {A: true, B: false}", "A=true,B=false"),
        ("oomScoreAdj: 0", "0"),
        ("conntrack: {tcpEstablishedTimeout: 0s}", "0s"),
        ("iptables: {localhostNodePorts: false}", "false"),
        ("iptables: {masqueradeBit: 0}", "0"),
    ],
)
def test_every_shape_is_read(field: str, text: str) -> None:
    assert list(givens(f"{HEAD}{field}\n").values()) == [text]


@pytest.mark.parametrize(
    "field",
    [
        'mode: ""',
        "mode: null",
        "bindAddressHardFail: false",
        "clientConnection: {qps: 0, burst: 0}",
        "clientConnection: null",
        "configSyncPeriod: 0s",
        "configSyncPeriod: 0",
        "configSyncPeriod: 0h0m",
        "nodePortAddresses: []",
        "nodePortAddresses: null",
        "featureGates: {}",
        "oomScoreAdj: null",
        "conntrack: {udpTimeout: 0s, min: null}",
        "nftables: {minSyncPeriod: 0s}",
        'logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}}}',
        "ipvs: {excludeCIDRs: null, strictARP: false}",
        'winkernel: {networkName: ""}',
    ],
)
def test_zero_stands_for_the_default(field: str) -> None:
    """CFG-21."""
    assert givens(f"{HEAD}{field}\n") == {}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("hostnameOverride: 123", 'hostnameOverride: 123 is not text; write it in quotes, "123"'),
        ("mode: [nftables]", "mode: a mapping or a list stands here; write text"),
        (
            'bindAddressHardFail: "true"',
            'bindAddressHardFail: "true" is not a boolean; write true or false, without quotes',
        ),
        (
            'oomScoreAdj: "1"',
            'oomScoreAdj: "1" is not a whole number; write it as digits, without quotes',
        ),
        ("oomScoreAdj: 1.5", "oomScoreAdj: 1.5 is not a whole number"),
        ("oomScoreAdj: true", "oomScoreAdj: true is not a whole number"),
        ("clientConnection: {qps: x}", 'clientConnection.qps: "x" is not a number'),
        ("configSyncPeriod: 30", "configSyncPeriod: 30 is not a duration; write it as 30s"),
        ("nodePortAddresses: primary", "nodePortAddresses: not a list; write [] for none"),
        ("nodePortAddresses: [1]", "nodePortAddresses[0]: not text; write it in quotes"),
        ("nodePortAddresses: ['']", "nodePortAddresses[0]: blank; take it out"),
        ("featureGates: [A]", "featureGates: not a mapping of names to true or false"),
        ("featureGates: {A: 1}", "featureGates.A: not a boolean; write true or false"),
        ("conntrack: 3", "conntrack: not a mapping; its fields stand below it"),
    ],
)
def test_a_wrong_type_is_told_with_the_remedy(field: str, message: str) -> None:
    (found,) = mistakes(f"{HEAD}{field}\n")

    assert found.startswith(f"np.yaml:3: {message}")


def test_all_mistakes_are_collected() -> None:
    found = mistakes(f"{HEAD}oomScoreAdj: x\nconntrack:\n  min: x\n  max: 1\n")

    assert [text.split(": ")[:2] for text in found] == [
        ["np.yaml:3", "oomScoreAdj"],
        ["np.yaml:5", "conntrack.min"],
    ]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("clusterCidr: x", "did you mean clusterCIDR?"),
        ("masqueradeAll: true", "did you mean iptables.masqueradeAll or nftables.masqueradeAll?"),
        ("maxPerCore: 3", "did you mean conntrack.maxPerCore?"),
        ("healthBindAddress: x", "did you mean healthzBindAddress?"),
        ("manifests: x", "it belongs into a second document of kind NodeproxyConfiguration"),
        ("zzz: {a: 1}", "take it out"),
    ],
)
def test_an_unknown_field_is_a_warning_with_a_guess(field: str, hint: str) -> None:
    """TS-1301."""
    (warning,) = warnings(f"{HEAD}{field}\n")

    assert warning.startswith("np.yaml:3: ")
    assert warning.endswith(f"unknown field, ignored; {hint}")


def test_a_field_that_stands_twice_is_a_warning_and_the_last_counts() -> None:
    """TS-1301."""
    text = f"{HEAD}mode: iptables\nmode: nftables\n"

    assert warnings(text) == ["np.yaml:4: mode: stands twice, first on line 3; the last counts"]
    assert givens(text) == {"mode": "nftables"}


def test_the_last_of_equal_fields_counts_also_if_it_is_the_default() -> None:
    assert givens(f'{HEAD}clusterCIDR: 10.0.0.0/8\nclusterCIDR: ""\n') == {}


def test_our_own_settings_stand_in_a_second_document() -> None:
    text = f"{HEAD}mode: nftables\n{OWN_HEAD}manifests: /srv\nhealthServer: false\n"

    assert givens(text) == {"mode": "nftables", "manifests": "/srv", "healthServer": "false"}


def test_a_second_document_of_the_same_kind_is_passed_over() -> None:
    text = f"{HEAD}mode: nftables\n---\n{HEAD}mode: iptables\n"

    (warning,) = warnings(text)
    assert warning == "np.yaml:5: ignored, the KubeProxyConfiguration on line 1 counts"
    assert givens(text) == {"mode": "nftables"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "np.yaml: no KubeProxyConfiguration; a file begins with apiVersion: "),
        ("- a\n", "np.yaml:1: not a mapping of fields; no KubeProxyConfiguration; "),
        ("just text\n", "np.yaml:1: not a mapping of fields; "),
        ("a: b: c\n", "np.yaml:1: mapping values are not allowed in this context; put text with "),
        (f"{HEAD}bindAddress: ::\n", "np.yaml:3: mapping values are not allowed"),
        ("\tmode: x\n", "np.yaml:1: "),
        ("mode: x\n", "np.yaml:1: kind: missing; "),
        ("kind: Pod\n", 'np.yaml:1: kind: "Pod" is no configuration; write KubeProxyConfigur'),
        ("kind: KubeproxyConfiguration\n", "np.yaml:1: kind: "),
        ("kind: ConfigMap\n", 'np.yaml:1: kind: "ConfigMap" holds configuration files and is none'),
        ("kind: KubeProxyConfiguration\n", "np.yaml:1: apiVersion: missing; write kubeproxy."),
        (
            "kind: KubeProxyConfiguration\napiVersion: v1\n",
            'np.yaml:2: apiVersion: "v1" is not known for KubeProxyConfiguration; write kubeproxy.',
        ),
        (OWN_HEAD, "np.yaml: no KubeProxyConfiguration; "),
    ],
)
def test_what_is_no_configuration_is_told_with_what_is_missing(text: str, message: str) -> None:
    """TS-1302."""
    found = mistakes(text)

    assert len(found) == 1
    assert found[0].startswith(message)


def test_a_file_that_is_no_text_is_told() -> None:
    content = read_file(b"mode: \xff\n", "np.yaml")

    assert content.mistakes == ("np.yaml:1: not UTF-8 text; save the file as UTF-8",)


def test_json_is_a_configuration_file_too() -> None:
    text = '{"kind": "KubeProxyConfiguration",\n"apiVersion": '
    text += '"kubeproxy.config.k8s.io/v1alpha1",\n"mode": "nftables"}'

    assert givens(text) == {"mode": "nftables"}


FIELDS = sorted(PEER_FIELDS)
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.text(max_size=9),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@for_any(strategies.binary(max_size=60))
def test_no_bytes_are_more_than_a_mistake(data: bytes) -> None:
    content = read_file(HEAD.encode() + data, "np.yaml")

    assert all(text.startswith("np.yaml") for text in content.mistakes)


@for_any(strategies.sampled_from(FIELDS), VALUES)
def test_no_value_is_more_than_a_mistake(field: str, value: object) -> None:
    *sections, leaf = field.split(".")
    document: object = {leaf: value}
    for section in reversed(sections):
        document = {section: document}

    content = read_file(HEAD.encode() + yaml.safe_dump(document).encode(), "np.yaml")

    assert len(content.givens) <= 1
    assert all(text.startswith("np.yaml") for text in judged(content.givens))


def judged(givens: Sequence[Given]) -> tuple[str, ...]:
    """The mistakes in what was given."""
    try:
        parse_givens(givens, "node-1", "np.yaml")
    except InvalidSettings as exc:
        return exc.messages
    return ()
