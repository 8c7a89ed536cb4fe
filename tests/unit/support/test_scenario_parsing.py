from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scenarios.mistakes import Mistake, ScenarioError
from tests.support.scenarios.model import Apply, Delete, Expect, Restart, Scenario, Wait
from tests.support.scenarios.parsing import parse_scenario, read_scenario

PATH = Path("tests/scenarios/clusterip/example.txt")

SERVICE = """\
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
"""

EXAMPLE = f"""\
A pod is refused
rules: DP-2 TS-801
flags: --masquerade-all
live: always

Because nobody answers.
# a comment

== apply: a Service alone
{SERVICE}
== expect
# a comment
pod-a -> 10.96.0.10:80 = refused

== wait 2s
== restart
== restart: --cluster-cidr=
== delete: it goes
Service web
== expect: nothing is left
pod-a -> 10.96.0.10:80 = untouched
"""


def parse(text: str) -> Scenario:
    return parse_scenario(text, PATH)


def with_section(section: str) -> str:
    """A scenario that is right but for one section, which begins on line 4."""
    return f"A title\nrules: DP-1\n\n{section}\n== expect\npod-a -> 10.96.0.1:80 = untouched\n"


def test_heading_gives_title_rules_flags_and_text():
    scenario = parse(EXAMPLE)

    assert scenario.name == "clusterip/example"
    assert scenario.title == "A pod is refused"
    assert scenario.rules == ("DP-2", "TS-801")
    assert scenario.text == "Because nobody answers."
    assert scenario.is_live


def test_sections_come_in_the_order_of_the_file():
    scenario = parse(EXAMPLE)

    kinds = [type(section) for section in scenario.sections]
    assert kinds == [Apply, Expect, Wait, Restart, Restart, Delete, Expect]


def test_sections_know_their_line_and_title():
    scenario = parse(EXAMPLE)

    apply, *_, last = scenario.sections
    assert isinstance(apply, Apply)
    assert (apply.line, apply.title) == (9, "a Service alone")
    assert isinstance(last, Expect)
    assert (last.line, last.title) == (23, "nothing is left")
    assert [expectation.line for expectation in last.expectations] == [24]


def test_flags_take_the_place_of_defaults_by_name():
    scenario = parse(EXAMPLE.replace("--masquerade-all", "--cluster-cidr=10.0.0.0/8"))

    assert "--cluster-cidr=10.0.0.0/8" in scenario.flags
    assert "--hostname-override=lab-node" in scenario.flags
    assert len([flag for flag in scenario.flags if "cluster-cidr" in flag]) == 1


def test_a_switch_needs_no_value():
    scenario = parse(EXAMPLE)

    assert "--masquerade-all=true" in scenario.flags


def test_flags_of_a_restart_take_the_place_of_those_of_the_file():
    scenario = parse(EXAMPLE)

    plain, other = (section for section in scenario.sections if isinstance(section, Restart))
    assert plain.flags is None
    assert other.flags is not None
    assert "--cluster-cidr=" in other.flags
    assert "--masquerade-all=true" not in other.flags


def test_source_endpoints_is_a_feature_gate():
    scenario = parse(EXAMPLE.replace("live: always", "source: endpoints"))

    assert "--feature-gates=EndpointSliceProxying=false" in scenario.flags
    assert not scenario.is_live


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2.0), ("500ms", 0.5), ("3m", 180.0), ("1.5h", 5400.0)]
)
def test_waits_have_a_unit(text: str, seconds: float):
    scenario = parse(with_section(f"== wait {text}"))

    assert scenario.sections[0] == Wait(4, seconds)


def test_a_mistake_tells_the_file_and_the_line(tmp_path: Path):
    path = tmp_path / "wrong.txt"
    path.write_text(with_section("== aply"))

    with pytest.raises(ScenarioError) as raised:
        read_scenario(path)

    assert str(raised.value).startswith(f'{path}:4: "== aply" begins no section; write == apply')


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("== wait", 4, "say how long"),
        ("== wait 2 minutes", 4, "say how long"),
        ("== wait 2s\npod-a -> 10.96.0.1:80 = refused", 5, '"== wait" has no content'),
        ("== restart\nService web", 5, '"== restart" has no content'),
        ("== restart: --masquerade", 4, "no flag of the agent"),
        ("== restart: --cluster-cidr", 4, "needs a value"),
        ("== restart: --iptables-masquerade-bit=99", 4, "not a number from 0 to 31"),
        ("== apply two endpoints", 4, "a colon before the title"),
        ("== apply", 4, "no objects"),
        ("== expect", 4, "nothing is expected"),
        ("== delete\nService", 5, "write kind and name"),
        ("== delete\nPod web", 5, '"Pod" is no kind'),
        ("== delete\nNode default/lab-node", 5, "write: Node lab-node"),
        ("== expect\npod-a -> 10.96.0.1:80 = X", 5, "no name bound before"),
        ("== expect\npod-a -> 10.96.0.1:80 = {pod-b:80} as X", 5, "never used"),
    ],
)
def test_a_section_that_is_wrong_is_told_with_the_remedy(section: str, line: int, message: str):
    with pytest.raises(Mistake, match=message) as raised:
        parse(with_section(section))

    assert raised.value.line == line


@pytest.mark.parametrize(
    ("heading", "line", "message"),
    [
        ("", 1, "the first line is the title"),
        ("rules: DP-1", 1, "the first line is the title"),
        ("Title", 1, "no rules"),
        ("Title\nrules:", 2, "no rules"),
        ("Title\nrules: DP", 2, '"DP" is not the id of a rule'),
        ("Title\nrules: DP-1, DP-2", 2, '"DP-1," is not the id of a rule'),
        ("Title\nrules: DP-1\nrules: DP-2", 3, "stands twice"),
        ("Title\nrules: DP-1\nlives: always", 3, "not one of rules:"),
        ("Title\nrules: DP-1\nlive: sometimes", 3, "write always"),
        ("Title\nrules: DP-1\nsource: slices", 3, "write endpoints or endpointslices"),
        ("Title\nrules: DP-1\nWhy it is so.", 3, "free text begins after an empty line"),
        ("Title\nrules: DP-1\nflags: --nonsense=1", 3, "no flag of the agent"),
    ],
)
def test_a_heading_that_is_wrong_is_told_with_the_remedy(heading: str, line: int, message: str):
    text = f"{heading}\n\n== expect\npod-a -> 10.96.0.1:80 = untouched\n"

    with pytest.raises(Mistake, match=message) as raised:
        parse(text)

    assert raised.value.line == line


@pytest.mark.parametrize(
    "text", ["A title\nrules: DP-1\n", f"A title\nrules: DP-1\n\n== apply\n{SERVICE}"]
)
def test_a_scenario_expects_something(text: str):
    with pytest.raises(Mistake, match=r"expect|begin one with"):
        parse(text)
