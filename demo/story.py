"""The demo, step by step; each step says what it shows and notes what went wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial

from demo import screen
from demo.examples import Examples
from demo.rules import abridged
from demo.scaling import Caller, Outcome, observe
from demo.screen import Column
from lab import nft
from lab.agent import AgentProcess
from lab.namespace import Namespace
from lab.topology import CLIENT_ADDRESSES, NODE_ADDRESSES, Lab, Pod
from lab.traffic import Answer, Conversation, Failure, Stream, Target, ask, ask_many, tally
from lab.waiting import DeadlinePassed, eventually

SCALED_SERVICE = "web"
QUESTIONS = 300
STEPS = (1, 3, 0, 3, 2)
"""How many endpoints the scaled Service has, one after the other; it begins with three."""
AWAY_SECONDS = 1.0
DEADLINE_SECONDS = 15.0
LOOK_SECONDS = 0.05


class Story:
    """One run of the demo on a node that is built already."""

    def __init__(self, lab: Lab, agent: AgentProcess, examples: Examples) -> None:
        self._lab = lab
        self._agent = agent
        self._examples = examples
        self._services = examples.services()
        self._web = next(s for s in self._services if s.name == SCALED_SERVICE)
        self.problems: list[str] = []
        """What did not go as it should, in words."""

    @property
    def _backends(self) -> Sequence[Pod]:
        return self._lab.pods[:-1]

    @property
    def _caller(self) -> Pod:
        return self._lab.pods[-1]

    def tell(self) -> None:
        """Run everything."""
        self.start_agent()
        self.show_who_answers()
        with self._callers() as callers, self._established() as established:
            self.scale(callers)
            self.kill_and_restart(callers)
            self.look_at(established)
        self.show_rules()

    def start_agent(self) -> None:
        """Start the agent and wait for the first answer from a ClusterIP."""
        screen.heading("The agent starts")
        target = next(self._web.cluster_targets())
        started = time.monotonic()
        self._agent.start()
        try:
            eventually(
                f"an answer from {target}",
                lambda: self._ask_while_agent_runs(target),
                lambda seen: isinstance(seen, Answer),
                deadline_seconds=DEADLINE_SECONDS,
            )
        except DeadlinePassed as exc:
            raise DemoFailed(self._with_log(str(exc))) from exc
        screen.say(
            f"nodeproxy run --manifests examples/: {target} answers "
            f"{_milliseconds(time.monotonic() - started)} after the start of the process"
        )

    def show_who_answers(self) -> None:
        """Ask every ClusterIP and NodePort of the examples and show who answered how often."""
        screen.heading(f"Who answers: {QUESTIONS} new connections (or UDP flows) for each row")
        names = [pod.name for pod in self._backends]
        table = screen.Table(
            Column("from", 6),
            Column("to", 37),
            Column("server sees"),
            *(Column(name, is_number=True) for name in (*names, "failed")),
        )
        for caller, service, target in self._questions():
            cells = self._cells_of_answers(caller, target, names)
            table.row([caller.name, f"{service} {target}", *cells])

    def scale(self, callers: Sequence[Caller]) -> None:
        """Scale the Service and show how soon the traffic follows."""
        screen.heading(f"{self._web.name} is scaled while new connections go on without a pause")
        addresses = [a for pod in self._backends for a in pod.addresses]
        table = screen.Table(
            Column("change", 16),
            Column("new connections", 33),
            *(Column(title, is_number=True) for title in ("followed after", "opened")),
            *(Column(title, is_number=True) for title in ("answered", "refused", "failed")),
        )
        count = len(self._backends)
        for wanted in STEPS:
            change = f"{count} -> {wanted} endpoints"
            changed_at = self._examples.scale(SCALED_SERVICE, wanted)
            seen = observe(callers, changed_at, addresses[: 2 * count], addresses[: 2 * wanted])
            for caller, outcome in zip(callers, seen, strict=True):
                table.row([change, caller.label, *self._cells_of_change(change, caller, outcome)])
            count = wanted
        screen.say("followed after: from the change of the file to the first connection that shows")
        screen.say("it, with about one new connection a millisecond; refused is right while there")
        screen.say("is no endpoint; failed is never right")

    def kill_and_restart(self, callers: Sequence[Caller]) -> None:
        """Kill the agent under traffic, start it again, and show that nobody noticed."""
        screen.heading("The agent is killed (SIGKILL), stays away, and is started again")
        generation, killed_at = nft.generation(self._lab.node), time.monotonic()
        self._agent.kill()
        time.sleep(AWAY_SECONDS)
        self._agent.start()
        try:
            eventually("the agent is ready", self._agent.is_ready)
        except DeadlinePassed as exc:
            self._note(str(exc))
        changes = nft.generation(self._lab.node) - generation
        for caller in callers:
            samples = caller.stream.since(killed_at)
            failed = sum(not isinstance(s.outcome, Answer) for s in samples)
            screen.say(f"{caller.label}: {len(samples)} new connections meanwhile, {failed} failed")
            if failed:
                self._note(f"{failed} connections failed while the agent was away or restarted")
        screen.say(f"changes to the rules by the restart: {changes}")
        if changes:
            self._note(f"the restart changed the rules {changes} times; nothing had changed")

    def look_at(self, established: tuple[Conversation, Stream]) -> None:
        """Show that the connection opened before all this went on."""
        conversation, stream = established
        failed = len(stream.failures())
        server = conversation.opening.server if isinstance(conversation.opening, Answer) else "none"
        screen.heading("One connection was opened before all this and kept open")
        screen.say(f"{len(stream.samples)} questions, answered by {server}, {failed} failed")
        if failed or server == "none":
            self._note("the connection that was kept open broke")

    def show_rules(self) -> None:
        """Show what the kernel has."""
        screen.heading("What the kernel has: nft list table ip nodeproxy, shortened")
        for line in abridged(self._lab.node.run("nft", "list", "table", "ip", "nodeproxy")):
            screen.say(line)

    def _questions(self) -> Iterator[tuple[Namespace, str, Target]]:
        """Who asks which Service where."""
        for service in self._services:
            for target in service.cluster_targets():
                yield self._caller.namespace, service.name, target
            for target in service.node_targets(NODE_ADDRESSES):
                yield self._lab.client, service.name, target
        for target in self._web.cluster_targets():
            yield self._lab.node, self._web.name, target

    def _cells_of_answers(
        self, caller: Namespace, target: Target, names: Sequence[str]
    ) -> list[str]:
        outcomes = ask_many(caller, target, QUESTIONS)
        answers = [o for o in outcomes if isinstance(o, Answer)]
        name_by_address = {a: pod.name for pod in self._backends for a in pod.addresses}
        counts = tally(answers)
        by_name = {name_by_address.get(address, address): n for address, n in counts.items()}
        failed = len(outcomes) - len(answers)
        if failed or not answers:
            self._note(f"{failed} of {len(outcomes)} from {caller.name} to {target} failed")
        seen_as = ", ".join(sorted({self._name(answer.seen_as) for answer in answers}))
        shares = [str(by_name.get(name, 0)) for name in names]
        return [seen_as or "-", *shares, str(failed)]

    def _name(self, address: str) -> str:
        names = {a: pod.name for pod in self._lab.pods for a in pod.addresses}
        names |= dict.fromkeys(NODE_ADDRESSES, "node") | dict.fromkeys(CLIENT_ADDRESSES, "client")
        return names.get(address, address)

    def _cells_of_change(self, change: str, caller: Caller, outcome: Outcome) -> list[str]:
        if outcome.followed_seconds is None:
            self._note(f"{change}: connections {caller.label} did not follow")
            followed = "never"
        else:
            followed = _milliseconds(outcome.followed_seconds)
        if outcome.failed:
            self._note(f"{change}: {outcome.failed} connections {caller.label} failed")
        counts = (outcome.connections, outcome.answered, outcome.refused, outcome.failed)
        return [followed, *map(str, counts)]

    @contextlib.contextmanager
    def _callers(self) -> Iterator[list[Caller]]:
        """Somebody inside and somebody outside, each opening one connection after the other."""
        inside = next(self._web.cluster_targets())
        outside = next(self._web.node_targets(NODE_ADDRESSES))
        with contextlib.ExitStack() as stack:
            callers = []
            for namespace, target in (
                (self._caller.namespace, inside),
                (self._lab.client, outside),
            ):
                stream = Stream(partial(ask, namespace, target), name=namespace.name)
                stack.enter_context(stream)
                callers.append(Caller(f"{namespace.name} to {target}", stream))
            yield callers

    @contextlib.contextmanager
    def _established(self) -> Iterator[tuple[Conversation, Stream]]:
        target = next(self._web.cluster_targets())
        with (
            Conversation(self._caller.namespace, target) as conversation,
            Stream(conversation.say, name="established", pause_seconds=0.005) as stream,
        ):
            yield conversation, stream

    def _ask_while_agent_runs(self, target: Target) -> Answer | Failure:
        if not self._agent.is_running:
            raise DemoFailed(self._with_log("the agent ended by itself"))
        # Short: a SYN that nobody heard is sent again after a second only.
        return ask(self._caller.namespace, target, timeout=LOOK_SECONDS)

    def _with_log(self, problem: str) -> str:
        return f"{problem}\n\nThe agent said:\n{self._agent.log_tail()}"

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


class DemoFailed(Exception):
    """The demo cannot go on."""


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
