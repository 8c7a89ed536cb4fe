from __future__ import annotations

from nodeproxy.server.exposition import Counter, Gauge, Histogram


def test_a_metric_without_labels_starts_at_zero():
    lines = list(Counter("x_total", "Things.").lines())

    assert lines == ["# HELP x_total Things.", "# TYPE x_total counter", "x_total 0"]


def test_a_metric_with_labels_is_silent_until_counted():
    assert list(Counter("x_total", "Things.", ["code"]).lines()) == []


def test_counting_adds_up_by_labels():
    counter = Counter("x_total", "Things.", ["code"])
    counter.add(1, "200")
    counter.add(2, "503")
    counter.add(1, "200")

    assert list(counter.lines())[2:] == ['x_total{code="200"} 2', 'x_total{code="503"} 2']


def test_a_gauge_keeps_the_last_value():
    gauge = Gauge("x", "Things.")
    gauge.set(3)
    gauge.set(0.25)

    assert list(gauge.lines())[-1] == "x 0.25"


def test_values_of_labels_are_escaped():
    gauge = Gauge("x", "Things.", ["what"])
    gauge.set(1, 'a"b\\c\nd')

    assert list(gauge.lines())[-1] == 'x{what="a\\"b\\\\c\\nd"} 1'


def test_a_histogram_counts_in_every_bucket_above():
    histogram = Histogram("x_seconds", "Time.", ["family"], buckets=(0.5, 1))
    for value in (0.5, 0.75, 8.0):
        histogram.observe(value, "IPv4")

    assert list(histogram.lines())[1:] == [
        "# TYPE x_seconds histogram",
        'x_seconds_bucket{family="IPv4",le="0.5"} 1',
        'x_seconds_bucket{family="IPv4",le="1"} 2',
        'x_seconds_bucket{family="IPv4",le="+Inf"} 3',
        'x_seconds_sum{family="IPv4"} 9.25',
        'x_seconds_count{family="IPv4"} 3',
    ]


def test_a_histogram_without_values_is_silent():
    assert list(Histogram("x_seconds", "Time.", ["family"]).lines()) == []
