from __future__ import annotations

import logging

import pytest

from nodeproxy.cli.main import main
from nodeproxy.errors import KernelUnsupported, PermissionMissing, SourceError
from tests.unit.cli.fakes import FakeWork


def test_run_says_what_it_was_started_with(capsys: pytest.CaptureFixture[str]) -> None:
    work = FakeWork()

    code = main(["run", "--hostname-override=Node-7", "--manifests=examples"], work)

    error = capsys.readouterr().err
    assert code == 0
    assert work.configs[0].node_name == "node-7"
    assert "INFO nodeproxy.cli starting version=" in error
    assert 'node=node-7 flags="--manifests=examples --hostname-override=Node-7"' in error


@pytest.mark.parametrize(
    "failure",
    [
        PermissionMissing("create table ip nodeproxy"),
        KernelUnsupported("the kernel has no nf_tables", "load the module nf_tables"),
        SourceError("kubeconfig /etc/k.conf: no such file; give another with --kubeconfig"),
    ],
)
@pytest.mark.parametrize("command", ["run", "render", "cleanup"])
def test_a_failure_is_one_message_and_exit_code_1(
    command: str, failure: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([command], FakeWork(failure))

    lines = capsys.readouterr().err.splitlines()
    assert code == 1
    assert lines[-1] == f"nodeproxy {command}: {failure}"
    assert "Traceback" not in "".join(lines)


def test_a_failure_shows_its_traceback_at_level_5(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["cleanup", "-v=5"], FakeWork(SourceError("no such file")))

    error = capsys.readouterr().err
    assert code == 1
    assert "Traceback" in error
    assert error.endswith("nodeproxy cleanup: no such file\n")


def test_every_mistake_in_the_flags_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    work = FakeWork()

    code = main(["run", "--cluster-cidr=10.0.0", "--proxy-mode=iptables"], work)

    assert code == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        'nodeproxy run: --cluster-cidr: "10.0.0" is not a CIDR; write it as 10.0.0.0/8',
        'nodeproxy run: --proxy-mode: "iptables" is not available in this version; use nftables',
    ]
    assert work.configs == []


@pytest.mark.parametrize("command", ["run", "render", "cleanup"])
def test_an_interrupted_command_says_so_by_its_code(command: str) -> None:
    assert main([command], FakeWork(KeyboardInterrupt())) == 130


@pytest.mark.parametrize(("arguments", "form"), [([], "nft"), (["--format=plan"], "plan")])
def test_render_prints_the_ruleset_or_the_plan(
    arguments: list[str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    work = FakeWork()

    code = main(["render", "--manifests=examples", *arguments], work)

    assert code == 0
    assert work.forms == [form]
    assert capsys.readouterr().out == "table ip nodeproxy {\n}\n"


def test_render_knows_its_formats(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["render", "--format=json"], FakeWork())

    assert code == 2
    assert "'nft', 'plan'" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "level"), [("-v=3", logging.INFO), ("-v=4", logging.DEBUG)])
def test_the_flag_sets_the_level_of_our_records(flag: str, level: int) -> None:
    main(["cleanup", flag], FakeWork())

    assert logging.getLogger("nodeproxy").level == level
