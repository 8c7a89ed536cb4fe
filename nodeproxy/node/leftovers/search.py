"""Everything that one proxy left in this network namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from nodeproxy.errors import NetlinkError
from nodeproxy.model.leftovers import Origin, Search, joined
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.netlink.tables import leftover_tables
from nodeproxy.node.leftovers.ipvs import search_ipvs
from nodeproxy.node.leftovers.processes import running_here
from nodeproxy.node.leftovers.rules import KUBE_PROXY, NODEPROXY
from nodeproxy.node.leftovers.xtables import search_xtables

_KUBE_PROXY_TABLE = "kube-proxy"
"""Of nf_tables, in both families (NFT-1)."""


def search_leftovers(origin: Origin) -> Search:
    """Look for what the origin left outside of our own nf_tables tables.

    The order is that of the removal: rules before the sets they refer to, virtual servers before
    the interface that tells whose they are.

    Raises:
        BackendError: something could not be read; nothing was touched.
    """
    with NetfilterSocket() as channel:
        match origin:
            case Origin.KUBE_PROXY:
                return joined(
                    search_xtables(KUBE_PROXY, channel),
                    Search(leftover_tables(channel, _KUBE_PROXY_TABLE, _group)),
                    _attempted(search_ipvs),
                    _still_running(),
                )
            case Origin.NODEPROXY_IPTABLES:
                return search_xtables(NODEPROXY, channel)
            case Origin.NODEPROXY:
                return Search()
            case _:
                assert_never(origin)


def _attempted(search: Callable[[], Search]) -> Search:
    """What is in the way of one search is not in the way of the others."""
    try:
        return search()
    except NetlinkError as exc:
        return Search(failures=(str(exc),))


def _group(name: str) -> str:
    """Chains and sets of kube-proxy that come in any number (NFT-11)."""
    kind, dash, _ = name.partition("-")
    return f"{kind}-*" if dash and ("/" in name or kind == "affinity") else ""


def _still_running() -> Search:
    pids = running_here("kube-proxy")
    if not pids:
        return Search()
    which = ", ".join(f"pid {pid}" for pid in pids)
    return Search(
        warnings=(
            f"kube-proxy is running ({which}) and will write its rules again; "
            "stop it first, for example by a nodeSelector of its DaemonSet",
        )
    )
