"""From the bytes of a file to its content: what is used, refused, ignored."""

from __future__ import annotations

import json

import pytest

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import EndpointSlice, Service, ServiceCIDR
from nodeproxy.sources.manifests.content import Content, ObjectKey, Place
from nodeproxy.sources.manifests.decode import FileDecoder
from tests.unit.sources.manifests.texts import documents, endpoints_text, service_text, slice_text


def decode(text: str, file: str = "m/web.yaml", unread: frozenset[Kind] = frozenset()) -> Content:
    return FileDecoder("node-1", unread).decode(file, text.encode())


def names(content: Content) -> list[str]:
    return [manifest.key.name for manifest in content.manifests]


def refusals(content: Content) -> list[tuple[int, str, str]]:
    return [(refusal.line, refusal.field, refusal.reason) for refusal in content.refusals]


def remarks(content: Content) -> list[str]:
    return [str(remark.problem) for remark in content.remarks]


def test_every_kind_is_read_with_its_place_and_namespace():
    text = documents(
        service_text(),
        slice_text(),
        endpoints_text(),
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\n",
    )

    content = decode(text)

    assert [(m.key, m.place.line) for m in content.manifests] == [
        (ObjectKey(Kind.SERVICE, "default", "web"), 1),
        (ObjectKey(Kind.ENDPOINT_SLICE, "default", "web-1"), 10),
        (ObjectKey(Kind.ENDPOINTS, "default", "web"), 21),
        (ObjectKey(Kind.NODE, "", "node-1"), 31),
    ]
    assert content.manifests[0].object.metadata.namespace == "default"
    assert (content.refusals, content.remarks) == ((), ())


def test_service_cidrs_are_read_and_have_no_namespace():
    """EP-3: all of them, whatever their labels say."""
    text = (
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\n"
        'metadata: {name: kubernetes, labels: {service.kubernetes.io/headless: ""}}\n'
        "spec: {cidrs: [10.96.0.0/16]}\n"
    )

    (manifest,) = decode(text).manifests

    assert manifest.key == ObjectKey(Kind.SERVICE_CIDR, "", "kubernetes")
    assert isinstance(manifest.object, ServiceCIDR)


def test_old_slices_are_read_like_new_ones():
    content = decode(slice_text().replace("k8s.io/v1", "k8s.io/v1beta1"))

    assert isinstance(content.manifests[0].object, EndpointSlice)


@pytest.mark.parametrize("file", ["m/list.yaml", "m/list.json"])
def test_list_gives_its_items_with_their_own_lines(file: str):
    items = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        for name, spec in (("a", {"clusterIP": "10.96.0.1"}), ("b", {"clusterIP": "10.96.0.2"}))
    ]
    value = {"apiVersion": "v1", "kind": "List", "items": items}

    content = decode(json.dumps(value, indent=1), file)

    assert [(m.key.name, m.place) for m in content.manifests] == [
        ("a", Place(file, 5)),
        ("b", Place(file, 15)),
    ]


def test_items_of_a_typed_list_need_not_say_their_kind():
    value = {
        "apiVersion": "v1",
        "kind": "ServiceList",
        "items": [{"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.0.1"}}],
    }

    content = decode(json.dumps(value), "m/list.json")

    assert isinstance(content.manifests[0].object, Service)


def test_only_the_own_node_is_used():
    content = decode("apiVersion: v1\nkind: Node\nmetadata: {name: node-2}\n")

    assert content == Content()


@pytest.mark.parametrize(
    "text",
    [
        service_text(cluster_ip="None"),
        service_text().replace(
            "name: web", 'name: web\n  labels: {service.kubernetes.io/service-proxy-name: ""}'
        ),
        slice_text().replace("name: web}", 'name: web, service.kubernetes.io/headless: ""}'),
        endpoints_text().replace(
            "name: web", 'name: web\n  labels: {service.kubernetes.io/headless: ""}'
        ),
    ],
)
def test_objects_that_a_watch_would_not_select_are_left_out_silently(text: str):
    assert decode(text) == Content()


def test_wrong_type_is_refused_with_its_line_and_the_rest_goes_on():
    text = documents(service_text(port="http"), service_text("other"))

    content = decode(text)

    assert names(content) == ["other"]
    assert refusals(content) == [
        (8, "spec.ports[0].port", 'must be a whole number, not "http"'),
    ]


def test_wrong_type_in_json_has_its_line_too():
    value = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": 5}}

    content = decode(json.dumps(value, indent=1), "m/a.json")

    assert refusals(content) == [(8, "spec.ports", "must be a list, not 5")]


def test_number_for_a_label_is_told_to_be_put_in_quotes():
    text = service_text().replace("name: web", "name: web\n  labels: {app: web, version: 2}")

    content = decode(text)

    assert refusals(content) == [
        (5, 'metadata.labels["version"]', "must be text, not 2; write it in quotes")
    ]


def test_missing_address_is_refused_at_the_spec():
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{port: 80}]\n"

    content = decode(text)

    assert [(line, field) for line, field, _ in refusals(content)] == [(4, "spec.clusterIP")]


def test_problem_of_a_refusal_names_file_line_object_and_consequence():
    content = decode(service_text(port="http"))

    problem = content.refusals[0].problem("is ignored")

    assert str(problem) == (
        "m/web.yaml:8: Service default/web: spec.ports[0].port: must be a whole number, "
        'not "http"; the object (it starts on line 1) is ignored'
    )


@pytest.mark.parametrize(
    ("text", "line", "remark"),
    [
        ("a: 1\n", 1, "kind: missing; is this a Kubernetes object?; the object is ignored"),
        ("5\n", 1, "must be a mapping, not 5; the object is ignored"),
        (
            "kind: Service\n",
            1,
            "apiVersion: missing; write it as an API server shows it for a Service; "
            "the object is ignored",
        ),
        ("apiVersion: v1\nkind: Service\n", 1, "metadata.name: missing; the object is ignored"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n",
            3,
            "metadata.name: must be text, not 5; write it in quotes; the object is ignored",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: My Web}\n",
            3,
            'metadata.name: "My Web" is not a name; use at most 253 lower-case letters, digits, '
            '"-" and "."; the object is ignored',
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: ../etc}\n",
            3,
            'metadata.namespace: "../etc" is not a name; use at most 253 lower-case letters, '
            'digits, "-" and "."; the object is ignored',
        ),
    ],
)
def test_object_that_does_not_say_what_it_is_is_a_stranger(text: str, line: int, remark: str):
    content = decode(f"{text}---\n{service_text('other')}")

    assert remarks(content) == [f"m/web.yaml:{line}: {remark}"]
    assert content.has_strangers
    assert names(content) == ["other"]


def test_other_kinds_are_harmless_and_ignored():
    text = documents(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n",
    )

    content = decode(text)

    assert remarks(content) == [
        "m/web.yaml:1: Deployment (apps/v1) is not used here; all of this kind are ignored",
        "m/web.yaml:5: Service (serving.knative.dev/v1) is not used here; "
        "all of this kind are ignored",
    ]
    assert all(remark.is_harmless for remark in content.remarks)


def test_kind_the_operator_chose_against_is_ignored_with_the_reason():
    content = decode(endpoints_text(), unread=frozenset({Kind.ENDPOINTS}))

    assert content.manifests == ()
    assert "EndpointSliceProxying chooses otherwise" in remarks(content)[0]


def test_node_port_without_a_number_is_remarked_and_the_service_used():
    content = decode(service_text().replace("spec:", "spec:\n  type: NodePort"))

    assert names(content) == ["web"]
    assert remarks(content)[0].startswith(
        "m/web.yaml:1: Service default/web: spec.ports[0].nodePort: not set"
    )
