"""The same scenario told in other ways; the end must be the same (design invariant 5).

    history of a scenario -> a Telling: rounds of updates, perhaps with restarts
                          -> a Cluster -> its EndState, and a dataplane that saw every round

What lies between is different each time: the reversed telling has slices before their Service,
the squashed one has nothing between at all. Two outcomes do depend on history, by intention, and
are taken out of it beforehand: a Node that was deleted stays in force (EP-54), and so does the
last usable version of an object that became unusable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from nodeproxy.backends.nftables.render import render_tables
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.model.events import Kind
from nodeproxy.plan.text import format_plan
from nodeproxy.sources.manifests.decode import FileDecoder
from tests.support.scenarios.driving import NODE_MANIFESTS, Cluster, Update, update_of
from tests.support.scenarios.model import (
    Apply,
    Dataplane,
    Delete,
    Expect,
    Packet,
    Restart,
    Scenario,
)
from tests.support.scenarios.world import NODE_NAME


class Round(NamedTuple):
    """What the agent is told at once."""

    updates: tuple[Update, ...]
    times: int = 1
    """How often each event is told."""
    begins_with_restart: bool = False


class EndState(NamedTuple):
    """Everything the agent decided, as text."""

    plan: str
    tables: str


History = Sequence[Update]
Telling = Callable[[History], Iterable[Round]]


def history_of(scenario: Scenario) -> History:
    """What happens to the objects, section by section, without what depends on history."""
    usable = {manifest.file_name for manifest in NODE_MANIFESTS}
    history: list[Update] = []
    for section in scenario.sections:
        if isinstance(section, Apply | Delete):
            update = _without_traces(update_of(section), usable)
            history.append(update)
            usable |= {name for name, text in update.items() if text and is_usable(name, text)}
            usable -= {name for name, text in update.items() if text is None}
    return history


def depends_on_history(scenario: Scenario) -> bool:
    """True if an agent that starts in the middle of it knows less than one that was there."""
    sections = (each for each in scenario.sections if isinstance(each, Apply | Delete))
    return list(history_of(scenario)) != list(map(update_of, sections))


def _without_traces(update: Update, usable: set[str]) -> Update:
    """An update without versions that leave a former one in force."""
    kept: Update = {}
    for name, text in update.items():
        node_goes = text is None and name.startswith(f"{Kind.NODE}.".lower())
        keeps_former = text is not None and name in usable and not is_usable(name, text)
        if not node_goes and not keeps_former:
            kept[name] = text
    return kept


def is_usable(name: str, text: str) -> bool:
    """True if the agent reads a manifest without refusing the object."""
    content = FileDecoder(NODE_NAME, frozenset()).decode(name, text.encode())
    return not content.refusals and not content.has_strangers


def final_flags(scenario: Scenario) -> tuple[str, ...]:
    """The flags of the agent that runs at the end."""
    flags = scenario.flags
    for section in scenario.sections:
        if isinstance(section, Restart) and section.flags is not None:
            flags = section.flags
    return flags


def _final(history: History) -> Update:
    """The last word about every file."""
    return {name: text for update in history for name, text in update.items()}


def _reversed(history: History) -> Iterable[Round]:
    """The objects of the end, the last first, one at a time."""
    final = _final(history)
    return [Round(({name: final[name]},)) for name in reversed(final) if final[name] is not None]


def _split(history: History) -> Iterable[Round]:
    """Everything that happened, one object a round."""
    return [Round(({name: text},)) for update in history for name, text in update.items()]


def _squashed(history: History) -> Iterable[Round]:
    """Everything in one round, of which only the latest value of an object counts."""
    return [Round((_final(history),))]


def _at_once(history: History) -> Iterable[Round]:
    """Everything in one round, every value of it."""
    return [Round(tuple(history))]


def _duplicated(history: History) -> Iterable[Round]:
    """Everything told three times."""
    return [Round((update,), times=3) for update in history]


def _restarted(history: History) -> Iterable[Round]:
    """The agent is killed before every step, and after the last."""
    rounds = [Round((update,), begins_with_restart=True) for update in history]
    return [*rounds, Round((), begins_with_restart=True)]


TELLINGS: Mapping[str, Telling] = {
    "reversed": _reversed,
    "split": _split,
    "squashed": _squashed,
    "at-once": _at_once,
    "duplicated": _duplicated,
    "restarted": _restarted,
}
"""Ways to tell a history, by name."""


def replay(scenario: Scenario, telling: Telling, *dataplanes: Dataplane) -> EndState:
    """Tell a scenario's history to an agent; the dataplanes see every round."""
    flags = final_flags(scenario)
    cluster = Cluster(flags)
    for dataplane in dataplanes:
        dataplane.update(cluster.plans, cluster.settings)
    for step in telling(history_of(scenario)):
        if step.begins_with_restart:
            cluster.start(flags)
            for dataplane in dataplanes:
                dataplane.restart()
        cluster.take(*step.updates, times=step.times)
        for dataplane in dataplanes:
            dataplane.update(cluster.plans, cluster.settings)
    return end_state(cluster)


def end_state(cluster: Cluster) -> EndState:
    """What the agent of a cluster decided."""
    plans = cluster.plans
    return EndState(
        plan=format_plan(plans),
        tables=render_tables(
            (cluster.settings[f], [plan for key, plan in plans.items() if key.family is f])
            for f in FAMILIES
        ),
    )


def packets_of(scenario: Scenario) -> Sequence[Packet]:
    """Every packet of a scenario once."""
    expectations = (
        expectation
        for section in scenario.sections
        if isinstance(section, Expect)
        for expectation in section.expectations
    )
    return list(dict.fromkeys(expectation.packet for expectation in expectations))
