"""What the metrics server tells beside numbers (spec 60 section 8)."""

from __future__ import annotations

import asyncio
import json
import pstats
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from nodeproxy.config.document import peer_document
from nodeproxy.config.schema import Config, ListenAddress
from nodeproxy.server.http1 import Answer, Request
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.metrics_server import Facts, MetricsServer
from nodeproxy.server.pages import statusz
from nodeproxy.server.profiling import Stack, folded, pstats_from, sample

ADDRESS = ListenAddress("127.0.0.1", 0)
PROFILING = Facts(has_profiling=True)


def ask(path: str, facts: Facts = PROFILING, *, accept: str = "", **fields: object) -> Answer:
    """What the server answers at once."""
    name, _, query = path.partition("?")
    pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
    method, body = str(fields.get("method", "GET")), fields.get("body", b"")
    assert isinstance(body, bytes)
    request = Request(method, name, pairs, {"accept": accept} if accept else {}, body)
    answer = MetricsServer(ADDRESS, AgentMetrics(), facts).answer(request)
    assert isinstance(answer, Answer)
    return answer


async def ask_later(path: str) -> Answer:
    name, _, query = path.partition("?")
    pairs = dict(part.partition("=")[::2] for part in query.split("&"))
    answer = MetricsServer(ADDRESS, AgentMetrics(), PROFILING).answer(Request("GET", name, pairs))
    assert not isinstance(answer, Answer)
    return await answer


def test_configz_tells_the_configuration_as_kube_proxys_kind():
    """TS-1314."""
    config = Config(node_name="n1", sync_period_seconds=7.0)

    answer = ask("/configz", Facts(document=lambda: peer_document(config)))

    document = json.loads(answer.body)["kubeproxy.config.k8s.io"]
    assert answer.content_type == "application/json"
    assert document["apiVersion"] == "kubeproxy.config.k8s.io/v1alpha1"
    assert document["kind"] == "KubeProxyConfiguration"
    assert document["nftables"]["syncPeriod"] == "7s"


def test_flagz_tells_the_flags_as_they_were_given():
    answer = ask("/flagz", Facts(flags={"v": "4", "cluster-cidr": "10.0.0.0/8"}))

    assert answer.content_type.startswith("text/plain")
    assert answer.body.decode().splitlines()[3:] == ["cluster-cidr=10.0.0.0/8", "v=4"]


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("", False),
        ("text/html, */*;q=0.8", False),
        ("application/json", True),
        ("application/json, text/plain", False),
        ("application/json;v=1", True),
    ],
)
def test_json_is_for_those_who_take_nothing_else(accept: str, is_json: bool):
    answer = ask("/flagz", Facts(flags={"v": "4"}), accept=accept)

    assert (answer.content_type == "application/json") is is_json


def test_statusz_lists_what_is_served():
    """TS-1314."""
    answer = ask("/statusz", accept="application/json")

    facts = json.loads(answer.body)
    assert {"/metrics", "/proxyMode", "/statusz", "/debug/pprof/profile"} <= set(facts["paths"])


def test_statusz_tells_since_when_the_agent_runs():
    times = iter([1_795_435_200.0, 1_795_435_290.5])
    page = statusz(lambda: ["/a", "/b"], lambda: next(times))

    answer = page(Request("GET", "/statusz"))

    assert isinstance(answer, Answer)
    lines = answer.body.decode().splitlines()
    assert "started: 2026-11-23T12:00:00Z" in lines
    assert "upSeconds: 90" in lines
    assert lines[-3:] == ["paths", "  /a", "  /b"]


def test_verbose_healthz_lists_its_checks():
    assert ask("/healthz?verbose").body == b"[+]ping ok\nhealthz check passed\n"


def test_results_of_healthz_are_counted_until_they_are_deleted():
    server = MetricsServer(ADDRESS, AgentMetrics())

    def slis(method: str = "GET") -> list[str]:
        answer = server.answer(Request(method, "/metrics/slis"))
        assert isinstance(answer, Answer)
        return [line for line in answer.body.decode().splitlines() if not line.startswith("#")]

    for path in ("/healthz", "/healthz/ping"):
        server.answer(Request("GET", path))
    counted = slis()
    slis("DELETE")

    assert counted == [
        'kubernetes_healthcheck{name="ping",type="healthz"} 1',
        'kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 2',
    ]
    assert slis() == []


# /debug


@pytest.mark.parametrize("path", ["/debug/pprof/", "/debug/pprof/cmdline", "/debug/flags/v"])
def test_nothing_of_debug_is_served_without_profiling(path: str):
    facts = Facts(set_verbosity=lambda _: None)

    assert ask(path, facts).status == 404


def test_a_put_sets_the_log_level():
    levels: list[int] = []
    facts = Facts(has_profiling=True, set_verbosity=levels.append)

    answer = ask("/debug/flags/v", facts, method="PUT", body=b"6\n")

    assert answer.status == 200
    assert levels == [6]


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("GET", b"", 406), ("POST", b"4", 406), ("PUT", b"", 400), ("PUT", b"-1", 400)],
)
def test_what_sets_no_log_level_is_refused(method: str, body: bytes, status: int):
    levels: list[int] = []
    facts = Facts(has_profiling=True, set_verbosity=levels.append)

    answer = ask("/debug/flags/v", facts, method=method, body=body)

    assert answer.status == status
    assert levels == []


def test_the_index_names_what_there_is():
    assert b"profile?seconds=" in ask("/debug/pprof/").body


def test_the_command_line_is_told():
    words = ask("/debug/pprof/cmdline").body.decode().split("\0")

    assert words[1:] == sys.orig_argv[1:]


async def test_stacks_of_threads_and_tasks_are_told():
    async def a_task_that_waits() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(a_task_that_waits(), name="waiting")
    await asyncio.sleep(0)

    text = ask("/debug/pprof/goroutine", Facts(has_profiling=True, tasks=lambda: [task])).body
    task.cancel()

    assert b"thread MainThread\n" in text
    assert b"task waiting\n" in text
    assert b"a_task_that_waits" in text


@pytest.mark.parametrize("query", ["seconds=x", "seconds=0", "seconds=1e9", "format=svg"])
def test_a_profile_that_cannot_be_made_is_refused(query: str):
    assert ask(f"/debug/pprof/profile?{query}").status == 400


class Spinner(threading.Thread):
    """Spends CPU time in a function with a name of its own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.has_ended = False

    def run(self) -> None:
        self.spin_for_the_test()

    def spin_for_the_test(self) -> None:
        while not self.has_ended:
            sum(range(100))


async def test_a_profile_shows_who_spends_cpu_time():
    spinner = Spinner()
    spinner.start()
    try:
        samples = await sample(0.2, interval=0.005)
    finally:
        spinner.has_ended = True

    text = folded(samples)
    spent = [line for line in text.splitlines() if "Spinner.spin_for_the_test" in line]
    assert sum(int(line.rsplit(" ", 1)[1]) for line in spent) > 0
    assert "test_a_profile_shows" not in text


async def test_a_profile_is_served_as_text_and_for_pstats(tmp_path: Path):
    text = await ask_later("/debug/pprof/profile?seconds=0.01")
    binary = await ask_later("/debug/pprof/profile?seconds=0.01&format=pstats")

    assert (text.status, text.content_type) == (200, "text/plain; charset=utf-8")
    assert binary.content_type == "application/octet-stream"


def test_samples_become_a_file_of_pstats(tmp_path: Path):
    outer, middle, inner = ("a.py", 1, "outer"), ("a.py", 5, "middle"), ("b.py", 9, "inner")
    samples: Counter[Stack] = Counter(
        {(outer, middle, inner): 500_000, (outer, inner): 250_000, (outer,): 125_000}
    )

    path = tmp_path / "profile"
    path.write_bytes(pstats_from(samples))
    table = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]  # typeshed leaves it out

    assert {place: row[2:4] for place, row in table.items()} == {
        outer: (0.125, 0.875),
        middle: (0.0, 0.5),
        inner: (0.75, 0.75),
    }
    assert set(table[inner][4]) == {outer, middle}


async def test_the_heap_tells_what_was_allocated_meanwhile():
    kept: list[bytearray] = []

    async def allocate() -> None:
        await asyncio.sleep(0)
        kept.append(bytearray(1_000_000))

    answer, _ = await asyncio.gather(ask_later("/debug/pprof/heap?seconds=0.01"), allocate())

    lines = answer.body.decode().splitlines()
    assert "test_pages.py" in lines[1]
    assert int(lines[1].split()[0]) >= 1_000_000
