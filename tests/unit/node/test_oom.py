"""The OOM score of the own process (CT-32)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from nodeproxy.node.oom import set_oom_score


@pytest.fixture
def score_file(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    file = tmp_path / "self" / "oom_score_adj"
    file.write_text("0\n")
    return file


def test_score_is_written(tmp_path: Path, score_file: Path):
    is_set = set_oom_score(-999, tmp_path)

    assert is_set
    assert score_file.read_text() == "-999\n"


def test_score_that_is_right_is_not_written(tmp_path: Path, score_file: Path):
    os.utime(score_file, ns=(0, 1_000_000_000))

    is_set = set_oom_score(0, tmp_path)

    assert is_set
    assert score_file.stat().st_mtime_ns == 1_000_000_000


def test_score_is_left_alone_without_a_wish(tmp_path: Path, score_file: Path):
    score_file.write_text("17\n")

    set_oom_score(None, tmp_path)

    assert score_file.read_text() == "17\n"


def test_score_that_cannot_be_set_is_a_debug_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "nodeproxy.node")

    is_set = set_oom_score(-999, tmp_path)

    assert not is_set
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "oom_score_adj not set to -999" in caplog.text
