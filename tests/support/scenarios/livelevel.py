"""Runs a scenario with real packets: the kernel is the dataplane.

The other levels are asked what may happen; here it happens. So an expectation becomes packets,
as many as it takes:

    {a, b}            connections until each of them answered, and no fewer than MIN_CONNECTIONS;
                      the first that goes anywhere else ends it
    {a, b} sticky     STICKY_CONNECTIONS, all to one and the same
    X, not X          STICKY_CONNECTIONS, all to it, or none
    refused ...       one packet; dropped and untouched ones of a section side by side

Endpoints are drawn at random, so a good rule set could fail by chance to reach one of n in time:
with `_enough_connections` the chance is below MISS_CHANCE.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, assert_never

from lab import nft
from nodeproxy.model.addresses import Addr
from nodeproxy.plan.types import Target
from tests.support.scenarios.driving import Cluster, update_of
from tests.support.scenarios.liveworld import (
    SILENCE_SECONDS,
    Attempt,
    LiveWorld,
    Port,
    port_of,
)
from tests.support.scenarios.model import (
    Apply,
    Arrival,
    Delete,
    Expect,
    Expectation,
    Reaches,
    Restart,
    Scenario,
    Verdict,
    Wait,
    WantsBound,
    WantsEndpoints,
)
from tests.support.scenarios.running import Failure, answer_text
from tests.support.scenarios.world import node_addresses, target_text

MISS_CHANCE = 1e-10
MIN_CONNECTIONS = 12
"""With an endpoint too many among two, the chance that it stays unseen is 0.8 %; the other levels
know such sets exactly."""
STICKY_CONNECTIONS = 20


class Result(NamedTuple):
    """What a run showed."""

    failures: Sequence[Failure]
    ruleset: str
    """As `nft` listed it when the first expectation did not hold; empty if all did."""


def run_live(world: LiveWorld, scenario: Scenario, *, restarts: bool = False) -> Result:
    """Send all packets of a scenario.

    Args:
        world: any; what was there of other scenarios goes first.
        scenario: its waits take their time.
        restarts: let the agent start again after each change of objects.
    """
    run = _Run(world, scenario, restarts=restarts)
    run.play()
    return Result(run.failures, run.ruleset)


class _Run:
    def __init__(self, world: LiveWorld, scenario: Scenario, *, restarts: bool) -> None:
        # Mutable: the cluster, the backend of the present agent, and the names bound so far.
        self._world = world
        self._scenario = scenario
        self._restarts = restarts
        self._bound: dict[str, Target] = {}
        self.failures: list[Failure] = []
        self.ruleset = ""
        world.begin(node_addresses(scenario), list(_listening(scenario)))
        self._cluster = Cluster(scenario.flags)
        self._start()

    def play(self) -> None:
        """All sections in their order."""
        for section in self._scenario.sections:
            match section:
                case Apply() | Delete():
                    self._cluster.take(update_of(section))
                    self._world.program(self._backend, self._cluster.delta)
                    if self._restarts:
                        self._restart(self._cluster.flags)
                case Wait(seconds=seconds):
                    time.sleep(seconds)  # kernel timeouts know real time only
                case Restart(flags=flags):
                    self._restart(self._cluster.flags if flags is None else flags)
                case Expect(expectations=expectations):
                    self._check(expectations)
                case _:
                    assert_never(section)

    def _start(self) -> None:
        self._backend = self._world.new_backend()
        self._world.program(self._backend, self._cluster.delta)

    def _restart(self, flags: Sequence[str]) -> None:
        self._cluster.start(flags)
        self._start()

    def _check(self, expectations: Iterable[Expectation]) -> None:
        """What waits for silence first, side by side; then the others in the order written."""
        rest = list(expectations)
        for verdict in (Verdict.DROPPED, Verdict.UNTOUCHED):
            silent = [e for e in rest if e.outcome is verdict and not _must_be_heard(e)]
            rest = [e for e in rest if e not in silent]
            packets = [expectation.packet for expectation in silent]
            attempts = self._world.send_all(packets, SILENCE_SECONDS) if packets else []
            for expectation, attempt in zip(silent, attempts, strict=True):
                self._note(expectation, _wrong_verdict(verdict, attempt))
        for expectation in rest:
            self._note(expectation, self._complaint(expectation))

    def _note(self, expectation: Expectation, complaint: str) -> None:
        if complaint:
            self.ruleset = self.ruleset or nft.list_ruleset(self._world.lab.node)
            self.failures.append(Failure(self._scenario, expectation, complaint))

    def _complaint(self, expectation: Expectation) -> str:
        packet, outcome = expectation.packet, expectation.outcome
        match outcome:
            case Verdict():
                return _wrong_verdict(outcome, self._world.send(packet))
            case WantsEndpoints(is_sticky=False, binds=""):
                return self._wrong_endpoints(expectation, outcome)
            case WantsEndpoints():
                return self._not_sticky(expectation, outcome)
            case WantsBound():
                return self._wrong_bound(expectation, outcome)
            case _:
                assert_never(outcome)

    def _wrong_endpoints(self, expectation: Expectation, outcome: WantsEndpoints) -> str:
        missing = {wanted.target for wanted in outcome.endpoints}
        most = _enough_connections(len(missing))
        for count in itertools.count(1):
            arrival = self._connect(expectation)
            if complaint := _wrong_arrival(outcome, arrival):
                return f"connection {count} {complaint}"
            assert isinstance(arrival, Arrival)
            missing.discard(arrival.target)
            if not missing and count >= MIN_CONNECTIONS:
                break
            if count >= most:
                names = ", ".join(map(target_text, sorted(missing)))
                return f"none of {count} connections reached {names}"
        return ""

    def _not_sticky(self, expectation: Expectation, outcome: WantsEndpoints) -> str:
        reached: set[Target] = set()
        for count in range(1, STICKY_CONNECTIONS + 1):
            arrival = self._connect(expectation)
            if complaint := _wrong_arrival(outcome, arrival):
                return f"connection {count} {complaint}"
            assert isinstance(arrival, Arrival)
            reached.add(arrival.target)
            if len(reached) > 1:
                return f"connection {count} went elsewhere: {target_text(arrival.target)}"
        if outcome.binds:
            (self._bound[outcome.binds],) = reached
        return ""

    def _wrong_bound(self, expectation: Expectation, outcome: WantsBound) -> str:
        bound = self._bound.get(outcome.name)
        if bound is None:
            return f"nothing was bound to {outcome.name}"
        for count in range(1, STICKY_CONNECTIONS + 1):
            arrival = self._connect(expectation)
            if not isinstance(arrival, Arrival):
                return f"connection {count} was {arrival}"
            if (arrival.target == bound) is not outcome.is_same:
                name = f"{outcome.name} is {target_text(bound)}"
                return f"connection {count} reached {target_text(arrival.target)}, and {name}"
            if outcome.is_masqueraded not in (None, arrival.is_masqueraded):
                return f"connection {count} reached {_text(arrival)}"
            if outcome.binds:
                self._bound[outcome.binds] = arrival.target
        return ""

    def _connect(self, expectation: Expectation) -> Arrival | Verdict | str:
        return self._world.send(expectation.packet).seen(_may_stay(expectation))


def _must_be_heard(expectation: Expectation) -> bool:
    """What the node sends to itself is untouched only if it is answered."""
    return expectation.outcome is Verdict.UNTOUCHED and expectation.packet.is_from_node


def _may_stay(expectation: Expectation) -> bool:
    """The packet's own destination is an endpoint that it may reach, such as an ingress's."""
    packet, outcome = expectation.packet, expectation.outcome
    own = Target(packet.destination, packet.port)
    return isinstance(outcome, WantsEndpoints) and any(e.target == own for e in outcome.endpoints)


def _wrong_verdict(wanted: Verdict, attempt: Attempt) -> str:
    seen = attempt.seen()
    if seen is wanted:
        return ""
    return f"it is {_text(seen) if isinstance(seen, Arrival) else seen} ({attempt.outcome})"


def _wrong_arrival(outcome: WantsEndpoints, arrival: Arrival | Verdict | str) -> str:
    if not isinstance(arrival, Arrival):
        return f"was {arrival}"
    wanted = {each.target: each.is_masqueraded for each in outcome.endpoints}
    if arrival.target in wanted and wanted[arrival.target] in (None, arrival.is_masqueraded):
        return ""
    return f"reached {_text(arrival)}"


def _text(arrival: Arrival) -> str:
    return answer_text(Reaches(frozenset({arrival})))


def _enough_connections(endpoints: int) -> int:
    """So many that all are reached but for a chance of MISS_CHANCE, if all are drawn alike.

    n * (1 - 1/n) ** count < MISS_CHANCE
    """
    if endpoints == 1:
        return MIN_CONNECTIONS
    count = math.log(MISS_CHANCE / endpoints) / math.log(1 - 1 / endpoints)
    return max(MIN_CONNECTIONS, math.ceil(count))


def _listening(scenario: Scenario) -> Iterator[tuple[Addr, Port]]:
    """Every endpoint the scenario names with its port, and every port asked for on the node."""
    own = node_addresses(scenario)
    for section in scenario.sections:
        for expectation in section.expectations if isinstance(section, Expect) else ():
            packet, outcome = expectation.packet, expectation.outcome
            if packet.destination in own and packet.transport is not None:
                yield port_of(packet, Target(packet.destination, packet.port))
            if isinstance(outcome, WantsEndpoints):
                for wanted in outcome.endpoints:
                    yield port_of(packet, wanted.target)
