"""CFG-2, CFG-3, CFG-9 to CFG-11: flags of `run` that make it do something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy import __version__
from nodeproxy.cli.main import main
from nodeproxy.cli.work import AgentWork, SysctlsRefused
from nodeproxy.config.load import load_config
from nodeproxy.config.schema import Config
from nodeproxy.node import sysctls
from tests.unit.cli.fakes import FakeWork


@pytest.mark.parametrize("arguments", [["--version"], ["--version=true"], ["--version=1"]])
def test_the_version_is_told_in_place_of_running(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    work = FakeWork()

    code = main(["run", "--proxy-mode=nonsense", *arguments], work)

    assert code == 0
    assert capsys.readouterr().out.startswith(f"nodeproxy {__version__} (Python 3.")
    assert work.configs == []


def test_the_raw_version_is_told_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", "--version=raw"], FakeWork())

    assert code == 0
    assert capsys.readouterr().out.startswith(f"version: {__version__}\npython: 3.")


@pytest.mark.parametrize("arguments", [["--version=false"], ["--version=v1.36.2"], []])
def test_other_versions_do_not_keep_it_from_running(arguments: list[str]) -> None:
    work = FakeWork()

    code = main(["run", *arguments], work)

    assert (code, len(work.configs)) == (0, 1)


def test_a_version_to_be_told_has_no_effect_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["run", "--version=v1.36.2"], FakeWork())

    assert "--version=v1.36.2: no effect here" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--version", "--cleanup", "--init-only"])
def test_an_action_is_asked_for_or_not(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    work = FakeWork()

    code = main(["run", f"{flag}=perhaps"], work)

    assert code == 2
    assert f'{flag}: "perhaps" is not a boolean' in capsys.readouterr().err
    assert work.configs == []


def test_the_rules_are_removed_in_place_of_running(capsys: pytest.CaptureFixture[str]) -> None:
    """CFG-10."""
    work = FakeWork()
    work.removed = ["table ip nodeproxy"]

    code = main(["run", "--cleanup"], work)

    assert (code, work.configs) == (0, [])
    assert capsys.readouterr().out == "table ip nodeproxy\n"


def test_only_the_sysctls_are_set(capsys: pytest.CaptureFixture[str]) -> None:
    """CFG-11."""
    work = FakeWork()

    code = main(["run", "--init-only", "--conntrack-min=7"], work)

    assert (code, work.configs) == (0, [])
    assert [config.conntrack.min for config in work.initialised] == [7]
    assert capsys.readouterr().out == "net.netfilter.nf_conntrack_max: 131072\n"


@pytest.mark.parametrize(
    ("result", "fails"),
    [
        (sysctls.Result.DONE, False),
        (sysctls.Result.UNCHANGED, False),
        (sysctls.Result.MISSING, True),
        (sysctls.Result.REFUSED, True),
    ],
)
async def test_sysctls_that_cannot_be_set_are_a_failure_for_who_wants_nothing_else(
    result: sysctls.Result, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = sysctls.Outcome("net.netfilter.nf_conntrack_max", 7, 5, result, "read-only")
    monkeypatch.setattr(sysctls, "apply", lambda _: (outcome,))
    work = AgentWork()

    if fails:
        with pytest.raises(SysctlsRefused, match="nf_conntrack_max is not set to 7"):
            await work.initialise(Config(node_name="n"))
    else:
        assert await work.initialise(Config(node_name="n")) == [str(outcome)]


@pytest.mark.parametrize("flag", ["--cleanup=false", "--init-only=false"])
def test_an_action_that_is_not_wanted_does_not_keep_it_from_running(flag: str) -> None:
    work = FakeWork()

    main(["run", flag], work)

    assert len(work.configs) == 1


def test_the_settings_are_written_as_a_file_that_means_the_same(tmp_path: Path) -> None:
    """CFG-9."""
    path, work = tmp_path / "written.yaml", FakeWork()

    code = main(
        ["run", f"--write-config-to={path}", "--cluster-cidr=10.0.0.0/8", "--masquerade-all"], work
    )

    config = load_config({"config": str(path)}, "node-1")
    assert (code, work.configs) == (0, [])
    assert (str(config.cluster_cidrs[0]), config.masquerade_all) == ("10.0.0.0/8", True)
    assert "mode: nftables\ndetectLocalMode: ClusterCIDR\n" in path.read_text()


def test_wrong_settings_are_not_written(tmp_path: Path) -> None:
    """CFG-9: after validation."""
    path = tmp_path / "written.yaml"

    code = main(["run", f"--write-config-to={path}", "--cluster-cidr=nonsense"], FakeWork())

    assert code == 2
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing" / "written.yaml"

    code = main(["run", f"--write-config-to={path}"], FakeWork())

    assert code == 1
    assert capsys.readouterr().err == (
        f"nodeproxy run: {path}: No such file or directory; nothing was written, name another "
        "file with --write-config-to\n"
    )
