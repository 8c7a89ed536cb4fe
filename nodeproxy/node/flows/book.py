"""Which service ports' flows to look at, and what is known of these ports.

    note(...)     a decision of the sync loop: some ports' flows may have become stale
    install()     the rules lead elsewhere now: from here on the flows may be deleted
    take()        what is due, as one job for each family and protocol

A flow that was deleted while the rules still lead to its old endpoint would be born again there. So
nothing is due before it is installed, and what a failed commit decided waits for the next (CT-2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator

import msgspec

from nodeproxy.model.addresses import Addr, Cidr, Family
from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.node.flows.judge import Vacancies, destination_of
from nodeproxy.plan.types import FamilySettings, PlanDelta, ServicePortPlan


class Job(msgspec.Struct, frozen=True):
    """What to look at in the flows of one family and protocol."""

    family: Family
    protocol: Protocol
    ports: frozenset[ServicePortKey]
    """Those whose endpoints or frontends changed; some may be gone again."""
    lost: frozenset[bytes]
    """Destinations that a service port had and has no more."""
    vacancies: Vacancies | None = None
    """At start."""

    def and_also(self, other: Job) -> Job:
        """Both, of the same family and protocol, as one; vacancies are looked at once only."""
        return Job(self.family, self.protocol, self.ports | other.ports, self.lost | other.lost)


class _Suspicions:
    """What flows may be stale."""

    # Mutable state: belongs to the ledger.
    def __init__(self) -> None:
        self.ports: set[ServicePortKey] = set()
        self.lost: set[bytes] = set()


class Ledger:
    """The service ports of one family and protocol, and what is to be looked at."""

    # Mutable state: belongs to the book.
    def __init__(self, family: Family, protocol: Protocol) -> None:
        self.family = family
        self.protocol = protocol
        self.plans: dict[ServicePortKey, ServicePortPlan] = {}
        self.owners: dict[bytes, ServicePortKey] = {}
        """Who has a destination."""
        self._by_service: dict[ServiceKey, set[ServicePortKey]] = {}
        self._decided = _Suspicions()
        self._due = _Suspicions()
        self._vacancies: Vacancies | None = None

    def remove(self, key: ServicePortKey) -> None:
        """The service port is gone."""
        plan = self.plans.pop(key, None)
        if plan is None:
            return
        self._disown(plan)
        ports = self._by_service[key.service]
        ports.discard(key)
        if not ports:
            del self._by_service[key.service]

    def put(self, plan: ServicePortPlan) -> None:
        """A service port is new or different."""
        former = self.plans.get(plan.key)
        if former is None:
            self._by_service.setdefault(plan.key.service, set()).add(plan.key)
        elif former.frontends != plan.frontends:
            self._disown(former)
        self.plans[plan.key] = plan
        for frontend in plan.frontends:
            self.owners[destination_of(frontend)] = plan.key
        self._decided.ports.add(plan.key)

    def suspect(self, services: Iterable[ServiceKey]) -> None:
        """These Services' endpoints may be others."""
        for service in services:
            self._decided.ports.update(self._by_service.get(service, ()))

    def suspect_all(self) -> None:
        """Flows of any service port may be stale."""
        self._decided.ports.update(self.plans)

    def begin(self, vacancies: Vacancies) -> None:
        """The first decision: flows may be left from before."""
        self._vacancies = vacancies

    def install(self) -> None:
        """What was decided is in the kernel."""
        self._due.ports |= self._decided.ports
        self._due.lost |= self._decided.lost
        self._decided = _Suspicions()

    @property
    def is_due(self) -> bool:
        """True if there is something to look at."""
        return bool(self._due.ports or self._due.lost or self._vacancies is not None)

    def take(self) -> Job | None:
        """What is due, which then is no more."""
        due, vacancies = self._due, self._vacancies
        if not self.is_due:
            return None
        self._due, self._vacancies = _Suspicions(), None
        return Job(self.family, self.protocol, frozenset(due.ports), frozenset(due.lost), vacancies)

    def put_back(self, job: Job) -> None:
        """A job was not done, or is to be done once more."""
        self._due.ports.update(job.ports)
        self._due.lost.update(job.lost)
        self._vacancies = self._vacancies or job.vacancies

    def _disown(self, plan: ServicePortPlan) -> None:
        """Give up what a plan has; somebody else may have it already, then it stays theirs."""
        for frontend in plan.frontends:
            destination = destination_of(frontend)
            if self.owners.get(destination) == plan.key:
                del self.owners[destination]
            # Where the pods of a deleted Service live on, so do its TCP connections.
            if self.protocol is Protocol.UDP:
                self._decided.lost.add(destination)


class FlowBook:
    """The ledgers of all families and protocols whose flows are cleaned."""

    # Mutable state: belongs to the cleaner.
    def __init__(self, families: Collection[Family], *, cleans_tcp: bool) -> None:
        protocols = (Protocol.UDP, Protocol.TCP) if cleans_tcp else (Protocol.UDP,)
        self._ledgers = {(f, p): Ledger(f, p) for f in families for p in protocols}
        self.settings: dict[Family, FamilySettings] = {}
        self._has_begun = False

    def note(self, services: Iterable[ServiceKey], delta: PlanDelta) -> None:
        """Take what the sync loop decided; nothing of it is due yet."""
        self.settings.update(delta.settings)
        for key in delta.removes:
            if ledger := self._ledgers.get((key.family, key.port.protocol)):
                ledger.remove(key.port)
        for key, plan in delta.puts.items():
            if ledger := self._ledgers.get((key.family, key.port.protocol)):
                ledger.put(plan)
        for ledger in self._ledgers.values():
            ledger.suspect(services)
        if not self._has_begun:
            self._has_begun = True
            self._begin(delta)

    def note_loss(self) -> None:
        """Rules may have been missing for a while."""
        for ledger in self._ledgers.values():
            ledger.suspect_all()

    def install(self) -> None:
        """What was noted is in the kernel."""
        if self._has_begun:
            for ledger in self._ledgers.values():
                ledger.install()

    @property
    def is_due(self) -> bool:
        """True if there is something to look at."""
        return any(ledger.is_due for ledger in self._ledgers.values())

    def take(self) -> Iterator[Job]:
        """Everything that is due, which then is no more."""
        for ledger in self._ledgers.values():
            if job := ledger.take():
                yield job

    def put_back(self, job: Job) -> None:
        """A job was not done, or is to be done once more."""
        self.ledger_of(job).put_back(job)

    def ledger_of(self, job: Job) -> Ledger:
        """What is known of the service ports of a job."""
        return self._ledgers[job.family, job.protocol]

    def _begin(self, delta: PlanDelta) -> None:
        taken = frozenset(
            addr for plan in delta.puts.values() for addr in _addresses_of(plan) if addr
        )
        for (family, protocol), ledger in self._ledgers.items():
            if protocol is Protocol.UDP and (networks := self._service_cidrs(family)):
                ledger.begin(Vacancies(networks, taken))

    def _service_cidrs(self, family: Family) -> tuple[Cidr, ...]:
        settings = self.settings.get(family)
        return settings.service_cidrs if settings else ()


def _addresses_of(plan: ServicePortPlan) -> Iterator[Addr]:
    yield plan.cluster_ip
    for frontend in plan.frontends:
        yield frontend.addr


class SecondLooks:
    """Jobs that were done and are to be done once more, a while later; time is an argument.

    What was done within half a second is looked at together, 1 to 1.5 seconds later, so that steady
    change costs two further looks a second and no more.
    """

    _COLLECTING_SECONDS = 0.5
    _DELAY_SECONDS = 1.5

    # Mutable state: belongs to the cleaner. Batches in order, with the moment each was begun.
    def __init__(self) -> None:
        self._batches: deque[tuple[float, dict[tuple[Family, Protocol], Job]]] = deque()

    def add(self, job: Job, now: float) -> None:
        """A job was done."""
        if not self._batches or now >= self._batches[-1][0] + self._COLLECTING_SECONDS:
            self._batches.append((now, {}))
        jobs = self._batches[-1][1]
        key = (job.family, job.protocol)
        jobs[key] = jobs.get(key, Job(*key, frozenset(), frozenset())).and_also(job)

    def take(self, now: float) -> list[Job]:
        """Those whose time has come."""
        taken: list[Job] = []
        while self._batches and self.seconds_left(now) == 0.0:
            taken += self._batches.popleft()[1].values()
        return taken

    def seconds_left(self, now: float) -> float | None:
        """Until the next one's time has come; None if there is none."""
        if not self._batches:
            return None
        return max(self._batches[0][0] + self._DELAY_SECONDS - now, 0.0)
