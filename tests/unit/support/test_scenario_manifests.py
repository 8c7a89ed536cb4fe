from __future__ import annotations

import json
from typing import Any

import pytest

from nodeproxy.model.events import Kind
from tests.support.scenarios.manifests import deletion_from, manifests_from
from tests.support.scenarios.mistakes import Mistake


def only(text: str) -> Any:  # noqa: ANN401 (any JSON object)
    (manifest,) = manifests_from(text, 10)
    return json.loads(manifest.text)


def test_version_and_namespace_are_filled_in_by_kind():
    found = only("kind: EndpointSlice\nmetadata: {name: web-1}")

    assert found["apiVersion"] == "discovery.k8s.io/v1"
    assert found["metadata"] == {"name": "web-1", "namespace": "default"}


def test_what_is_written_is_kept():
    found = only(
        "kind: EndpointSlice\n"
        "apiVersion: discovery.k8s.io/v1beta1\n"
        "metadata: {name: web-1, namespace: shop}"
    )

    assert found["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert found["metadata"]["namespace"] == "shop"


def test_a_node_has_no_namespace():
    (manifest,) = manifests_from("kind: Node\nmetadata: {name: lab-node}", 10)

    assert manifest.namespace == ""
    assert "namespace" not in manifest.text


def test_hosts_are_replaced_by_their_addresses():
    found = only(
        "kind: EndpointSlice\n"
        "metadata: {name: web-1}\n"
        "endpoints:\n"
        "- {addresses: [pod-a, pod-a.v6], nodeName: node}\n"
        "- {addresses: [xpod-a]}"
    )

    first, second = found["endpoints"]
    assert first == {"addresses": ["10.244.0.11", "fd00:10:244::11"], "nodeName": "node"}
    assert second == {"addresses": ["xpod-a"]}


def test_names_and_labels_that_look_like_hosts_are_left_alone():
    found = only(
        "kind: Service\nmetadata: {name: client, labels: {app: node}}\n"
        "spec: {ports: [{name: node, port: 80}]}"
    )

    assert found["metadata"]["name"] == "client"
    assert found["metadata"]["labels"] == {"app": "node"}
    assert found["spec"]["ports"] == [{"name": "node", "port": 80}]


def test_scalars_mean_what_they_mean_to_the_agent():
    found = only("kind: Service\nmetadata: {name: web}\nspec: {ports: [{name: yes, port: 0x50}]}")

    assert found["spec"]["ports"] == [{"name": True, "port": 80}]


def test_documents_know_their_lines():
    first, second = manifests_from(
        "kind: Service\nmetadata: {name: a}\n---\nkind: Service\nmetadata: {name: b}\n", 10
    )

    assert (first.line, second.line) == (11, 14)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: Service\nmetadata: {", 13, "did not find expected"),
        ("kind: Service\n\tmetadata: {}", 12, "tab"),
        ("- kind: Service", 11, "not an object"),
        ("metadata: {name: web}", 11, '"None" is no kind'),
        ("kind: Deployment\nmetadata: {name: web}", 11, '"Deployment" is no kind'),
        ("kind: Service\nmetadata: {}", 11, "no name"),
        ("kind: Service\nmetadata: {name: web}\nspec: {clusterip: x}", 11, '"clusterip"'),
        (
            "kind: Service\nmetadata: {name: web}\n---\nkind: Service\nmetadata: {name: web}",
            14,
            "the same object stands on line 11",
        ),
    ],
)
def test_a_manifest_that_is_wrong_is_told(text: str, line: int, message: str):
    with pytest.raises(Mistake, match=message) as raised:
        manifests_from(text, 10)

    assert raised.value.line == line


def test_what_is_deleted_is_named_like_what_was_applied():
    (manifest,) = manifests_from("kind: Service\nmetadata: {name: web, namespace: shop}", 10)

    deletion = deletion_from(20, "Service shop/web")

    assert (deletion.kind, deletion.namespace, deletion.name) == (Kind.SERVICE, "shop", "web")
    assert deletion.file_name == manifest.file_name
