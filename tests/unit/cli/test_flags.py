from __future__ import annotations

import pytest

from nodeproxy.cli.main import main
from nodeproxy.config.flags import FLAGS
from nodeproxy.model.addresses import parse_cidr
from tests.unit.cli.fakes import FakeWork


def run(*arguments: str) -> FakeWork:
    work = FakeWork()
    assert main(["run", *arguments], work) == 0
    return work


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cluster-cidr=10.0.0.0/8"],
        ["--cluster-cidr", "10.0.0.0/8"],
        ["--cluster_cidr=10.0.0.0/8"],
        ["--cluster-cidr=fd00::/64", "--cluster-cidr=10.0.0.0/8"],
    ],
)
def test_flags_are_taken_in_every_form_kube_proxy_takes(arguments: list[str]) -> None:
    work = run(*arguments)

    assert work.configs[0].cluster_cidrs == (parse_cidr("10.0.0.0/8"),)


@pytest.mark.parametrize("arguments", [["-v=4"], ["-v4"], ["-v", "4"], ["--v=4"], ["--v", "4"]])
def test_the_log_level_has_a_short_form(arguments: list[str]) -> None:
    """CFG-1."""
    assert run(*arguments).configs[0].verbosity == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--masquerade-all"], True),
        (["--masquerade-all=true"], True),
        (["--masquerade-all=false"], False),
        (["--masquerade-all", "--v=1"], True),
        ([], False),
    ],
)
def test_a_switch_may_leave_out_its_value(arguments: list[str], expected: bool) -> None:
    assert run(*arguments).configs[0].masquerade_all is expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nodeport-addresses=10.0.0.0/8,::/0"],
        ["--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=::/0"],
    ],
)
def test_lists_may_be_given_at_once_or_one_by_one(arguments: list[str]) -> None:
    expected = (parse_cidr("10.0.0.0/8"), parse_cidr("::/0"))

    assert run(*arguments).configs[0].node_port_addresses == expected


def test_render_takes_the_flags_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--{flag.name}=" for flag in FLAGS if flag.name in MAY_BE_EMPTY]

    code = main(["render", *flags], FakeWork())

    assert (code, capsys.readouterr().err) == (0, "")


MAY_BE_EMPTY = {
    "kubeconfig",
    "manifests",
    "master",
    "hostname-override",
    "proxy-mode",
    "detect-local-mode",
    "cluster-cidr",
    "feature-gates",
    "nodeport-addresses",
    "bind-address",
    "healthz-bind-address",
    "metrics-bind-address",
}
