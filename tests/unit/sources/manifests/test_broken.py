"""Broken files: when they are told, and how often."""

from __future__ import annotations

from nodeproxy.model.problems import Problem
from nodeproxy.sources.manifests.broken import BrokenFiles

PROBLEM = Problem("m/web.yaml:3", "", "not YAML")
OTHER = Problem("m/web.yaml:9", "", "not YAML either")


def test_file_completed_in_time_is_never_told():
    broken = BrokenFiles(patience_seconds=1.0)
    broken.fail("web", PROBLEM, now=10.0)

    told_early = broken.due(now=10.9)
    was_told = broken.mend("web")

    assert (told_early, was_told) == ([], False)
    assert broken.due(now=20.0) == []


def test_file_that_stays_broken_is_told_once_and_mended_once():
    broken = BrokenFiles(patience_seconds=1.0)
    broken.fail("web", PROBLEM, now=10.0)
    broken.fail("web", PROBLEM, now=10.5)

    first, second = broken.due(now=11.0), broken.due(now=12.0)

    assert (first, second) == ([PROBLEM], [])
    assert broken.problems() == (PROBLEM,)
    assert broken.mend("web")
    assert not broken.mend("web")
    assert broken.problems() == ()


def test_file_broken_in_another_way_is_told_at_once():
    broken = BrokenFiles(patience_seconds=1.0)
    broken.fail("web", PROBLEM, now=10.0)
    broken.due(now=11.0)

    broken.fail("web", OTHER, now=11.5)

    assert broken.due(now=11.5) == [OTHER]


def test_files_found_broken_at_the_first_look_are_told_at_once():
    broken = BrokenFiles(patience_seconds=1.0)

    broken.fail("web", PROBLEM, now=10.0)

    assert broken.due(now=10.0, is_first=True) == [PROBLEM]


def test_next_due_is_the_end_of_the_shortest_patience():
    broken = BrokenFiles(patience_seconds=1.0)
    idle = broken.next_due_in(now=10.0)
    broken.fail("web", PROBLEM, now=10.0)
    broken.fail("dns", OTHER, now=10.5)

    waiting = broken.next_due_in(now=10.75)
    broken.due(now=11.5)

    assert (idle, waiting, broken.next_due_in(now=12.0)) == (None, 0.25, None)
