"""What the documents say about the code, and the code about the documents, holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproxy.cli.main import command_names
from nodeproxy.config.doubts import all_remarks
from nodeproxy.config.fields import OWN_FIELDS
from nodeproxy.config.flags import ACTIONS, FLAGS, Flag
from nodeproxy.config.idle import IDLE_FLAGS
from nodeproxy.config.load import load_config

ROOT = Path(__file__).parents[2]
BEHAVIOUR = ROOT / "docs" / "behaviour"
DECISIONS = ROOT / "docs" / "decisions"
CONFIGURATION = ROOT / "docs" / "configuration.md"
CODE = ("nodeproxy", "tests", "lab", "demo", "benchmarks")

PREFIXES = "EPS|EP|EX|SVC|DP|PP|NFT|IPT|CT|CFG|NODE|LIFE|HZ|MET|TS"
# In bold, first in the row of a table, or as the group a heading opens: `## 5. Plumbing (TS-500)`.
DEFINITION = re.compile(rf"(?:\*\*|^\| |^#.*\()((?:{PREFIXES})-\d+[a-z]?)\b", re.MULTILINE)
CITATION = re.compile(rf"\b({PREFIXES})-(\d+[a-z]?)(?:\.\.(?:\1-)?(\d+[a-z]?))?")
SECTION = re.compile(r"\bspec (\d\d)(?: section (\d+))?")
DECISION = re.compile(r"docs/decisions/([\w.-]+\.md)")
TEST_NAME = re.compile(r"`(test_\w+)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def sources() -> Iterator[Path]:
    for folder in CODE:
        yield from (ROOT / folder).rglob("*.py")


def documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
    yield ROOT / "nodeproxy" / "README.md"


def defined_rules() -> set[str]:
    texts = (path.read_text() for path in BEHAVIOUR.glob("[0-9]*.md"))
    return {rule for text in texts for rule in DEFINITION.findall(text)}


def cited_rules(text: str) -> Iterator[str]:
    for prefix, first, last in CITATION.findall(text):
        yield f"{prefix}-{first}"
        if last:
            yield f"{prefix}-{last}"


def test_every_rule_that_is_cited_is_defined():
    defined = defined_rules()

    unknown = {
        f"{path.relative_to(ROOT)}: {rule}"
        for path in (*sources(), *documents())
        for rule in cited_rules(path.read_text())
        if rule not in defined
    }

    assert unknown == set()


def test_citations_are_read_in_every_form_they_take():
    text = "(EP-44, DP-3..5), HZ-1..HZ-6, CFG-7/CFG-47, NFT-2a"

    rules = set(cited_rules(text))

    expected = "EP-44 DP-3 DP-5 HZ-1 HZ-6 CFG-7 CFG-47 NFT-2a"
    assert rules == set(expected.split())


def test_every_section_that_is_cited_exists():
    headings = {
        f"{path.name[:2]} {number}"
        for path in BEHAVIOUR.glob("[0-9]*.md")
        for number in ["", *re.findall(r"^## (\d+)\.", path.read_text(), re.MULTILINE)]
    }

    unknown = {
        f"{path.relative_to(ROOT)}: spec {file} section {number}"
        for path in (*sources(), *documents())
        for file, number in SECTION.findall(path.read_text())
        if f"{file} {number}" not in headings
    }

    assert unknown == set()


def test_every_decision_that_is_referred_to_exists():
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (*sources(), *documents())
        for name in DECISION.findall(path.read_text())
        if not (DECISIONS / name).exists()
    }

    assert unknown == set()


def test_decisions_are_numbered_without_repetition():
    names = [path.name for path in DECISIONS.glob("*.md") if path.name != "README.md"]

    assert [name for name in names if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)] == []
    assert len({name[:4] for name in names}) == len(names)


def test_links_between_documents_lead_somewhere():
    broken = {
        f"{path.relative_to(ROOT)}: {target}"
        for path in documents()
        for target in LINK.findall(path.read_text())
        if not (path.parent / target).exists()
    }

    assert broken == set()


def test_every_test_a_document_names_exists():
    defined = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in (*re.findall(r"def (test_\w+)", path.read_text()), path.stem)
    }

    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in documents()
        for name in TEST_NAME.findall(path.read_text())
        if name not in defined
    }

    assert unknown == set()


@pytest.mark.parametrize("command", command_names())
def test_the_readme_names_every_command(command: str):
    assert f"`nodeproxy {command}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("flag", [*FLAGS, *ACTIONS], ids=lambda flag: flag.name)
def test_the_readme_names_every_flag(flag: Flag):
    spelling = f"`-{flag.short}`" if flag.short else f"`{flag.spelling}`"

    assert spelling in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("flag", IDLE_FLAGS, ids=lambda flag: flag.name)
def test_the_page_on_configuration_names_what_has_no_effect(flag: Flag):
    assert f"`{flag.spelling}`" in CONFIGURATION.read_text()


@pytest.mark.parametrize("name", OWN_FIELDS)
def test_the_page_on_configuration_names_every_field_of_ours(name: str):
    assert f"| `{name}` | `--" in CONFIGURATION.read_text()


def test_the_example_of_a_configuration_file_is_valid_and_leaves_nothing_to_say():
    path = ROOT / "examples" / "config" / "nodeproxy.yaml"

    config = load_config({"config": str(path)}, "node-1")

    assert all_remarks(config) == []
