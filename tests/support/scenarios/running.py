"""Runs a scenario on a dataplane and tells which expectations did not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

import msgspec

from nodeproxy.model.addresses import Addr
from nodeproxy.plan.types import Target
from tests.support.scenarios.driving import Cluster, update_of
from tests.support.scenarios.model import (
    Answer,
    Apply,
    Dataplane,
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
from tests.support.scenarios.world import node_addresses, target_text

MakeDataplane = Callable[[frozenset[Addr]], Dataplane]
"""Makes a dataplane of a node with these local addresses (loopback among them)."""

Choose = Callable[[Sequence[Target]], Target]
"""Decides which of several targets, in order, a connection reaches."""


def first(targets: Sequence[Target]) -> Target:
    """The first of them."""
    return targets[0]


def last(targets: Sequence[Target]) -> Target:
    """The last of them."""
    return targets[-1]


def has_choices(scenario: Scenario) -> bool:
    """True if it matters later which of several endpoints a connection reached."""
    return any(
        isinstance(expectation.outcome, WantsEndpoints)
        and (expectation.outcome.is_sticky or bool(expectation.outcome.binds))
        for section in scenario.sections
        if isinstance(section, Expect)
        for expectation in section.expectations
    )


class Failure(msgspec.Struct, frozen=True):
    """An expectation that did not hold."""

    scenario: Scenario
    expectation: Expectation
    message: str

    def __str__(self) -> str:
        place = f"{self.scenario.path}:{self.expectation.line}"
        return f"{place}: {self.expectation.text}\n    {self.message}"


class Run:
    """One scenario on one dataplane, step by step."""

    def __init__(self, scenario: Scenario, make: MakeDataplane, choose: Choose = first) -> None:
        # Mutable: the cluster, what the dataplane knows, and the names bound so far.
        self.scenario = scenario
        self.cluster = Cluster(scenario.flags)
        self.dataplane = make(node_addresses(scenario))
        self.failures: list[Failure] = []
        self._choose = choose
        self._bound: dict[str, Target] = {}
        self.tell()

    def tell(self) -> None:
        """Let the dataplane know the plan as it is."""
        self.dataplane.update(self.cluster.plans, self.cluster.settings)

    def play(self, *, restarting: bool = False) -> None:
        """All sections in their order; if asked, each by an agent that has just started."""
        for section in self.scenario.sections:
            if restarting:
                self.restart()
            match section:
                case Apply() | Delete():
                    self.cluster.take(update_of(section))
                    self.tell()
                case Wait(seconds=seconds):
                    self.dataplane.wait(seconds)
                case Restart(flags=flags):
                    self.restart(flags)
                case Expect(expectations=expectations):
                    self.check(expectations)
                case _:
                    assert_never(section)

    def restart(self, flags: Sequence[str] | None = None) -> None:
        """End the agent without a trace and start it again."""
        self.dataplane.restart()
        self.cluster.start(self.cluster.flags if flags is None else flags)
        self.tell()

    def check(self, expectations: Iterable[Expectation]) -> None:
        """Send the packets; what does not hold is kept in `failures`."""
        for expectation in expectations:
            if message := self._complaint(expectation):
                self.failures.append(Failure(self.scenario, expectation, message))

    def _complaint(self, expectation: Expectation) -> str:
        """What is wrong, empty if nothing; a connection is made where there is an answer."""
        answer = self.dataplane.answer(expectation.packet)
        outcome = expectation.outcome
        match outcome:
            case Verdict():
                return "" if answer is outcome else f"it is {answer_text(answer)}"
            case WantsEndpoints():
                complaint = _wrong_endpoints(outcome, answer)
            case WantsBound():
                complaint = self._wrong_bound(outcome, answer)
            case _:
                assert_never(outcome)
        if isinstance(answer, Reaches):
            self._connect(expectation, answer, outcome)
        return complaint

    def _wrong_bound(self, outcome: WantsBound, answer: Answer) -> str:
        if not isinstance(answer, Reaches):
            return f"it is {answer_text(answer)}"
        bound = self._bound[outcome.name]
        found = {arrival.target for arrival in answer.arrivals}
        is_right = found == {bound} if outcome.is_same else bound not in found
        if not is_right:
            return f"it reaches {answer_text(answer)}, and {outcome.name} is {target_text(bound)}"
        wanted = outcome.is_masqueraded
        if any(wanted is not None and a.is_masqueraded != wanted for a in answer.arrivals):
            return f"it reaches {answer_text(answer)}"
        return ""

    def _connect(
        self, expectation: Expectation, answer: Reaches, outcome: WantsEndpoints | WantsBound
    ) -> None:
        target = self._choose(sorted(arrival.target for arrival in answer.arrivals))
        self.dataplane.connect(expectation.packet, target)
        if outcome.binds:
            self._bound[outcome.binds] = target


def _wrong_endpoints(wanted: WantsEndpoints, answer: Answer) -> str:
    if not isinstance(answer, Reaches):
        return f"it is {answer_text(answer)}"
    demands_affinity = wanted.is_sticky or bool(wanted.binds)
    found = {arrival.target: arrival.is_masqueraded for arrival in answer.arrivals}
    demands = {each.target: each.is_masqueraded for each in wanted.endpoints}
    is_among = found.keys() <= demands.keys()
    may_be_one_of_them = demands_affinity and answer.is_remembered
    if not is_among or (len(found) < len(demands) and not may_be_one_of_them):
        return f"it reaches {answer_text(answer)}"
    if any(demands[target] not in (None, found[target]) for target in found):
        return f"it reaches {answer_text(answer)}"
    if demands_affinity and not answer.has_affinity:
        return "the service port has no session affinity; leave out sticky and as"
    if answer.has_affinity and len(answer.arrivals) > 1 and not demands_affinity:
        return "the service port has session affinity: one client reaches one; write sticky"
    return ""


def answer_text(answer: Answer) -> str:
    """An answer as a scenario would write it."""
    if not isinstance(answer, Reaches):
        return str(answer)
    parts = (
        f"{target_text(arrival.target)} {'masq' if arrival.is_masqueraded else 'no-masq'}"
        for arrival in sorted(answer.arrivals)
    )
    return f"{{{', '.join(parts)}}}"


def failures_of(
    scenario: Scenario,
    make: MakeDataplane,
    choose: Choose = first,
    *,
    restarting: bool = False,
) -> Sequence[Failure]:
    """The expectations of a scenario that do not hold on a dataplane."""
    run = Run(scenario, make, choose)
    run.play(restarting=restarting)
    return run.failures
