"""Metrics in Prometheus' text format, version 0.0.4; no more of it than is needed here.

A series costs one dictionary entry and one line a scrape; the client library's objects cost a
hundred times that, which matters once there are series for each Service.

Each metric is changed by one thread and may be written as text by another: values are copied, in
one step of the interpreter, before they are walked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

EXPONENTIAL_BUCKETS = tuple(0.001 * 2**i for i in range(15))
"""0.001 to 16.384 s: the buckets of kube-proxy's sync durations (spec 60 section 8)."""

Labels = tuple[str, ...]


class Metric:
    """One name with its values by label values; mutable, owned by whoever counts."""

    kind = "untyped"

    def __init__(self, name: str, help_text: str, label_names: Sequence[str] = ()) -> None:
        """A metric without series; one without labels starts at zero."""
        self.name = name
        self.help_text = help_text
        self.label_names = tuple(label_names)
        self._values: dict[Labels, float] = {} if label_names else {(): 0}

    def reset(self) -> None:
        """Forget all values."""
        self._values = {} if self.label_names else {(): 0}

    def lines(self) -> Iterator[str]:
        """The metric as text, without line ends; nothing while there is no series."""
        if self._has_series():
            yield f"# HELP {self.name} {self.help_text}"
            yield f"# TYPE {self.name} {self.kind}"
            yield from self._series()

    def _has_series(self) -> bool:
        return bool(self._values)

    def _series(self) -> Iterator[str]:
        for labels, value in self._values.copy().items():
            yield f"{self.name}{self._braces(labels)} {_number(value)}"

    def _braces(self, labels: Labels, extra: str = "") -> str:
        pairs = [
            f'{name}="{_escaped(value)}"'
            for name, value in zip(self.label_names, labels, strict=True)
        ]
        if extra:
            pairs.append(extra)
        return f"{{{','.join(pairs)}}}" if pairs else ""


class Counter(Metric):
    """Only grows."""

    kind = "counter"

    def add(self, amount: float, *labels: str) -> None:
        """Count `amount` more; zero makes the series appear."""
        self._values[labels] = self._values.get(labels, 0) + amount


class Gauge(Metric):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """Replace the value."""
        self._values[labels] = value


class Histogram(Metric):
    """How often a duration was how long."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help_text: str,
        label_names: Sequence[str],
        buckets: Sequence[float] = EXPONENTIAL_BUCKETS,
    ) -> None:
        """A histogram without series; buckets are upper bounds in rising order."""
        super().__init__(name, help_text, label_names)
        self.buckets = tuple(buckets)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value; a bound belongs to the bucket below it."""
        # The sum first: whoever finds the counts on another thread finds the sum too.
        self._sums[labels] = self._sums.get(labels, 0.0) + value
        counts = self._counts.setdefault(labels, [0] * (len(self.buckets) + 1))
        counts[bisect_left(self.buckets, value)] += 1

    def _has_series(self) -> bool:
        return bool(self._counts)

    def _series(self) -> Iterator[str]:
        bounds = [*(_number(bound) for bound in self.buckets), "+Inf"]
        for labels, counts in self._counts.copy().items():
            total = 0
            for bound, count in zip(bounds, counts, strict=True):
                total += count
                le = f'le="{bound}"'
                yield f"{self.name}_bucket{self._braces(labels, le)} {total}"
            yield f"{self.name}_sum{self._braces(labels)} {_number(self._sums[labels])}"
            yield f"{self.name}_count{self._braces(labels)} {total}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
