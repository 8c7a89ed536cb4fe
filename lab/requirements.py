"""What the machine must offer for a private node, checked by doing it once."""

from __future__ import annotations

import os
import shutil

from lab import nft
from lab.flows import FlowLog
from lab.namespace import CommandFailed, Namespace

_COMMANDS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
# One of each kind of thing the agent's rules are made of.
_PROBE = """
table inet lab-probe {
  map endpoints {
    typeof ip daddr . meta l4proto . tcp dport . numgen random mod 2 : ip daddr . tcp dport
    elements = { 10.96.0.1 . tcp . 80 . 0 : 10.244.0.1 . 8080 }
  }
  chain prerouting {
    type nat hook prerouting priority dstnat
    dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 1 map @endpoints
  }
  chain postrouting { type nat hook postrouting priority srcnat
    meta mark 0x4000 masquerade fully-random
  }
  chain forward { type filter hook forward priority filter
    ct state new ip6 daddr 2001:db8::1 reject
  }
}
"""


def missing() -> list[str]:
    """Return what this machine lacks, with the remedy, one sentence each; empty when all is there.

    Needs a few milliseconds; changes nothing outside a namespace that is gone afterwards.
    """
    lacks = [
        f"the command {command} is not installed; install the package {package}"
        for command, package in _COMMANDS.items()
        if shutil.which(command) is None
    ]
    if os.geteuid() != 0:
        lacks.append("network namespaces need root; run as root")
    return lacks or _kernel_lacks()


def _kernel_lacks() -> list[str]:
    try:
        with Namespace("probe") as probe:
            probe.ip("link set lo up", "link add switch type bridge")
            probe.ip("link add probe type veth peer name eborp")
            nft.load(probe, _PROBE)
            nft.list_ruleset(probe)
            return _tracking_lacks(probe)
    except OSError as exc:
        return [f"no network namespace could be made: {exc.strerror}; allow CAP_SYS_ADMIN"]
    except CommandFailed as exc:
        return [f"the kernel lacks nf_tables with NAT, veth or bridge: {exc}"]


def _tracking_lacks(probe: Namespace) -> list[str]:
    try:
        with FlowLog(probe) as log:
            log.forget_flows()
    except OSError as exc:
        return [f"connection tracking tells nothing: {exc}; load the module nf_conntrack_netlink"]
    return []
