from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy.node.leftovers.processes import running_here


def process(proc: Path, pid: str, *, comm: str, command: str, namespace: str = "net:[1]") -> None:
    (proc / pid / "ns").mkdir(parents=True)
    (proc / pid / "comm").write_text(f"{comm}\n")
    (proc / pid / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (proc / pid / "ns" / "net").symlink_to(namespace)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    process(tmp_path, "thread-self", comm="python3", command="python3 -m nodeproxy")
    return tmp_path


@pytest.mark.parametrize(
    ("comm", "command"),
    [
        ("kube-proxy", "/usr/local/bin/kube-proxy --config=/var/lib/config.conf"),
        ("exe", "/usr/local/bin/kube-proxy"),
        ("kube-proxy", ""),
    ],
)
def test_a_process_is_known_by_either_of_its_names(proc: Path, comm: str, command: str):
    process(proc, "77", comm=comm, command=command)

    assert running_here("kube-proxy", proc) == [77]


def test_a_process_that_only_mentions_the_name_is_another(proc: Path):
    process(proc, "78", comm="vim", command="vim kube-proxy")

    assert running_here("kube-proxy", proc) == []


def test_a_process_in_another_network_namespace_does_not_count(proc: Path):
    process(proc, "79", comm="kube-proxy", command="kube-proxy", namespace="net:[2]")

    assert running_here("kube-proxy", proc) == []


def test_a_process_that_ends_meanwhile_does_not_count(proc: Path):
    (proc / "80").mkdir()

    assert running_here("kube-proxy", proc) == []
