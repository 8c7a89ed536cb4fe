"""Objects in a scenario: ordinary YAML, in which hosts of the world may stand by name.

The text is read by the agent's own reader, so a scalar means here what it means to the agent.
Only the identity of an object is checked and filled in; everything else is the agent's to judge.
A key that neither the agent nor Kubernetes knows is taken for a typing error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from nodeproxy.documents.text import BrokenText
from nodeproxy.model import wire
from nodeproxy.model.addresses import format_addr
from nodeproxy.model.events import Kind
from nodeproxy.sources.manifests.decode import KINDS
from nodeproxy.sources.manifests.text import RawObject
from nodeproxy.sources.manifests.yamltext import parse_yaml
from tests.support.scenarios.mistakes import Mistake
from tests.support.scenarios.model import Deletion, Manifest
from tests.support.scenarios.world import NAMES

_CLUSTER_SCOPED = ("Node", "ServiceCIDR")
_NOT_ADDRESSES = frozenset({"metadata", "name", "nodeName", "kind", "hostname", "topology"})
"""Keys below which a word that is a host's name is just a word."""
_ANY_KEYS = frozenset({"labels", "annotations", "selector", "topology"})
"""Keys below which keys are the author's own."""
_NOT_READ = frozenset(
    {
        "allocateLoadBalancerNodePorts",
        "apiVersion",
        "appProtocol",
        "conditions",
        "creationTimestamp",
        "deprecatedTopology",
        "externalName",
        "generateName",
        "generation",
        "hints",
        "hostname",
        "ipFamilyPolicy",
        "items",
        "kind",
        "loadBalancerClass",
        "loadBalancerIP",
        "metadata",
        "notReadyAddresses",
        "ownerReferences",
        "publishNotReadyAddresses",
        "selector",
        "targetPort",
        "targetRef",
        "trafficDistribution",
        "uid",
        "zone",
    }
)
"""Keys of Kubernetes objects that the agent does not read, or that mean something only here."""


def manifests_from(text: str, line_before: int) -> tuple[Manifest, ...]:
    """The objects of an apply section.

    Args:
        text: YAML documents.
        line_before: number of the line before the text, for messages.

    Raises:
        Mistake: not YAML, or an object without identity.
    """
    try:
        manifests = tuple(_manifest(raw, line_before) for raw in parse_yaml(text.encode()))
    except BrokenText as exc:
        raise Mistake(line_before + exc.line, exc.reason) from exc
    if not manifests:
        raise Mistake(line_before, "no objects; write manifests, separated by ---")
    seen: dict[str, int] = {}
    for manifest in manifests:
        first = seen.setdefault(manifest.file_name, manifest.line)
        if first != manifest.line:
            raise Mistake(manifest.line, f"the same object stands on line {first} already")
    return manifests


def deletion_from(line: int, text: str) -> Deletion:
    """The object that a line such as `Service shop/web` names.

    Raises:
        Mistake: it names none.
    """
    words = text.split()
    if len(words) != 2:
        raise Mistake(line, "write kind and name, as in: Service shop/web")
    kind = _kind(words[0], line)
    namespace, slash, name = words[1].rpartition("/")
    if kind.value in _CLUSTER_SCOPED and slash:
        raise Mistake(line, f"a {kind} has no namespace; write: {kind} {name}")
    default = "" if kind.value in _CLUSTER_SCOPED else "default"
    return Deletion(line, kind, namespace or default, name)


def _manifest(raw: RawObject, line_before: int) -> Manifest:
    line = line_before + raw.line
    value = raw.decode(object)
    if not isinstance(value, dict):
        raise Mistake(line, "not an object; write kind:, metadata: and so on")
    kind = _kind(value.get("kind"), line)
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise Mistake(line, "no name; write metadata: {name: web}")
    for key in _keys(value):
        if key not in _KNOWN_KEYS:
            raise Mistake(
                line_before + raw.line,
                f'"{key}" is no field of a {kind} that Kubernetes knows; is it misspelled?',
            )
    namespace = "" if kind.value in _CLUSTER_SCOPED else metadata.get("namespace") or "default"
    filled = {
        "apiVersion": _api_version(kind),
        **_with_addresses(value),
        "metadata": {**metadata, **({"namespace": namespace} if namespace else {})},
    }
    return Manifest(line, kind, namespace, name, msgspec.json.encode(filled).decode())


def _kind(word: object, line: int) -> Kind:
    known = sorted({name for _, name in KINDS})
    if word not in known:
        raise Mistake(line, f'"{word}" is no kind the agent reads; known: {", ".join(known)}')
    return Kind(str(word))


def _api_version(kind: Kind) -> str:
    """The version an object of a kind has if it does not say."""
    return next(version for (version, name) in KINDS if name == kind.value)


def _with_addresses(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """A value with the names of hosts replaced by their addresses."""
    match value:
        case dict():
            return {
                key: inner if key in _NOT_ADDRESSES else _with_addresses(inner)
                for key, inner in value.items()
            }
        case list():
            return [_with_addresses(inner) for inner in value]
        case str() if value in NAMES:
            return format_addr(NAMES[value])
    return value


def _keys(value: object) -> Iterator[str]:
    """Every key of an object but those that are the author's own."""
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                if key not in _ANY_KEYS:
                    yield from _keys(inner)
        case list():
            for inner in value:
                yield from _keys(inner)


def _wire_keys() -> frozenset[str]:
    structs = [each for each in vars(wire).values() if isinstance(each, type)]
    return frozenset(
        field.encode_name
        for each in structs
        if issubclass(each, msgspec.Struct)
        for field in msgspec.structs.fields(each)
    )


_KNOWN_KEYS = _wire_keys() | _NOT_READ
