"""All files together: which object of which file counts, and what that changes.

The rules, for an operator who writes the same thing twice:

1. Of two objects with the same kind, namespace and name the first counts, by file name and then
   by line. The other is reported, and takes over when the first goes.
2. An object that became unusable keeps its last usable version from the same file in force.
3. With the feature gate EndpointSliceProxying unset, a Service may be given EndpointSlices or
   one Endpoints object. Where both exist the slices count and the Endpoints are reported; with
   the last slice gone the Endpoints take over. (Set, the gate leaves one of the kinds unread.)
   When the gate changes, all files are read again and applied at once.

`Catalog` is pure: it is told what the files hold, and tells what a sink should hear and what an
operator should read. It compares decoded objects, so saving a file unchanged says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Upserted
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, EndpointSlice
from nodeproxy.sources.manifests.content import Content, Manifest, ObjectKey, Refusal, Remark
from nodeproxy.sources.manifests.defaults import SERVICE_NAME_LABEL

Claim = Manifest | Refusal


class Outcome(msgspec.Struct, frozen=True):
    """What changed by the files that changed."""

    events: tuple[SourceEvent, ...]
    """Of one object the last counts, except that a rejection leaves what was told before it."""
    begun: tuple[Remark, ...] = ()
    """Worth saying now; remarks that were true before are not repeated."""
    ended: tuple[Remark, ...] = ()
    """True before, and not any more."""


class Catalog:
    """Owner of what every file holds and of what the sink has been told."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._claims: dict[ObjectKey, tuple[Claim, ...]] = {}
        """Everything the files say about an object, the first claim first."""
        self._told: dict[ObjectKey, ApiObject] = {}
        self._rejected: dict[ObjectKey, Refusal] = {}
        """Refusals that have been told."""
        self._slices: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Names of the slices in force, by namespace and name of their Service."""
        self._remarks: dict[tuple[str, ...], Remark] = {}
        self._contested: set[ObjectKey] = set()
        """Keys with more than one usable claim."""
        self._shadowed: set[ObjectKey] = set()
        """Endpoints that do not count because slices do."""

    def __len__(self) -> int:
        """Objects in force."""
        return len(self._told)

    def knows(self, file: str) -> bool:
        """True if a file has been taken, and not removed since."""
        return file in self._contents

    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong now, in the order of files."""
        refusals = (c for claims in self._claims.values() for c in claims if type(c) is Refusal)
        found = [self._problem(refusal) for refusal in refusals]
        found += [r.problem for r in self._remarks.values() if not r.is_harmless]
        return tuple(sorted(found, key=str))

    def apply(
        self, updates: Mapping[str, Content | None], unread: Collection[Kind] = ()
    ) -> Outcome:
        """Take new contents of files.

        Args:
            updates: by the paths their places carry; None for a file gone.
            unread: kinds that are not read any more; their objects have no last usable version.
        """
        touched: set[ObjectKey] = set()
        for file, content in updates.items():
            touched |= self._replace(file, content, unread)
        slices = {key for key in touched if key.kind is Kind.ENDPOINT_SLICE}
        services = self._services_of(slices)
        events = self._settle(slices)
        # Slices that came or went decide about Endpoints that nobody touched.
        services |= self._services_of(slices)
        beside = {ObjectKey(Kind.ENDPOINTS, *service) for service in services}
        events += self._settle((touched - slices) | (beside & self._claims.keys()))
        begun, ended = self._compare_remarks()
        return Outcome(tuple(events), begun, ended)

    def _replace(
        self, file: str, content: Content | None, unread: Collection[Kind]
    ) -> set[ObjectKey]:
        """Exchange the claims of one file; returns the keys they are about."""
        before = self._contents.pop(file, Content())
        after = Content() if content is None else _keep_last_usable(before, content, unread)
        if content is not None:
            self._contents[file] = after
        added: defaultdict[ObjectKey, list[Claim]] = defaultdict(list)
        for claim in _claims(after):
            added[claim.key].append(claim)
        touched = added.keys() | {claim.key for claim in _claims(before)}
        for key in touched:
            kept = [c for c in self._claims.pop(key, ()) if c.place.file != file]
            if claims := kept + added.get(key, []):
                self._claims[key] = tuple(sorted(claims, key=lambda claim: claim.place))
        return touched

    def _services_of(self, slices: Iterable[ObjectKey]) -> set[tuple[str, str]]:
        """Namespace and name of the Services that the slices in force belong to."""
        told = ((key, self._told.get(key)) for key in slices)
        return {(key.namespace, _service_name(found)) for key, found in told if found is not None}

    def _settle(self, keys: Iterable[ObjectKey]) -> list[SourceEvent]:
        return [event for key in sorted(keys) for event in self._settle_one(key)]

    def _settle_one(self, key: ObjectKey) -> Iterator[SourceEvent]:
        """Decide what counts for one object, and tell it if that is news."""
        claims = self._claims.get(key, ())
        usable = [claim.object for claim in claims if type(claim) is Manifest]
        refusal = next((claim for claim in claims if type(claim) is Refusal), None)
        is_shadowed = key.kind is Kind.ENDPOINTS and (key.namespace, key.name) in self._slices
        _mark(self._contested, key, is_in=len(usable) > 1)
        _mark(self._shadowed, key, is_in=is_shadowed and bool(usable))
        # A mended object is told even if it is what is in force: its rejection ends with it.
        is_mended = refusal is None and self._rejected.pop(key, None) is not None
        wanted = usable[0] if usable and not is_shadowed else None
        told = list(self._tell(key, wanted, is_mended=is_mended))
        yield from told
        # What is told of an object takes the place of its rejection, so that is told again.
        if refusal is not None and (told or not _is_same(refusal, self._rejected.get(key))):
            self._rejected[key] = refusal
            yield Rejected(key.kind, key.namespace, key.name, self._problem(refusal))

    def _tell(
        self, key: ObjectKey, wanted: ApiObject | None, *, is_mended: bool
    ) -> Iterator[SourceEvent]:
        told = self._told.get(key)
        if wanted == told and not is_mended:
            return
        self._index(key, told, wanted)
        if wanted is None:
            self._told.pop(key, None)
            yield Removed(key.kind, key.namespace, key.name)
        else:
            self._told[key] = wanted
            yield Upserted(key.kind, key.namespace, key.name, wanted)

    def _index(self, key: ObjectKey, before: ApiObject | None, after: ApiObject | None) -> None:
        """Keep `_slices` in step."""
        if before is not None and key.kind is Kind.ENDPOINT_SLICE:
            service = key.namespace, _service_name(before)
            self._slices[service].discard(key.name)
            if not self._slices[service]:
                del self._slices[service]
        if after is not None and key.kind is Kind.ENDPOINT_SLICE:
            self._slices[key.namespace, _service_name(after)].add(key.name)

    def _problem(self, refusal: Refusal) -> Problem:
        is_in_force = refusal.key in self._told
        return refusal.problem("keeps its last usable version" if is_in_force else "is ignored")

    def _compare_remarks(self) -> tuple[tuple[Remark, ...], tuple[Remark, ...]]:
        """Remarks that are true now and were not before, and the other way round."""
        before, self._remarks = self._remarks, {}
        for remark in self._all_remarks():
            self._remarks.setdefault(remark.ident, remark)
        begun = tuple(r for ident, r in self._remarks.items() if ident not in before)
        ended = tuple(r for ident, r in before.items() if ident not in self._remarks)
        return begun, ended

    def _all_remarks(self) -> Iterator[Remark]:
        for file in sorted(self._contents):
            yield from self._contents[file].remarks
        for key in sorted(self._contested):
            usable = [claim for claim in self._claims[key] if type(claim) is Manifest]
            yield from (_duplicate(loser, usable[0]) for loser in usable[1:])
        for key in sorted(self._shadowed):
            manifest = next(claim for claim in self._claims[key] if type(claim) is Manifest)
            message = "its Service has EndpointSlices, which count; the Endpoints are ignored"
            yield Remark(("shadowed", *key), Problem(_subject(manifest), "", message))


def _claims(content: Content) -> Iterator[Claim]:
    yield from content.manifests
    yield from content.refusals


def _keep_last_usable(before: Content, after: Content, unread: Collection[Kind]) -> Content:
    """`after`, plus what `before` held of objects that are unusable now.

    An object that lost its name may be any of those that are missing: all of them are kept.
    """
    usable = {manifest.key for manifest in after.manifests}
    refused = {refusal.key for refusal in after.refusals}
    kept = tuple(
        manifest
        for manifest in before.manifests
        if manifest.key.kind not in unread
        and manifest.key not in usable
        and (after.has_strangers or manifest.key in refused)
    )
    return msgspec.structs.replace(after, manifests=after.manifests + kept) if kept else after


def _is_same(refusal: Refusal, reported: Refusal | None) -> bool:
    """True if an operator would call it the same mistake; lines move with every edit."""
    return reported is not None and (
        (refusal.place.file, refusal.field, refusal.reason)
        == (reported.place.file, reported.field, reported.reason)
    )


def _duplicate(loser: Manifest, winner: Manifest) -> Remark:
    message = f"stands at {winner.place} already, which counts; this one is ignored"
    ident = ("duplicate", loser.place.file, winner.place.file, str(loser.key))
    return Remark(ident, Problem(_subject(loser), "", message))


def _subject(manifest: Manifest) -> str:
    return f"{manifest.place}: {manifest.key}"


def _service_name(found: ApiObject) -> str:
    """The Service of a slice; defaults.py lets no slice through without one."""
    assert isinstance(found, EndpointSlice), found
    return (found.metadata.labels or {}).get(SERVICE_NAME_LABEL) or ""


def _mark(keys: set[ObjectKey], key: ObjectKey, *, is_in: bool) -> None:
    if is_in:
        keys.add(key)
    else:
        keys.discard(key)
