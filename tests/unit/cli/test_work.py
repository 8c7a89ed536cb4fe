"""The commands with the real work behind them, as far as it needs no privileges."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy.cli.main import main

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_render_of_the_examples_is_a_ruleset(capsys: pytest.CaptureFixture[str]):
    code = main(["render", f"--manifests={EXAMPLES}", "--hostname-override=node-1"])

    output = capsys.readouterr().out
    assert code == 0
    assert output.startswith("table ip nodeproxy {")
    assert "table ip6 nodeproxy {" in output
    assert "10.96.0.10 . tcp . 80" in output


def test_render_of_the_plan_gives_reasons(capsys: pytest.CaptureFixture[str]):
    code = main(["render", f"--manifests={EXAMPLES}", "--format=plan"])

    assert code == 0
    assert "default/web:http TCP IPv4\n  ClusterIP 10.96.0.10:80/tcp: forward to cluster" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("flag", ["--manifests", "--kubeconfig"])
def test_what_cannot_be_read_is_told_in_one_line(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    missing = tmp_path / "missing"

    code = main(["render", f"{flag}={missing}"])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1
    assert line.startswith("nodeproxy render: ")
    assert f"{missing}: No such file or directory" in line
