"""From a ServiceCIDR object to the networks that ClusterIPs are taken from (DP-11)."""

from __future__ import annotations

from nodeproxy.model.addresses import Cidr, parse_cidr
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ServiceCIDR


def cidrs_from(found: ServiceCIDR) -> tuple[tuple[Cidr, ...], tuple[Problem, ...]]:
    """The networks of both families in their order; those that do not parse are reported."""
    cidrs: list[Cidr] = []
    problems: list[Problem] = []
    for index, text in enumerate((found.spec and found.spec.cidrs) or ()):
        try:
            cidrs.append(parse_cidr(text))
        except ValueError as exc:
            subject = f"ServiceCIDR {found.metadata.name or ''}"
            message = f"{exc}; nothing in it is dropped"
            problems.append(Problem(subject, f"spec.cidrs[{index}]", message))
    return tuple(cidrs), tuple(problems)
