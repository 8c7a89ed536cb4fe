from __future__ import annotations

import subprocess
import sys

import pytest

from nodeproxy import __version__
from nodeproxy.cli.main import main
from tests.unit.cli.fakes import FakeWork


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--help"])

    output = capsys.readouterr().out
    assert code == 0
    for word in ("run", "render", "cleanup", "version", "Exit codes", "130"):
        assert word in output


def test_without_a_command_the_help_is_shown_as_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main([])

    assert code == 2
    assert "Commands:" in capsys.readouterr().err


def test_a_mistyped_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["rnder"])

    assert code == 2
    assert capsys.readouterr().err.startswith(
        "nodeproxy: rnder: unknown command; did you mean render? "
        "commands: run, render, cleanup, config, version"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy-mod=x"], "run: --proxy-mod: unknown flag; did you mean --proxy-mode? ("),
        (["--kube-config", "x"], "run: --kube-config: unknown flag; did you mean --kubeconfig?"),
        (["--zzz"], "run: --zzz: unknown flag (help: nodeproxy run --help)"),
        (["--logtostderr"], "run: --logtostderr: a flag of older kube-proxies without a successor"),
        (["--config_=x"], "run: --config-: unknown flag; did you mean"),
        (["--proxy-mode"], "run: Option '--proxy-mode' requires an argument (help:"),
        (["extra"], "run: Got unexpected extra argument (extra) (help:"),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    work = FakeWork()

    code = main(["run", *arguments], work)

    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith(f"nodeproxy {message}")
    assert error.count("\n") == 1
    assert work.configs == []


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(arguments)

    assert code == 0
    assert capsys.readouterr().out.startswith(f"nodeproxy {__version__} (Python 3.")


def test_telling_the_version_loads_no_heavy_library() -> None:
    script = (
        "import sys; from nodeproxy.cli.main import main; main(['version']);"
        "print(sorted({'asyncio', 'msgspec', 'aiohttp', 'yaml'} & set(sys.modules)))"
    )

    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )

    assert result.stdout.splitlines()[-1] == "[]"
