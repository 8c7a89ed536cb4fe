"""Where the host's other rules are, ours go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from nodeproxy.backends.iptables.detect import choose_flavour, findings
from nodeproxy.backends.iptables.tool import Flavour
from nodeproxy.errors import KernelUnsupported

KUBELET = "*mangle\n:PREROUTING ACCEPT [0:0]\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"
FOREIGN = "*filter\n-A INPUT -j ACCEPT\n-A FORWARD -j ACCEPT\nCOMMIT\n"
OURS = "*filter\n:NP-INPUT - [0:0]\n-A INPUT -j NP-INPUT\n-A NP-INPUT -j NP-S\nCOMMIT\n"


class FakeHost:
    def __init__(self, saved: Mapping[Flavour, str]) -> None:
        self._saved = saved

    def flavours(self) -> Sequence[Flavour]:
        return list(self._saved)

    def saved(self, flavour: Flavour) -> str:
        return self._saved[flavour]


NFT, LEGACY = Flavour.NFT, Flavour.LEGACY


@pytest.mark.parametrize(
    ("saved", "flavour", "because"),
    [
        ({LEGACY: ""}, LEGACY, "no other"),
        ({NFT: "", LEGACY: KUBELET}, LEGACY, "kubelet"),
        ({NFT: FOREIGN, LEGACY: KUBELET}, LEGACY, "kubelet"),
        ({NFT: "", LEGACY: FOREIGN}, LEGACY, "most rules"),
        ({NFT: "", LEGACY: ""}, NFT, "default"),
        ({LEGACY: "", NFT: ""}, LEGACY, "default"),
        ({NFT: "", LEGACY: OURS}, NFT, "default"),
    ],
    ids=["only one", "kubelet", "kubelet before rules", "rules", "default", "old default", "ours"],
)
def test_the_flavour_and_the_reason(saved: Mapping[Flavour, str], flavour: Flavour, because: str):
    choice = choose_flavour(FakeHost(saved))

    assert choice.flavour is flavour
    assert because in choice.reason
    assert choice.warning == ""


def test_rules_of_others_in_both_are_told():
    choice = choose_flavour(FakeHost({NFT: FOREIGN, LEGACY: FOREIGN + FOREIGN}))

    assert choice.flavour is LEGACY
    assert "nft: 2, legacy: 4" in choice.warning


def test_without_any_command_the_way_out_is_told():
    with pytest.raises(KernelUnsupported, match="install"):
        choose_flavour(FakeHost({}))


def test_our_own_rules_say_nothing_about_others():
    assert findings(OURS).rules == 0
