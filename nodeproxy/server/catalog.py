"""docs/metrics.md, written from the metrics themselves: `python -m nodeproxy.server.catalog`."""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.config.schema import Config
from nodeproxy.server.exposition import Histogram, Metric
from nodeproxy.server.health import HealthState
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.servers import Servers

_HEAD = """# Metrics

`http://127.0.0.1:10249/metrics` (`--metrics-bind-address`), in Prometheus' text format. This page
is written by `python -m nodeproxy.server.catalog > docs/metrics.md`.

Numbers that kube-proxy has keep its names, types, labels and buckets, so that dashboards and alerts
go on working; ours begin with `nodeproxy_`. There are no series for single Services: a scrape costs
the same with ten Services and with ten thousand.

Not exposed, because here is nothing they could say: the metrics of the iptables mode,
`rest_client_*` (see `nodeproxy_source_*`), `kubernetes_build_info` (see `nodeproxy_build_info`) and
the runtime of Go.
"""
_SECTIONS = (
    ("As in kube-proxy", ("kubeproxy_",)),
    ("Of nodeproxy", ("nodeproxy_",)),
    ("Of every component and process", ("kubernetes_", "process_")),
)
_TABLE = "| Name | Type | Labels | Meaning |\n|---|---|---|---|"
_SLIS = """
`/metrics/slis` has `kubernetes_healthcheck{name,type}` (gauge) and
`kubernetes_healthchecks_total{name,status,type}` (counter) about `/healthz` of the metrics server;
DELETE begins anew.
"""


def all_metrics() -> list[Metric]:
    """Every metric an agent with all servers can expose, without values."""
    metrics = AgentMetrics()
    Servers(Config(node_name="node"), HealthState(), metrics)
    return list(metrics.metrics(0.0))


def metrics_page(metrics: Iterable[Metric]) -> str:
    """The page."""
    known = list(metrics)
    parts = [_HEAD]
    for title, prefixes in _SECTIONS:
        rows = [_row(metric) for metric in known if metric.name.startswith(prefixes)]
        parts.append("\n".join([f"## {title}\n", _TABLE, *rows, ""]))
    return "\n".join(parts) + _SLIS


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.label_names)
    meaning = metric.help_text
    if isinstance(metric, Histogram):
        meaning += f" Buckets: {metric.buckets[0]:g} to {metric.buckets[-1]:g} s."
    return f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |"


if __name__ == "__main__":
    print(metrics_page(all_metrics()), end="")
