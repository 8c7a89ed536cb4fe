from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from nodeproxy.cli.main import main
from nodeproxy.errors import BackendError, NetlinkError
from nodeproxy.model.addresses import Family
from nodeproxy.model.leftovers import Holding, Item, Kind, Leftover, Origin, Place, Search, joined
from tests.unit.cli.fakes import FakeWork

NAT = Holding(
    Place.IPTABLES_LEGACY,
    (
        Item(Kind.CHAIN, "KUBE-SEP-AAAAAAAAAAAAAAAA", 2, "KUBE-SEP-*"),
        Item(Kind.CHAIN, "KUBE-SEP-BBBBBBBBBBBBBBBB", 2, "KUBE-SEP-*"),
        Item(Kind.CHAIN, "KUBE-SERVICES", 1),
        Item(Kind.JUMP, "OUTPUT -j KUBE-SERVICES"),
    ),
    Family.IPV4,
    "nat",
)
INTERFACE = Holding(Place.INTERFACE, (Item(Kind.INTERFACE, "kube-ipvs0", 2),))


class Node:
    """Something to remove, and what was removed of it."""

    def __init__(self, *holdings: Holding, refuses: Holding | None = None) -> None:
        self.removed: list[Holding] = []
        self._refuses = refuses
        self.work = FakeWork()
        self.work.found = Search(
            leftovers=tuple(Leftover(one, self._removal(one)) for one in holdings),
            notes=("ipvs: there is none",),
            warnings=("kube-proxy is running",),
        )

    def _removal(self, holding: Holding) -> Callable[[], None]:
        def remove() -> None:
            if holding == self._refuses:
                raise NetlinkError("delete interface kube-ipvs0", 16)
            self.removed.append(holding)

        return remove


def test_what_is_ours_is_removed_without_further_question(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = Node(NAT)

    code = main(["cleanup"], node.work)

    assert code == 0
    assert node.work.origins == [Origin.NODEPROXY]
    assert node.removed == [NAT]
    assert capsys.readouterr().out.splitlines() == [
        "removed: iptables-legacy, IPv4, table nat: 3 chains with 5 rules, 1 jump",
        "note: ipvs: there is none",
    ]


def test_a_dry_run_lists_and_says_by_its_code_that_there_is_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = Node(NAT, INTERFACE)

    code = main(["cleanup", "--dry-run"], node.work)

    assert code == 3
    assert node.removed == []
    assert capsys.readouterr().out.splitlines() == [
        "iptables-legacy, IPv4, table nat: 3 chains with 5 rules, 1 jump",
        "  2 chains KUBE-SEP-*: 4 rules",
        "  chain KUBE-SERVICES: 1 rule",
        "  jump OUTPUT -j KUBE-SERVICES",
        "interface: 1 interface with 2 addresses",
        "  interface kube-ipvs0: 2 addresses",
        "note: ipvs: there is none",
        "nothing was removed; do it with: nodeproxy cleanup",
    ]


def test_what_kube_proxy_left_is_only_listed(capsys: pytest.CaptureFixture[str]) -> None:
    node = Node(NAT)

    code = main(["cleanup", "--from", "kube-proxy"], node.work)

    said = capsys.readouterr()
    assert code == 3
    assert node.work.origins == [Origin.KUBE_PROXY]
    assert node.removed == []
    assert said.out.endswith(
        "nothing was removed; do it with: nodeproxy cleanup --from kube-proxy --yes\n"
    )
    assert said.err == "nodeproxy cleanup: warning: kube-proxy is running\n"


def test_what_kube_proxy_left_goes_when_told() -> None:
    node = Node(NAT, INTERFACE)

    code = main(["cleanup", "--from=kube-proxy", "--yes"], node.work)

    assert code == 0
    assert node.removed == [NAT, INTERFACE]


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--from=kube-proxy"]])
def test_where_nothing_is_left_the_code_is_0(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["cleanup", *arguments], FakeWork())

    assert code == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_a_failure_is_told_with_its_object_and_the_rest_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = Node(INTERFACE, NAT, refuses=INTERFACE)

    code = main(["cleanup", "--from=kube-proxy", "--yes"], node.work)

    said = capsys.readouterr()
    assert code == 1
    assert node.removed == [NAT]
    assert said.out.startswith("removed: iptables-legacy, IPv4, table nat:")
    assert said.err.splitlines()[0] == (
        "nodeproxy cleanup: interface: delete interface kube-ipvs0: "
        "kernel said Device or resource busy (errno 16)"
    )


def test_a_program_reads_every_object_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    node = Node(NAT)

    code = main(["cleanup", "--from=kube-proxy", "--output=json"], node.work)

    document = json.loads(capsys.readouterr().out)
    assert code == 3
    assert document == {
        "from": "kube-proxy",
        "found": [
            {
                "place": "iptables-legacy",
                "family": "IPv4",
                "table": "nat",
                "objects": [
                    {"kind": "chain", "name": "KUBE-SEP-AAAAAAAAAAAAAAAA", "size": 2},
                    {"kind": "chain", "name": "KUBE-SEP-BBBBBBBBBBBBBBBB", "size": 2},
                    {"kind": "chain", "name": "KUBE-SERVICES", "size": 1},
                    {"kind": "jump", "name": "OUTPUT -j KUBE-SERVICES", "size": 0},
                ],
                "removed": False,
                "failure": None,
            }
        ],
        "failures": [],
        "notes": ["ipvs: there is none"],
        "warnings": ["kube-proxy is running"],
    }


def test_a_program_reads_what_was_removed_and_what_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = Node(INTERFACE, NAT, refuses=INTERFACE)

    code = main(["cleanup", "--from=kube-proxy", "--yes", "--output=json"], node.work)

    found = json.loads(capsys.readouterr().out)["found"]
    assert code == 1
    assert [one["removed"] for one in found] == [False, True]
    assert "kube-ipvs0" in found[0]["failure"]


def test_looking_and_removing_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    node = Node(NAT)

    code = main(["cleanup", "--dry-run", "--yes"], node.work)

    assert code == 2
    assert "--dry-run and --yes contradict each other" in capsys.readouterr().err
    assert node.work.origins == []


def test_a_search_that_fails_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["cleanup", "--from=kube-proxy"], FakeWork(BackendError("no answer")))

    assert code == 1
    assert capsys.readouterr().err == "nodeproxy cleanup: no answer\n"


def test_what_cannot_be_looked_at_is_a_failure_and_the_rest_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    node = Node(NAT)
    node.work.found = joined(node.work.found, Search(failures=("iptables-legacy: no answer",)))

    code = main(["cleanup", "--from=kube-proxy", "--yes"], node.work)

    assert code == 1
    assert node.removed == [NAT]
    assert capsys.readouterr().err.splitlines() == [
        "nodeproxy cleanup: iptables-legacy: no answer",
        "nodeproxy cleanup: warning: kube-proxy is running",
    ]
