"""From the text of a scenario to a `Scenario`; tests/scenarios/README.md describes the format.

Strict on purpose: a word that is not known is a mistake, and the message tells the line and what
to write instead. Otherwise a typing error would make a scenario that shows nothing.

    parse_scenario -> heading: title, `rules:` ... until the first "== "
                   -> sections -> manifests | deletions | packets (see `packets`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nodeproxy.config.reader import InvalidSettings
from tests.support.scenarios.flags import check_flags, flags_by_name
from tests.support.scenarios.manifests import deletion_from, manifests_from
from tests.support.scenarios.mistakes import Mistake, ScenarioError
from tests.support.scenarios.model import (
    Apply,
    Delete,
    Expect,
    Expectation,
    Restart,
    Scenario,
    Section,
    Wait,
    WantsBound,
    WantsEndpoints,
)
from tests.support.scenarios.packets import expectation_from
from tests.support.scenarios.world import DEFAULT_FLAGS

ENDPOINTS_FLAG = "--feature-gates=EndpointSliceProxying=false"
_HEADING_WORDS = ("rules", "flags", "source", "live")
_HEADING = re.compile(r"([a-z-]+):\s*(.*)")
_RULE = re.compile(r"[A-Z]+-\d+[a-z]?")
_SECTION = re.compile(r"== *([a-z]+) *(.*)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Line(NamedTuple):
    """One line of the file."""

    number: int
    text: str


class _Heading(NamedTuple):
    title: str
    rules: tuple[str, ...]
    flags: tuple[str, ...]
    is_live: bool
    text: str


def read_scenario(path: Path) -> Scenario:
    """The scenario of a file.

    Raises:
        ScenarioError: with file, line and what to write instead.
    """
    try:
        return parse_scenario(path.read_text(), path)
    except Mistake as mistake:
        raise ScenarioError(path, mistake.line, mistake.message) from mistake


def parse_scenario(text: str, path: Path) -> Scenario:
    """The scenario of a text.

    Raises:
        Mistake: with the line and what to write instead.
    """
    lines = [Line(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    starts = [index for index, line in enumerate(lines) if line.text.startswith("==")]
    if not starts:
        raise Mistake(len(lines), 'no section; begin one with "== apply"')
    heading = _heading(lines[: starts[0]])
    ends = [*starts[1:], len(lines)]
    sections = tuple(
        _section(lines[start], lines[start + 1 : end])
        for start, end in zip(starts, ends, strict=True)
    )
    _check_names(sections)
    if not any(isinstance(section, Expect) for section in sections):
        raise Mistake(len(lines), 'nothing is expected; write an "== expect" section')
    return Scenario(path, *heading, sections=sections)


def _heading(lines: Sequence[Line]) -> _Heading:
    if not lines or not lines[0].text or _HEADING.fullmatch(lines[0].text):
        raise Mistake(1, "the first line is the title: one sentence that says what is so")
    words: dict[str, Line] = {}
    rest = iter(lines[1:])
    for line in rest:
        if not line.text:
            break
        match = _HEADING.fullmatch(line.text)
        if match is None or match[1] not in _HEADING_WORDS:
            known = ", ".join(f"{word}:" for word in _HEADING_WORDS)
            raise Mistake(line.number, f"not one of {known}; free text begins after an empty line")
        if match[1] in words:
            raise Mistake(line.number, f"{match[1]}: stands twice; write it on one line")
        words[match[1]] = Line(line.number, match[2].strip())
    text = "\n".join(line.text for line in rest if not line.text.startswith("#")).strip()
    return _Heading(
        title=lines[0].text,
        rules=_rules(words.get("rules", Line(1, ""))),
        flags=_flags(words),
        is_live=_choice(words.get("live"), "always"),
        text=text,
    )


def _rules(line: Line) -> tuple[str, ...]:
    ids = line.text.split()
    if not ids:
        raise Mistake(line.number, "no rules; write a line such as: rules: DP-2 TS-813")
    for rule in ids:
        if not _RULE.fullmatch(rule):
            raise Mistake(
                line.number, f'"{rule}" is not the id of a rule; write ids such as DP-2 TS-813'
            )
    return tuple(ids)


def _choice(line: Line | None, *choices: str) -> bool:
    """True if the line is there; it must then hold one of these words."""
    if line is not None and line.text not in choices:
        raise Mistake(line.number, f'"{line.text}" is not known; write {" or ".join(choices)}')
    return line is not None


def _flags(words: dict[str, Line]) -> tuple[str, ...]:
    given = words.get("flags", Line(0, ""))
    flags = _read_flags(given)
    source = words.get("source")
    if _choice(source, "endpoints", "endpointslices") and source and source.text == "endpoints":
        flags = (ENDPOINTS_FLAG, *flags)
    return flags_by_name((*DEFAULT_FLAGS, *flags))


def _read_flags(line: Line) -> tuple[str, ...]:
    """Flags of a line, checked as the agent would."""
    flags = tuple(line.text.split())
    try:
        check_flags(flags_by_name((*DEFAULT_FLAGS, *flags)))
    except (ValueError, InvalidSettings) as exc:
        raise Mistake(line.number, str(exc)) from exc
    return flags


def _section(head: Line, body: Sequence[Line]) -> Section:
    match = _SECTION.fullmatch(head.text)
    word, rest = (match[1], match[2]) if match else ("", "")
    if word in ("wait", "restart") and (line := next(_content(body), None)):
        raise Mistake(line.number, f'"== {word}" has no content; begin a section before this')
    match word:
        case "apply":
            return Apply(head.number, _title(head, rest), manifests_from(_yaml(body), head.number))
        case "delete":
            deletions = tuple(deletion_from(*line) for line in _content(body))
            return Delete(head.number, _title(head, rest), deletions)
        case "expect":
            expectations = tuple(expectation_from(*line) for line in _content(body))
            if not expectations:
                raise Mistake(head.number, "nothing is expected here; write a line with a packet")
            return Expect(head.number, _title(head, rest), expectations)
        case "wait":
            return Wait(head.number, _seconds(head, rest))
        case "restart":
            return Restart(head.number, _restart_flags(head, rest))
    known = "== apply, == delete, == expect, == wait 2s or == restart"
    raise Mistake(head.number, f'"{head.text}" begins no section; write {known}')


def _title(head: Line, rest: str) -> str:
    if rest and not rest.startswith(":"):
        raise Mistake(head.number, f'write a colon before the title: ": {rest}"')
    return rest.removeprefix(":").strip()


def _seconds(head: Line, text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Mistake(head.number, "say how long, as in: == wait 2s (ms, s, m or h)")
    return float(match[1]) * _SECONDS[match[2]]


def _restart_flags(head: Line, rest: str) -> tuple[str, ...] | None:
    text = _title(head, rest)
    return flags_by_name((*DEFAULT_FLAGS, *_read_flags(Line(head.number, text)))) if text else None


def _content(body: Sequence[Line]) -> Iterator[Line]:
    """Lines that are neither empty nor comments."""
    for line in body:
        text = line.text.strip()
        if text and not text.startswith("#"):
            yield Line(line.number, text)


def _yaml(body: Sequence[Line]) -> str:
    return "\n".join(line.text for line in body)


def _check_names(sections: Sequence[Section]) -> None:
    """Names for endpoints are bound before they are used, and used after they are bound."""
    bound: dict[str, Expectation] = {}
    used: set[str] = set()
    expects = (section for section in sections if isinstance(section, Expect))
    for expectation in (line for section in expects for line in section.expectations):
        outcome = expectation.outcome
        if isinstance(outcome, WantsBound):
            if outcome.name not in bound:
                raise Mistake(
                    expectation.line,
                    f'"{outcome.name}" is no outcome and no name bound before; write '
                    "{pod-a:80}, refused, dropped, untouched, or bind the name by "
                    f'"as {outcome.name}" in a line above',
                )
            used.add(outcome.name)
        if isinstance(outcome, WantsBound | WantsEndpoints) and outcome.binds:
            bound[outcome.binds] = expectation
    for name in bound.keys() - used:
        raise Mistake(bound[name].line, f'"{name}" is bound and never used')
