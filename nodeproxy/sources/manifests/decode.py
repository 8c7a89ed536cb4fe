"""From the bytes of a file to its `Content`: which objects matter here, and which are unusable.

```
bytes -> parse_yaml | parse_json -> RawObject -> head: kind and name -> struct -> defaults
             |                                     |                      |          |
         BrokenText                          Remark: ignored         Refusal with the line
```
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from nodeproxy.documents.text import Path
from nodeproxy.errors import SourceError
from nodeproxy.model.events import KIND_BY_TYPE, Kind
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, ObjectMeta, Service
from nodeproxy.sources.manifests.content import Content, Manifest, ObjectKey, Place, Refusal, Remark
from nodeproxy.sources.manifests.defaults import Unusable, oddities, with_defaults
from nodeproxy.sources.manifests.jsontext import parse_json
from nodeproxy.sources.manifests.text import RawObject
from nodeproxy.sources.manifests.yamltext import parse_yaml

KINDS: dict[tuple[str, str], Kind] = {
    ("v1", "Service"): Kind.SERVICE,
    ("v1", "Endpoints"): Kind.ENDPOINTS,
    ("v1", "Node"): Kind.NODE,
    ("networking.k8s.io/v1", "ServiceCIDR"): Kind.SERVICE_CIDR,
    ("discovery.k8s.io/v1", "EndpointSlice"): Kind.ENDPOINT_SLICE,
    ("discovery.k8s.io/v1beta1", "EndpointSlice"): Kind.ENDPOINT_SLICE,
}
"""What is read, by apiVersion and kind. `Service` of another group is another thing."""

_CLUSTER_SCOPED = (Kind.NODE, Kind.SERVICE_CIDR)

TYPES = {kind: as_type for as_type, kind in KIND_BY_TYPE.items()}

# Names become parts of logs, metrics and comments in the ruleset; an API server checks them too.
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\Z")
_NAME_RULE = 'use at most 253 lower-case letters, digits, "-" and "."'

_PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
_HEADLESS_LABEL = "service.kubernetes.io/headless"


class _HeadMeta(msgspec.Struct, frozen=True):
    name: str | None = None
    namespace: str | None = None


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an object that says what it is."""

    api_version: str | None = None
    kind: str | None = None
    metadata: _HeadMeta | None = None


class _Stranger(SourceError):
    """An object that does not say what it is."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class FileDecoder(msgspec.Struct, frozen=True):
    """Decodes files for one node."""

    node_name: str
    """Other Nodes are not delivered (EP-3); many nodes may share one directory."""
    unread: frozenset[Kind]
    """Kinds the operator chose not to use: Endpoints or EndpointSlices."""

    def decode(self, file: str, data: bytes) -> Content:
        """The content of a file.

        Args:
            file: its path as the operator should see it; `.json` at its end means JSON.
            data: all of it.

        Raises:
            BrokenText: nothing of the file can be used.
        """
        manifests, refusals, remarks = [], [], []
        for found in self._each(file, data):
            match found:
                case Manifest():
                    manifests.append(found)
                    remarks += _odd(found)
                case Refusal():
                    refusals.append(found)
                case Remark():
                    remarks.append(found)
        has_strangers = any(remark.ident[0] == "stranger" for remark in remarks)
        return Content(tuple(manifests), tuple(refusals), tuple(remarks), has_strangers)

    def _each(self, file: str, data: bytes) -> Iterator[Manifest | Refusal | Remark]:
        is_json = file.endswith(".json")
        documents: Iterable[RawObject] = parse_json(data) if is_json else parse_yaml(data)
        for raw, head in _flatten(documents):
            place = Place(file, raw.line)
            if isinstance(head, _Stranger):
                yield _stranger(raw, file, head)
                continue
            version, name = head.api_version or "", head.kind or ""
            kind = KINDS.get((version, name))
            if kind is None or kind in self.unread:
                yield _ignored(place, version, name, is_chosen_against=kind is not None)
            elif (found := self._object(raw, kind, head, place)) is not None:
                yield found

    def _object(
        self, raw: RawObject, kind: Kind, head: _Head, place: Place
    ) -> Manifest | Refusal | Remark | None:
        try:
            key = _key(kind, head.metadata or _HeadMeta())
        except _Stranger as exc:
            return _stranger(raw, place.file, exc)
        try:
            found = raw.decode(TYPES[kind])
            if not self._is_wanted(key, found):
                return None
            return Manifest(key, place, _named(with_defaults(found), key))
        except Unusable as exc:
            line = raw.line_of(_steps(exc.field))
            return Refusal(key, place, line, exc.field, exc.reason)
        except msgspec.DecodeError as exc:
            field, path, reason = _explain(raw, str(exc))
            return Refusal(key, place, raw.line_of(path), field, reason)

    def _is_wanted(self, key: ObjectKey, found: ApiObject) -> bool:
        """The selectors of the watches: EP-1, EP-2, EP-3, EPS-1."""
        if key.kind is Kind.NODE:
            return key.name == self.node_name
        if key.kind is Kind.SERVICE_CIDR:
            return True
        labels = found.metadata.labels or {}
        if key.kind is not Kind.ENDPOINT_SLICE and _PROXY_NAME_LABEL in labels:
            return False
        if isinstance(found, Service):
            return found.spec is None or found.spec.cluster_ip != "None"
        return _HEADLESS_LABEL not in labels


def _flatten(documents: Iterable[RawObject]) -> Iterator[tuple[RawObject, _Head | _Stranger]]:
    """Every object with its head, Lists opened. Items of a ServiceList need not say their kind."""
    for document in documents:
        head = _head(document)
        if isinstance(head, _Stranger) or not (head.kind or "").endswith("List"):
            yield document, head
            continue
        item_kind = (head.kind or "").removesuffix("List") or None
        default = _Head(head.api_version, item_kind) if item_kind else _Head()
        for item in document.items():
            yield item, _head(item, default)


def _head(raw: RawObject, default: _Head = _Head()) -> _Head | _Stranger:  # noqa: B008 (frozen)
    try:
        head = raw.decode(_Head)
    except msgspec.DecodeError as exc:
        field, _, reason = _explain(raw, str(exc))
        return _Stranger(field, reason)
    kind, version = head.kind or default.kind, head.api_version or default.api_version
    if not kind:
        return _Stranger("kind", "missing; is this a Kubernetes object?")
    if not version:
        return _Stranger("apiVersion", f"missing; write it as an API server shows it for a {kind}")
    return _Head(version, kind, head.metadata)


def _key(kind: Kind, metadata: _HeadMeta) -> ObjectKey:
    if not metadata.name:
        raise _Stranger("metadata.name", "missing")
    namespace = "" if kind in _CLUSTER_SCOPED else metadata.namespace or "default"
    for field, name in (("name", metadata.name), ("namespace", namespace)):
        if name and not _NAME.match(name):
            raise _Stranger(f"metadata.{field}", f"{_shown(name)} is not a name; {_NAME_RULE}")
    return ObjectKey(kind, namespace, metadata.name)


def _named(found: ApiObject, key: ObjectKey) -> ApiObject:
    """The object with its namespace filled in."""
    if (found.metadata.namespace or "") == key.namespace:
        return found
    metadata: ObjectMeta = msgspec.structs.replace(found.metadata, namespace=key.namespace)
    return msgspec.structs.replace(found, metadata=metadata)


def _stranger(raw: RawObject, file: str, why: _Stranger) -> Remark:
    place = Place(file, raw.line_of(_steps(why.field)))
    message = f"{why.reason}; the object is ignored"
    return Remark(
        ("stranger", file, why.field, why.reason), Problem(str(place), why.field, message)
    )


def _ignored(place: Place, version: str, kind: str, *, is_chosen_against: bool) -> Remark:
    why = "the feature gate EndpointSliceProxying chooses otherwise; " if is_chosen_against else ""
    message = f"{kind} ({version}) is not used here; {why}all of this kind are ignored"
    return Remark(("ignored", version, kind), Problem(str(place), "", message), is_harmless=True)


def _odd(manifest: Manifest) -> list[Remark]:
    """Remarks on an object that is used nevertheless."""
    return [
        Remark(
            ("odd", manifest.place.file, str(manifest.key), field),
            Problem(f"{manifest.place}: {manifest.key}", field, message),
        )
        for field, message in oddities(manifest.object)
    ]


_EXPLAINED = re.compile(
    r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`(?: - at .*`\$(?P<path>[^`]*)`)?"
)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_WORDS = {"int": "a whole number", "str": "text", "array": "a list", "object": "a mapping"}


def _explain(raw: RawObject, complaint: str) -> tuple[str, Path, str]:
    """Field, path and reason from msgspec's complaint, in the words of someone writing YAML."""
    match = _EXPLAINED.match(complaint)
    if match is None:
        return "", (), complaint
    field, of_map, _ = (match["path"] or "").removeprefix(".").partition("[...]")
    path = _steps(field)
    value = _value_at(raw, path)
    if of_map and isinstance(value, dict):  # labels and the like: text by text
        key, value = next((k, v) for k, v in value.items() if not isinstance(v, str | None))
        field, path = f'{field}["{key}"]', (*path, key)
    wanted = match["wanted"].removesuffix(" | null")
    reason = f"must be {_WORDS.get(wanted, wanted)}, not {_shown(value)}"
    if wanted == "str" and match["got"] in ("int", "float", "bool"):
        reason += "; write it in quotes"
    return field, path, reason


def _steps(field: str) -> Path:
    return tuple(name or int(index) for name, index in _STEP.findall(field))


def _value_at(raw: RawObject, path: Path) -> object:
    value: Any = raw.decode(object)
    for step in path:
        value = value[step]
    return value


def _shown(value: object) -> str:
    """A value as JSON, shortened, on one line."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
