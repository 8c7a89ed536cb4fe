from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeproxy.cli.main import main
from tests.unit.cli.fakes import FakeWork

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "np.yaml"


@pytest.mark.parametrize("form", [["{}"], ["--config={}"], ["--config", "{}"]])
def test_a_valid_file_is_told_to_be_valid(
    form: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"{HEAD}clusterCIDR: 10.0.0.0/8\n")

    code = main(["config", "validate", *(word.format(path) for word in form)])

    assert (code, capsys.readouterr().out) == (0, "valid\n")


def test_all_findings_are_told_and_a_mistake_is_exit_code_1(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(
        f"{HEAD}mode: ipvs\nclusterCidr: x\nipvs: {{scheduler: rr}}\noomScoreAdj: 3000\n"
    )

    code = main(["config", "validate", str(path)])

    assert code == 1
    assert capsys.readouterr().out.splitlines() == [
        f'error: {path}:3: mode: "ipvs" is not available in this version; use nftables',
        f'error: {path}:6: oomScoreAdj: "3000" is not a number from -1000 to 1000',
        f"warning: {path}:4: clusterCidr: unknown field, ignored; did you mean clusterCIDR?",
        f"note: {path}:5: ipvs.scheduler: no effect here: there is no IPVS mode",
    ]


def test_doubts_are_told_and_the_file_stays_valid(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"{HEAD}nodePortAddresses: [10.0.0.0/8]\nclusterCIDR: 10.0.0.0/8\n")

    code = main(["config", "validate", str(path)])

    warning, last = capsys.readouterr().out.splitlines()
    assert (code, last) == (0, "valid")
    assert warning.startswith(f"warning: {path}:3: nodePortAddresses: no network of IPv6, so")


def test_flags_are_validated_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["config", "validate", "--cluster-cidr=10.0.0.0/8", "--v=99999"])

    assert code == 1
    assert capsys.readouterr().out == 'error: --v: "99999" is not a number from 0 to 10000\n'


@pytest.mark.parametrize("command", ["validate", "print", "migrate"])
def test_a_file_that_is_missing_is_one_message(
    command: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["config", command, str(path)])

    assert code == 1
    assert capsys.readouterr().err == (
        f"nodeproxy config {command}: {path}: No such file or directory; name a readable file "
        "with --config\n"
    )


def test_a_file_is_named_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["config", "print", str(path), "--config=other"])

    assert code == 2
    assert "--config: a file is named already" in capsys.readouterr().err


def test_every_setting_is_shown_with_its_origin(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"{HEAD}nftables:\n  syncPeriod: 9s\n")

    code = main(["config", "print", str(path), "-v=3"])

    rows = dict(
        (row.split()[0], row.split(maxsplit=2)[1:]) for row in capsys.readouterr().out.splitlines()
    )
    assert code == 0
    assert rows["nftables.syncPeriod"] == ["9s", f"{path}:4"]
    assert rows["logging.verbosity"] == ["3", "flag --v"]
    assert rows["nftables.masqueradeBit"] == ["14", "default"]


def test_settings_may_be_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "print", "--output=json", "--nodeport-addresses=10.0.0.0/8,::/0"])

    settings = json.loads(capsys.readouterr().out)["settings"]
    (found,) = (setting for setting in settings if setting["name"] == "nodePortAddresses")
    assert found == {
        "name": "nodePortAddresses",
        "flag": "--nodeport-addresses",
        "value": ["10.0.0.0/8", "::/0"],
        "origin": "flag --nodeport-addresses",
        "live": True,
    }


def test_settings_may_be_shown_as_a_file_that_says_where_they_come_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["config", "print", "--output=yaml", "--conntrack-min=5"])

    output = capsys.readouterr().out
    assert (
        "conntrack:\n  maxPerCore: 32768  # default\n  min: 5  # flag --conntrack-min\n" in output
    )


def test_wrong_settings_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["config", "print", "--conntrack-min=-5"])

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith('nodeproxy config print: --conntrack-min: "-5" is not a number')


def test_flags_are_turned_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["config", "migrate", "--proxy-mode=iptables", "--cluster-cidr=10.0.0.0/8"])

    assert code == 0
    assert "clusterCIDR: 10.0.0.0/8\n" in capsys.readouterr().out


def test_run_takes_a_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(f"{HEAD}hostnameOverride: node-7\nconfigSyncPeriod: 5m\nclusterCidr: x\n")
    work = FakeWork()

    code = main(["run", f"--config={path}", "--masquerade-all"], work)

    lines = capsys.readouterr().err.splitlines()
    assert (code, work.configs[0].node_name) == (0, "node-7")
    assert [line.split(maxsplit=3)[1::2] for line in lines[1:4]] == [
        [
            "WARNING",
            f"{path}:5: clusterCidr: unknown field, ignored; did you mean clusterCIDR?",
        ],
        [
            "WARNING",
            f"--masquerade-all: ignored, because --config is given; set it in {path}",
        ],
        [
            "INFO",
            f"{path}:4: configSyncPeriod: no effect here: a watch that works needs no periodic "
            "refresh",
        ],
    ]


def test_a_wrong_file_is_exit_code_2_and_nothing_runs(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("kind: Pod\n")
    work = FakeWork()

    code = main(["run", f"--config={path}"], work)

    assert (code, work.configs) == (2, [])
    assert capsys.readouterr().err.startswith(f"nodeproxy run: {path}:1: kind: ")
