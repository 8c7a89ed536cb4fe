from __future__ import annotations

import os
from pathlib import Path

from nodeproxy.server.process import ProcessStat, process_metrics


def test_a_process_name_with_spaces_and_parentheses_does_not_shift_the_fields():
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *(str(number) for number in range(4, 53))]

    stat = ProcessStat(f"7 (a) b (c) {' '.join(fields)}")

    assert stat.cpu_seconds == (14 + 15) / ticks
    assert stat.start_seconds_after_boot == 22 / ticks
    assert stat.virtual_bytes == 23
    assert stat.resident_bytes == 24 * os.sysconf("SC_PAGE_SIZE")


def test_the_own_process_has_memory_and_open_files():
    values = {
        metric.name: float(list(metric.lines())[-1].split()[-1]) for metric in process_metrics()
    }

    assert values["process_resident_memory_bytes"] > 1_000_000
    assert values["process_open_fds"] >= 3
    assert values["process_start_time_seconds"] > 1_600_000_000


def test_a_kernel_that_does_not_tell_its_start_is_survived(tmp_path: Path):
    (tmp_path / "self" / "fd").mkdir(parents=True)
    (tmp_path / "self" / "stat").write_text(f"1 (x) S {' '.join(['0'] * 49)}")
    (tmp_path / "stat").write_text("cpu 1 2 3\n")

    names = [metric.name for metric in process_metrics(tmp_path)]

    assert "process_start_time_seconds" in names
