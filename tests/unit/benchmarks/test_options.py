"""The command line of the benchmark."""

from __future__ import annotations

import pytest

from benchmarks.figures import Size
from benchmarks.options import PARTS, parse_options


def test_everything_is_measured_unless_told_otherwise():
    options = parse_options([])

    assert options.parts == PARTS


def test_parts_are_measured_in_their_own_order():
    options = parse_options(["--only", "datapath,changes"])

    assert options.parts == ("changes", "datapath")


def test_an_unknown_part_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_options(["--only", "changes,speed"])

    assert (
        "'speed' is none of agent, bytes, changes, datapath, conntrack" in capsys.readouterr().err
    )


def test_changes_are_measured_at_the_size_with_the_most_endpoints():
    options = parse_options(["--sizes", "100x10,10x500,1000x1"])

    assert options.largest == Size(10, 500)
