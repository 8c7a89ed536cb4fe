"""What the cluster says, as far as this node cares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, assert_never

import msgspec

from nodeproxy.model import wire
from nodeproxy.model.addresses import Cidr, Family
from nodeproxy.model.endpoints import Endpoint, EndpointGroup
from nodeproxy.model.events import (
    EndpointsChosen,
    Kind,
    Rejected,
    Removed,
    SourceEvent,
    Synced,
    Upserted,
    other_endpoints_kind,
)
from nodeproxy.model.keys import ServiceKey, ServicePortKey
from nodeproxy.model.node import NodeInfo
from nodeproxy.model.problems import Problem
from nodeproxy.model.services import ServicePort
from nodeproxy.state.endpoints_object import groups_from_endpoints
from nodeproxy.state.merge import merge_endpoints
from nodeproxy.state.nodes import node_from
from nodeproxy.state.service_cidrs import cidrs_from
from nodeproxy.state.services import service_ports_from
from nodeproxy.state.slices import groups_from_slice
from nodeproxy.state.triggers import Trigger, Triggers

_ENDPOINTS_OBJECT = ""
"""Name of the Endpoints object among the slices of its Service; no slice has an empty name."""


class ObjectKey(NamedTuple):
    """One object of the cluster, of any kind."""

    kind: Kind
    namespace: str
    name: str


class Changes(msgspec.Struct):
    """What a round of events changed."""

    services: set[ServiceKey]
    """Services whose service ports or endpoints are not what they were. A Service may be listed
    although its plan will come out the same: the planner compares once more."""
    node_changed: bool
    problems: tuple[Problem, ...]
    """Problems not known before, in the order of the events."""
    service_cidrs_changed: bool = False
    has_other_endpoints: bool = False
    """True if another kind of objects tells the endpoints than before."""


class ClusterState:
    """The one owner of what is known about the cluster.

    Goals, and how each is met:

    1. *The same objects give the same state*, in whatever order, batches or repetitions their
       events came. Each object's contribution is kept under the object's own name and replaced
       as a whole; merging happens when asked, over sources in name order (EP-24).
    2. *Only real changes are told.* Objects are turned into derived records at once and compared
       with the records they replace, so edits of labels or annotations, resyncs and repeated
       events change nothing (EP-5, SVC-42).
    3. *Small.* Wire objects are dropped as soon as they are read. 100,000 endpoints take one
       struct and one packed address each; what repeats is shared.
    4. *Bad input never stops what works.* An object that could not be decoded leaves its former
       content in force; parts of an object that make no sense are left out and kept as problems,
       each told once.
    5. *Order of arrival does not matter*: endpoints may come before their Service, and everything
       before its kind is synced (EP-61).

    Events of EndpointSlices and of Endpoints are both taken. Until a source has chosen one of the
    kinds a Service known from both has the union; then the other is kept beside and does not
    count. Which of the two is read is the sources' decision.

    Only the sync loop may call `apply`. The attributes are for reading.
    """

    def __init__(self, node_name: str, since: float = math.inf) -> None:
        """A state that knows nothing.

        Args:
            node_name: the own node.
            since: when it began, in seconds since the epoch; changes of endpoints after that are
                kept for `take_triggers`, none by default.
        """
        self.node_name = node_name
        # The mutable state of the agent's view of the cluster is born here.
        self.services: dict[ServiceKey, tuple[ServicePort, ...]] = {}
        self.node: NodeInfo | None = None
        self.synced: set[Kind] = set()
        self.problems: dict[ObjectKey, tuple[Problem, ...]] = {}
        self.endpoints_kind: Kind | None = None
        """The only kind that tells endpoints; None if both do."""
        self.endpoint_count = 0
        """How many addresses the objects that count report, ready or not, over all Services."""
        self._groups: dict[ServiceKey, dict[str, tuple[EndpointGroup, ...]]] = {}
        self._service_by_slice: dict[tuple[str, str], ServiceKey] = {}
        self._service_cidrs: dict[str, tuple[Cidr, ...]] = {}
        """By name of the object."""
        self._triggers = Triggers(since)

    def apply(self, events: Iterable[SourceEvent]) -> Changes:
        """Take events in order, and tell what is different from before."""
        changes = Changes(services=set(), node_changed=False, problems=())
        new_problems: list[Problem] = []
        for event in events:
            match event:
                case Upserted():
                    new_problems += self._upsert(event, changes)
                case Removed():
                    self._remove(event, changes)
                case Rejected(kind, namespace, name, problem):
                    key = ObjectKey(kind, namespace, name)
                    new_problems += self._note_problems(key, (problem,))
                case Synced(kind):
                    self.synced.add(kind)
                case EndpointsChosen(kind):
                    self._choose(kind, changes)
                case _:
                    assert_never(event)
        if changes.has_other_endpoints:
            # When the other objects were written says nothing about how long this takes.
            self._triggers.take()
        changes.problems = tuple(new_problems)
        return changes

    def endpoints(self, family: Family, key: ServicePortKey) -> tuple[Endpoint, ...]:
        """All endpoints of a service port in canonical order, usable or not."""
        sources = self._groups.get(key.service)
        if not sources:
            return ()
        names: Iterable[str] = sources
        if len(sources) > 1 or self.endpoints_kind is not None:
            names = _counting(sources, self.endpoints_kind)
        groups = (group for name in names for group in sources[name])
        return merge_endpoints(groups, family, key.port_name, key.protocol, self.node_name)

    def take_triggers(self) -> list[Trigger]:
        """When the changes happened that endpoints told of since the last call (EP-31).

        For the sync loop, once what was decided is in force.
        """
        return self._triggers.take()

    @property
    def service_cidrs(self) -> tuple[Cidr, ...]:
        """The networks of all ServiceCIDRs, of both families: objects by name, each once (DP-11).

        An object's own order is kept (TS-507).
        """
        by_name = (self._service_cidrs[name] for name in sorted(self._service_cidrs))
        return tuple(dict.fromkeys(cidr for cidrs in by_name for cidr in cidrs))

    def _upsert(self, event: Upserted, changes: Changes) -> tuple[Problem, ...]:
        match event.object:
            case wire.Service() as service:
                ports, problems = service_ports_from(service)
                self._put_service(ServiceKey(event.namespace, event.name), ports, changes)
            case wire.EndpointSlice() as slice_:
                owner, groups, problems = groups_from_slice(slice_)
                changed = self._put_slice((event.namespace, event.name), owner, groups, changes)
                if changed and owner:
                    self._triggers.note(owner, changed, slice_.metadata)
            case wire.Endpoints() as endpoints:
                owner, groups, problems = groups_from_endpoints(endpoints)
                if changed := self._put_groups(owner, _ENDPOINTS_OBJECT, groups, changes):
                    self._triggers.note(owner, changed, endpoints.metadata)
            case wire.Node() as node:
                if event.name != self.node_name:
                    return ()
                info, problems = node_from(node)
                changes.node_changed |= info != self.node
                self.node = info
            case wire.ServiceCIDR() as service_cidr:
                cidrs, problems = cidrs_from(service_cidr)
                self._put_service_cidrs(event.name, cidrs, changes)
            case _:
                assert_never(event.object)
        return self._note_problems(ObjectKey(event.kind, event.namespace, event.name), problems)

    def _remove(self, event: Removed, changes: Changes) -> None:
        self.problems.pop(ObjectKey(event.kind, event.namespace, event.name), None)
        match event.kind:
            case Kind.SERVICE:
                self._put_service(ServiceKey(event.namespace, event.name), (), changes)
            case Kind.ENDPOINT_SLICE:
                self._put_slice((event.namespace, event.name), None, (), changes)
            case Kind.ENDPOINTS:
                service = ServiceKey(event.namespace, event.name)
                if self._put_groups(service, _ENDPOINTS_OBJECT, (), changes):
                    self._triggers.forget(service)
            case Kind.NODE:
                pass  # The last known zone and addresses stay in force (EP-54, NODE-5).
            case Kind.SERVICE_CIDR:
                self._put_service_cidrs(event.name, (), changes)
            case _:
                assert_never(event.kind)

    def _put_service(
        self, key: ServiceKey, ports: tuple[ServicePort, ...], changes: Changes
    ) -> None:
        if self.services.get(key, ()) == ports:
            return
        changes.services.add(key)
        if ports:
            self.services[key] = ports
        else:
            del self.services[key]

    def _put_slice(
        self,
        slice_key: tuple[str, str],
        owner: ServiceKey | None,
        groups: tuple[EndpointGroup, ...],
        changes: Changes,
    ) -> tuple[Family, ...]:
        """Replace the content of a slice, which may have got another Service (EP-15).

        Returns:
            The families in which it contributes something else to its present Service.
        """
        former = self._service_by_slice.get(slice_key)
        if former is not None and former != owner:
            if self._put_groups(former, slice_key[1], (), changes):
                self._triggers.forget(former)
            del self._service_by_slice[slice_key]
        if owner is None:
            return ()
        self._service_by_slice[slice_key] = owner
        return self._put_groups(owner, slice_key[1], groups, changes)

    def _choose(self, kind: Kind | None, changes: Changes) -> None:
        """Let one kind count, and forget what the other told."""
        before, self.endpoints_kind = self.endpoints_kind, kind
        affected = {
            service
            for service, sources in self._groups.items()
            if _counting(sources, before) != _counting(sources, kind)
        }
        changes.services |= affected
        changes.has_other_endpoints |= bool(affected) or before not in (None, kind)
        if kind is not None:
            self._forget(other_endpoints_kind(kind))
        counted = (group for sources in self._groups.values() for group in sources.values())
        self.endpoint_count = sum(map(_address_count, counted))

    def _forget(self, kind: Kind) -> None:
        """Drop everything that objects of a kind told; it does not count any more."""
        self._groups = {
            service: kept
            for service, sources in self._groups.items()
            if (kept := {n: sources[n] for n in _counting(sources, self.endpoints_kind)})
        }
        if kind is Kind.ENDPOINT_SLICE:
            self._service_by_slice.clear()
        for key in [key for key in self.problems if key.kind is kind]:
            del self.problems[key]

    def _put_groups(
        self,
        service: ServiceKey,
        source: str,
        groups: tuple[EndpointGroup, ...],
        changes: Changes,
    ) -> tuple[Family, ...]:
        """Replace what one source contributes to a Service; nothing leaves no trace (EP-12).

        Returns:
            The families it is about; none if nothing is different, or if it does not count.
        """
        sources = self._groups.get(service, {})
        former = sources.get(source, ())
        if groups == former:
            return ()
        families: tuple[Family, ...] = ()
        if _counts(source, self.endpoints_kind):
            families = _families((*former, *groups))
            changes.services.add(service)
            # Counted as it changes: counting anew takes 3 ms at 10,000 slices, on every sync.
            self.endpoint_count += _address_count(groups) - _address_count(former)
        if groups:
            self._groups.setdefault(service, sources)[source] = groups
            return families
        del sources[source]
        if not sources:
            del self._groups[service]
        return families

    def _put_service_cidrs(self, name: str, cidrs: tuple[Cidr, ...], changes: Changes) -> None:
        if self._service_cidrs.get(name, ()) == cidrs:
            return
        changes.service_cidrs_changed = True
        if cidrs:
            self._service_cidrs[name] = cidrs
        else:
            del self._service_cidrs[name]

    def _note_problems(self, key: ObjectKey, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Keep the problems of an object, and return those it did not have before."""
        if not problems:
            if self.problems:
                self.problems.pop(key, None)
            return ()
        known = self.problems.get(key, ())
        self.problems[key] = problems
        return tuple(problem for problem in problems if problem not in known)


def _counts(source: str, kind: Kind | None) -> bool:
    """True if a slice, or the Endpoints object, tells endpoints; see `endpoints_kind`."""
    return kind is None or (source == _ENDPOINTS_OBJECT) is (kind is Kind.ENDPOINTS)


def _counting(sources: Iterable[str], kind: Kind | None) -> list[str]:
    return sorted([source for source in sources if _counts(source, kind)])


def _families(groups: tuple[EndpointGroup, ...]) -> tuple[Family, ...]:
    return tuple(dict.fromkeys([group.family for group in groups]))


def _address_count(groups: tuple[EndpointGroup, ...]) -> int:
    return sum(len(group.addresses) for group in groups)
