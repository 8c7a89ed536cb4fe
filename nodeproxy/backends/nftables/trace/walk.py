"""The way of a packet through hooks, chains and rules.

    comes in:    prerouting (nat, then what is behind it) -> local? input
                                                          -> else   forward -> postrouting
    made here:   output (nat, filter) -> postrouting -> local? by the interface lo:
                 prerouting (filter only: the connection has its translation) -> input

A packet may have many ways, since endpoints are drawn at random; all are followed, each with its
exact probability, and those that have become the same packet again go on as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import assert_never

import msgspec
from msgspec.structs import replace

from nodeproxy.backends.nftables.objects import Chain, Goto, Jump, Rule
from nodeproxy.backends.nftables.trace.effects import Effect, Flight, Move, Scene, effects_of
from nodeproxy.backends.nftables.trace.endings import Path, Step
from nodeproxy.backends.nftables.trace.frame import UntraceableError
from nodeproxy.netlink import nf_tables as nf

_MAX_DEPTH = 16
"""NFT_JUMP_STACK_SIZE: the kernel takes no deeper nesting, and no loops."""


class Way(msgspec.Struct, frozen=True):
    """One of the ways of a packet, up to here."""

    flight: Flight
    probability: Fraction = Fraction(1)
    path: Path = ()
    end: Move = Move.ON
    """ON while the chain goes on, STOP when it was left by the end of a goto, or a verdict."""
    is_settled: bool = False
    """A nat chain of this hook has translated; the others are not asked."""


class Passage:
    """One packet on all its ways."""

    def __init__(self, scene: Scene, hooks: Mapping[int, Sequence[Chain]]) -> None:
        self._scene = scene
        self._hooks = hooks

    def run(self, flight: Flight) -> list[Way]:
        """Lead a packet from where it begins to where it ends."""
        if flight.interface:
            ways = self._hook(nf.NF_INET_PRE_ROUTING, [Way(flight)])
            here, there = self._routed(ways)
            there = self._hook(nf.NF_INET_FORWARD, there)
            here = self._hook(nf.NF_INET_LOCAL_IN, here)
            return here + self._hook(nf.NF_INET_POST_ROUTING, there)
        ways = self._hook(nf.NF_INET_LOCAL_OUT, [Way(flight)])
        here, there = self._routed(self._hook(nf.NF_INET_POST_ROUTING, ways))
        # It comes in again by lo as the same new connection, but nat has been decided on.
        here = [replace(way, flight=replace(way.flight, interface="lo")) for way in here]
        here = self._hook(nf.NF_INET_PRE_ROUTING, here, translates=False)
        return there + self._hook(nf.NF_INET_LOCAL_IN, here)

    def _routed(self, ways: Iterable[Way]) -> tuple[list[Way], list[Way]]:
        """Those for the node itself, and the others."""
        here: list[Way] = []
        there: list[Way] = []
        for way in ways:
            (here if way.flight.destination in self._scene.node else there).append(way)
        return here, there

    def _hook(self, number: int, ways: list[Way], *, translates: bool = True) -> list[Way]:
        """Run the base chains of a hook; what is dropped or refused meets no further one."""
        for chain in self._hooks.get(number, ()):
            is_nat = chain.hook is not None and chain.hook.type == "nat"
            past: list[Way] = []
            going: list[Way] = []
            for way in ways:
                skips = is_nat and (way.is_settled or not translates)
                (past if skips or way.end is not Move.ON else going).append(way)
            ways = past + [_accepted(way) for way in self._chain(chain, going, depth=1)]
        return [replace(way, is_settled=False) for way in ways]

    def _chain(self, chain: Chain, ways: list[Way], depth: int) -> list[Way]:
        """Run a chain: each way comes back with a verdict, or ON where the caller goes on."""
        if depth > _MAX_DEPTH:
            raise UntraceableError(f"chain {chain.name}", "chains lead to each other in a circle")
        done: list[Way] = []
        for rule in chain.rules:
            after = [later for way in ways for later in self._rule(chain, rule, way, depth)]
            ways = _merged(way for way in after if way.end is Move.ON)
            done += [way for way in after if way.end is not Move.ON]
        left = [replace(way, end=Move.ON) if way.end is Move.STOP else way for way in done]
        return _merged([*ways, *left])

    def _rule(self, chain: Chain, rule: Rule, way: Way, depth: int) -> list[Way]:
        """Run a rule: ON leads to the next one, STOP out of the chain."""
        done: list[Way] = []
        running: list[tuple[Way, tuple[str, ...]]] = [(way, ())]
        for statement in rule.statements:
            following = []
            for current, notes in running:
                for effect in effects_of(statement, current.flight, self._scene):
                    after = _affected(current, effect)
                    told = (*notes, effect.note) if effect.note else notes
                    if effect.move is Move.ON:
                        following.append((after, told))
                    elif effect.move is Move.STOP and after.flight is way.flight:
                        done.append(after)
                    else:
                        step = self._step(chain, rule, told)
                        done += self._moved(way, after, effect.move, step, depth)
            if not following:
                return done
            running = following
        ended = [_told(after, self._step(chain, rule, told)) for after, told in running]
        return done + ended

    def _moved(
        self, before: Way, after: Way, move: Move | Jump | Goto, step: Step, depth: int
    ) -> list[Way]:
        """Follow what ends a rule; `before` is the way before the rule."""
        match move:
            case Jump(name) | Goto(name):
                target = self._scene.frame.chains[name]
                found = self._chain(target, [_told(after, step)], depth + 1)
                ways = [_without_detour(before, way, step) for way in found]
                if isinstance(move, Jump):
                    return ways
                return [replace(w, end=Move.STOP) if w.end is Move.ON else w for w in ways]
            case Move.STOP:
                return [_told(after, step)]
            case Move.RETURN:
                return [replace(_told(after, step), end=Move.STOP)]
            case Move():
                return [replace(_told(after, step), end=move)]
            case _:
                assert_never(move)

    def _step(self, chain: Chain, rule: Rule, notes: Sequence[str]) -> Step:
        return Step(self._scene.frame.family, chain.name, rule, ", ".join(notes))


def _affected(way: Way, effect: Effect) -> Way:
    if effect.share != 1:
        return replace(way, flight=effect.flight, probability=way.probability * effect.share)
    return way if effect.flight is way.flight else replace(way, flight=effect.flight)


def _told(way: Way, step: Step) -> Way:
    return replace(way, path=(*way.path, step))


def _without_detour(before: Way, way: Way, step: Step) -> Way:
    """Leave out of the path that a chain was asked which had nothing to say."""
    is_detour = way.end is Move.ON and way.path[-1] is step and way.flight == before.flight
    return replace(way, path=before.path) if is_detour else way


def _accepted(way: Way) -> Way:
    """Accepting ends a base chain, not the packet's way; in a nat chain it settles the hook."""
    return replace(way, end=Move.ON, is_settled=True) if way.end is Move.ACCEPT else way


def _merged(ways: Iterable[Way]) -> list[Way]:
    """One way for all that have become the same packet; the likeliest lends its path."""
    ways = list(ways)
    if len(ways) < 2:
        return ways
    found: dict[tuple[Flight, Move], Way] = {}
    for way in ways:
        known = found.setdefault((way.flight, way.end), way)
        if known is not way:
            likelier = max(known, way, key=lambda each: each.probability)
            total = known.probability + way.probability
            found[way.flight, way.end] = replace(likelier, probability=total)
    return list(found.values())
