"""Calls through the rules, on a private node."""

from __future__ import annotations

import pytest

from benchmarks import datapath
from benchmarks.datapath import BulkRow, DatapathResult, WayRow
from benchmarks.figures import Size

SIZE = Size(1000, 10)


def way(small_us: float, large_us: float) -> WayRow:
    return WayRow("VIP", "client", "TCP", small_us, 2 * small_us, large_us, 2 * large_us, 1.25)


def test_a_way_is_flat_if_many_services_cost_a_tenth_more_at_most():
    result = DatapathResult(SIZE, 1, (way(100, 110), way(100, 120)), (), ())

    _, flat, steep, *_ = result.lines()

    assert flat.split()[-3:] == ["1.25", "1.10", "yes"]
    assert steep.split()[-3:] == ["1.25", "1.20", "NO"]


def test_throughput_is_flat_if_many_services_leave_ten_elevenths():
    fast, slow = (1.25e9,), (1e9,)
    bulk = (BulkRow("direct", fast, fast), BulkRow("ClusterIP", fast, slow))

    lines = list(DatapathResult(SIZE, 1, (), bulk, ()).lines())

    assert lines[-2].split() == ["direct", "10.0", "Gbit/s", "10.0", "Gbit/s", "1.00", "yes"]
    assert lines[-1].split() == ["ClusterIP", "10.0", "Gbit/s", "8.0", "Gbit/s", "0.80", "NO"]


def test_throughput_is_compared_round_by_round():
    noisy = BulkRow("ClusterIP", (4.0, 2.0, 8.0), (4.0, 2.0, 4.0))

    assert noisy.against_small == 1.0


def test_a_way_that_nobody_answers_is_told():
    result = DatapathResult(SIZE, 1, (), (), ("client to VIP (TCP)",))

    assert list(result.lines())[-1] == "NOT ANSWERED: client to VIP (TCP)"


@pytest.mark.live
def test_calls_and_bulks_pass_every_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datapath, "_BULK_ROUNDS", 1)
    monkeypatch.setattr(datapath, "_BULK_SECONDS", 0.01)

    result = datapath.run_datapath(Size(20, 2), connections=1)

    answered = {(row.caller, row.name, row.protocol) for row in result.rows}
    assert ("pod", "ClusterIP", "UDP") in answered
    assert ("client", "VIP, eTP Local", "TCP") in answered
    assert all(min(row.rates) > 0 for row in result.bulk)
