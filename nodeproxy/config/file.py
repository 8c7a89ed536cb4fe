"""From the text of a configuration file to what it gives, with every line (CFG-20, CFG-21).

The file is a KubeProxyConfiguration, as kube-proxy reads it. A second document, of kind
NodeproxyConfiguration, holds what kube-proxy does not have; kube-proxy reads the first document
only, so both can be started with the same file.

Unknown and doubled fields are told and passed over, as kube-proxy does. What has the wrong
type is a mistake; all mistakes are collected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nodeproxy.config.fields import (
    OWN_API_VERSION,
    OWN_FIELDS,
    OWN_KIND,
    PEER_API_VERSION,
    PEER_FIELDS,
    PEER_KIND,
    Field,
)
from nodeproxy.config.fieldtexts import Place, read_value
from nodeproxy.config.given import Given
from nodeproxy.config.nearest import did_you_mean
from nodeproxy.config.schema import Remark
from nodeproxy.documents.text import BrokenText
from nodeproxy.documents.tree import Entry, Node, parse_tree

_FIELDS_BY_KIND = {PEER_KIND: PEER_FIELDS, OWN_KIND: OWN_FIELDS}
_VERSIONS_BY_KIND = {PEER_KIND: PEER_API_VERSION, OWN_KIND: OWN_API_VERSION}


class FileContent(msgspec.Struct, frozen=True):
    """What a file gives."""

    path: str
    givens: tuple[Given, ...] = ()
    """Without those that stand for the default."""
    mistakes: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


def read_file(data: bytes, path: str) -> FileContent:
    """Read a configuration file.

    Args:
        data: its content.
        path: what to call it in messages.
    """
    reader = _FileReader(path)
    try:
        reader.read(parse_tree(data))
    except BrokenText as exc:
        remedy = (
            "; put text with colons in it into quotes" if "mapping values" in exc.reason else ""
        )
        where = f"{path}:{exc.line}" if exc.line else path
        reader.mistakes.append(f"{where}: {exc.reason}{remedy}")
    return FileContent(path, tuple(reader.givens), tuple(reader.mistakes), tuple(reader.remarks))


class _FileReader:
    """Collects what a file says."""

    # Mutable: everything that was found so far.
    def __init__(self, path: str) -> None:
        self._path = path
        self.givens: list[Given] = []
        self.mistakes: list[str] = []
        self.remarks: list[Remark] = []

    def read(self, documents: Sequence[Node]) -> None:
        """Read every document that is ours to read."""
        lines_by_kind: dict[str, int] = {}
        for document in documents:
            kind = self._kind(document)
            if kind in lines_by_kind:
                first = f"the {kind} on line {lines_by_kind[kind]} counts"
                self._warn(document.line, "", f"ignored, {first}")
            elif kind:
                lines_by_kind[kind] = document.line
                self._mapping(document, "", _FIELDS_BY_KIND[kind], kind)
        if PEER_KIND not in lines_by_kind and not self.mistakes:
            self.mistakes.append(f"{self._path}: {_MISSING}")

    def _kind(self, document: Node) -> str:
        """The kind of a document; blank if it cannot be read, which is told."""
        if document.entries is None:
            self._mistake(document.line, "", "not a mapping of fields; " + _MISSING)
            return ""
        node = document.get("kind")
        kind = node.scalar if node else None
        if not isinstance(kind, str) or kind not in _VERSIONS_BY_KIND:
            line = node.line if node else document.line
            self._mistake(line, "kind", _explain_kind(kind))
            return ""
        version = document.get("apiVersion")
        wanted = _VERSIONS_BY_KIND[kind]
        if version is None or version.scalar != wanted:
            was = f'"{version.scalar}" is not known for {kind}' if version else "missing"
            line = version.line if version else document.line
            self._mistake(line, "apiVersion", f"{was}; write {wanted}")
            return ""
        return kind

    def _mapping(self, node: Node, prefix: str, fields: Mapping[str, Field], kind: str) -> None:
        seen: dict[str, int] = {}
        for entry in node.entries or ():
            name = prefix + entry.key
            if entry.key in seen:
                where = f"line {seen[entry.key]}"
                self._warn(entry.line, name, f"stands twice, first on {where}; the last counts")
            seen[entry.key] = entry.line
            if name in ("apiVersion", "kind"):
                continue
            if name in fields:
                self._value(entry, name, fields[name])
            elif any(known.startswith(f"{name}.") for known in fields):
                self._section(entry, name, fields, kind)
            else:
                self._warn(entry.line, name, f"unknown field, ignored; {_hint(name, kind)}")

    def _section(self, entry: Entry, name: str, fields: Mapping[str, Field], kind: str) -> None:
        if entry.value.entries is not None:
            self._mapping(entry.value, f"{name}.", fields, kind)
        elif not (entry.value.is_scalar and entry.value.scalar is None):
            self._mistake(entry.line, name, "not a mapping; its fields stand below it, indented")

    def _value(self, entry: Entry, name: str, field: Field) -> None:
        place = Place(self._path, name, entry.line)
        given, mistakes = read_value(entry.value, place, field)
        self.mistakes.extend(mistakes)
        # Of equal fields the last counts, also if it stands for the default.
        self.givens = [old for old in self.givens if old.name != name or _adds_up(old)]
        if given is not None:
            self.givens.append(given)

    def _mistake(self, line: int, name: str, what: str) -> None:
        self.mistakes.append(_told(self._path, line, name, what))

    def _warn(self, line: int, name: str, what: str) -> None:
        self.remarks.append(Remark(_told(self._path, line, name, what), is_warning=True))


_MISSING = (
    f"no {PEER_KIND}; a file begins with apiVersion: {PEER_API_VERSION} and kind: {PEER_KIND}"
)


def _told(path: str, line: int, name: str, what: str) -> str:
    return f"{path}:{line}: {name}: {what}" if name else f"{path}:{line}: {what}"


def _adds_up(given: Given) -> bool:
    """Feature gates may stand in both documents."""
    return bool(given.item_names) and given.name == "featureGates"


def _explain_kind(kind: object) -> str:
    if kind is None:
        return "missing; " + _MISSING
    if kind == "ConfigMap":
        return (
            '"ConfigMap" holds configuration files and is none; '
            "give the text under data, config.conf, as a file"
        )
    known = did_you_mean(str(kind), _VERSIONS_BY_KIND) or f"write {PEER_KIND}"
    return f'"{kind}" is no configuration; {known}'


def _hint(name: str, kind: str) -> str:
    """What may have been meant by a field that does not exist."""
    if kind == PEER_KIND and name in OWN_FIELDS:
        return f"it belongs into a second document of kind {OWN_KIND}"
    fields = _FIELDS_BY_KIND[kind]
    leaf = name.rpartition(".")[2].lower()
    same = [known for known in fields if known.rpartition(".")[2].lower() == leaf]
    if same:
        return f"did you mean {' or '.join(same)}?"
    return did_you_mean(name, fields) or "take it out"
