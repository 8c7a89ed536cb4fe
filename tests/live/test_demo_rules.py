"""How the demo shortens a ruleset; no packets, no root."""

from __future__ import annotations

from demo.rules import abridged

LISTING = """table ip nodeproxy {
\tset nothing {
\t\ttype ipv4_addr
\t\tcomment "empty"
\t}

\tset many {
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3, 10.0.0.4,
\t\t\t     10.0.0.5, 10.0.0.6,
\t\t\t     10.0.0.7, 10.0.0.8,
\t\t\t     10.0.0.9, 10.0.0.10,
\t\t\t     10.0.0.11, 10.0.0.12,
\t\t\t     10.0.0.13, 10.0.0.14,
\t\t\t     10.0.0.15, 10.0.0.16 }
\t}

\tchain rules {
\t\tcounter
\t\tcounter
\t\taccept
\t}
}
"""


def test_empty_sets_are_left_out_and_counted():
    lines = list(abridged(LISTING))

    assert not any("nothing" in line for line in lines)
    assert lines[-1] == "(1 empty sets, maps and chains are not shown)"


def test_long_lists_of_elements_are_cut():
    text = "\n".join(abridged(LISTING))

    assert "10.0.0.12" in text
    assert "10.0.0.13" not in text
    assert "... 2 more lines }\n    }" in text


def test_repeated_rules_are_shown_once():
    lines = list(abridged(LISTING))

    assert [line.strip() for line in lines if "counter" in line] == ["counter    # 2 times"]


def test_short_tables_stay_as_they_are():
    listing = "table ip x {\n    chain y {\n        accept\n    }\n}"

    assert "\n".join(abridged(listing)) == listing
