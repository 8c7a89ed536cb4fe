"""The metrics of kube-proxy, as docs/behaviour/60 lists them, against those that are exposed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nodeproxy.server.catalog import all_metrics, metrics_page
from nodeproxy.server.exposition import Histogram, Metric

ROOT = Path(__file__).parents[3]
SPEC = ROOT / "docs" / "behaviour" / "60-flags-config-health-metrics.md"

_KINDS = {"gauge", "counter", "histogram"}
_EXP = tuple(0.001 * 2**power for power in range(15))


class Listed(NamedTuple):
    """One metric of the specification."""

    name: str
    kind: str
    labels: frozenset[str]
    buckets: tuple[float, ...] | None


def listed() -> Iterator[Listed]:
    """The rows of the table in spec 60 section 8 that hold in nftables mode."""
    text = SPEC.read_text().partition("| Name (after prefix) |")[2].partition("\n\n")[0]
    former = ""
    for row in text.splitlines()[2:]:
        names, type_, modes, _ = (cell.strip() for cell in row.strip("|").split("|"))
        former = type_ = former if type_ == "same" else type_
        if modes == "all" or "nft" in modes:
            yield from _metrics_of(names, type_)


def _metrics_of(names: str, type_: str) -> Iterator[Listed]:
    """`a_pending / _total` with `gauge / counter, none` are two metrics."""
    kinds, _, rest = type_.partition(",") if " / " in type_ else (type_, "", type_)
    labels = frozenset(re.findall(r"\b(ip_family|traffic_policy|code|table)\b", rest))
    first, *endings = re.split(r" / |, ", names)
    stem = first.rpartition("_")[0]
    full = [first, *(stem + end if end.startswith("_") else end for end in endings)]
    found = [word for word in re.findall(r"\w+", kinds) if word in _KINDS]
    for index, name in enumerate(full):
        kind = found[min(index, len(found) - 1)]
        yield Listed(
            f"kubeproxy_{name}", kind, labels, _buckets(type_) if kind == "histogram" else None
        )


def _buckets(type_: str) -> tuple[float, ...]:
    """`EXP`, or the bounds one by one and as `1…59 step 1`."""
    if "EXP" in type_:
        return _EXP
    bounds: list[float] = []
    for part in type_.partition("buckets")[2].split(","):
        if steps := re.fullmatch(r"\s*(\d+)…(\d+) step (\d+)", part):
            first, last, step = (int(number) for number in steps.groups())
            bounds += range(first, last + 1, step)
        else:
            bounds.append(float(part))
    return tuple(bounds)


def exposed(metric: Metric) -> Listed:
    buckets = metric.buckets if isinstance(metric, Histogram) else None
    return Listed(metric.name, metric.kind, frozenset(metric.label_names), buckets)


def test_the_specification_is_read_in_every_form_its_rows_have():
    by_name = {metric.name.removeprefix("kubeproxy_"): metric for metric in listed()}

    assert by_name["sync_proxy_rules_service_changes_pending"][1:] == ("gauge", frozenset(), None)
    assert by_name["sync_proxy_rules_service_changes_total"].kind == "counter"
    assert by_name["proxy_livez_total"][1:] == ("counter", frozenset({"code"}), None)
    assert by_name["sync_partial_proxy_rules_duration_seconds"].buckets == _EXP
    programming = by_name["network_programming_duration_seconds"].buckets or ()
    assert (len(programming), programming[:3], programming[-2:]) == (80, (0.25, 0.5, 1), (270, 300))


def test_every_metric_of_kube_proxy_is_exposed_with_its_type_labels_and_buckets():
    """MET-2."""
    ours = {exposed(metric) for metric in all_metrics() if metric.name.startswith("kubeproxy_")}

    assert ours == set(listed())


def test_other_metrics_are_named_as_ours_or_as_everybodys():
    prefixes = ("kubeproxy_", "nodeproxy_", "process_")

    others = {m.name for m in all_metrics() if not m.name.startswith(prefixes)}

    assert others == {"kubernetes_feature_enabled"}


def test_no_metric_has_a_series_for_each_service():
    """A scrape of ten thousand Services costs what one of ten costs."""
    labels = {label for metric in all_metrics() for label in metric.label_names}

    assert labels == {"ip_family", "traffic_policy", "code", "kind", "name", "stage", "version"}


def test_the_page_about_metrics_is_what_the_code_says():
    """To write it anew: `python -m nodeproxy.server.catalog > docs/metrics.md`."""
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page(all_metrics())
