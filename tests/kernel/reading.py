"""What libnftables reads in a namespace, in forms that can be compared."""

from __future__ import annotations

import json
import re
from typing import Any

import nftables

from lab import nft
from lab.namespace import Namespace
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import SourceEvent
from tests.support.builders import service, slice_
from tests.support.programming import OWN_NODE

_FAMILIES = {Family.IPV4: "ip", Family.IPV6: "ip6"}


def json_ruleset(namespace: Namespace) -> list[dict[str, Any]]:
    """Everything, by libnftables inside this process."""
    with namespace.entered():
        reader = nftables.Nftables()
        reader.set_json_output(True)
        code, text, error = reader.cmd("list ruleset")
    assert code == 0, error
    found: list[dict[str, Any]] = json.loads(text)["nftables"]
    return found


def json_listing(namespace: Namespace, family: Family) -> dict[str, dict[str, str]]:
    """All elements of our table, in the form of `FakeKernel.listing`."""
    return {
        found["name"]: dict(_element(element) for element in found.get("elem", ()))
        for item in json_ruleset(namespace)
        if (found := item.get("set") or item.get("map")) and found["family"] == _FAMILIES[family]
    }


def _element(element: Any) -> tuple[str, str]:  # noqa: ANN401  JSON as it comes
    match element:
        case [{"elem": {"val": key}}, data] | [key, data]:
            return _text(key), _text(data)
        case {"elem": {"val": key, "comment": comment}}:
            return _text(key), comment
        case _:
            return _text(element), ""


def _text(value: Any) -> str:  # noqa: ANN401  JSON as it comes
    match value:
        case {"concat": parts}:
            return " ".join(map(_text, parts))
        case {"prefix": {"addr": addr, "len": length}}:
            return f"{addr}/{length}"
        case _:
            return str(value)


def blocks(text: str) -> dict[str, list[str]]:
    """A listing by table, set and chain; elements sorted and without their slot numbers.

    So two listings compare equal if only the order of creation or of endpoints differs.
    """
    found: dict[str, list[str]] = {}
    table = block = ""
    for line in text.replace(",\n\t\t\t     ", ",\n").splitlines():
        match line.split():
            case ["table", family, _, "{"]:
                table = block = family
            case ["set" | "map" | "chain" as word, name, "{"]:
                block = f"{table} {word} {name}"
                found[block] = []
            case [] | ["}"]:
                continue
            case _:
                found.setdefault(block, []).append(line.strip())
    return {
        name: sorted(_without_slots(lines)) if " chain " not in name else lines
        for name, lines in found.items()
    }


def _without_slots(lines: list[str]) -> list[str]:
    joined = re.sub(r"elements = \{ | \}|,", "\n", "\n".join(lines))
    return [re.sub(r" \. \d+ :", " :", line.strip()) for line in joined.splitlines() if line]


def listed(namespace: Namespace) -> dict[str, list[str]]:
    """`nft list ruleset`, comparable."""
    return blocks(nft.list_ruleset(namespace))


def loaded(text: str) -> dict[str, list[str]]:
    """What nft lists after it has loaded a text in an empty namespace."""
    with Namespace("loaded") as elsewhere:
        nft.load(elsewhere, text)
        return listed(elsewhere)


def a_bit_of_everything() -> list[SourceEvent]:
    """Every kind of frontend and every policy, both families, several classes."""
    web = service("web").cluster_ip("10.96.0.10", "fd00:96::10").port(80, "http")
    web.node_port(30080).external_ip("1.2.3.4", "2001:db8::4").load_balancer_ip("5.6.7.8")
    dns = (
        service("dns")
        .affinity(10_800)
        .cluster_ip("10.96.0.2")
        .port(53, "dns", "UDP")
        .port(53, "tcp", "TCP")
    )
    local = service("local").cluster_ip("10.96.0.3", "fd00:96::3").port(443).node_port(30443)
    local.load_balancer_ip("5.6.7.9", "2001:db8::9").local().internal_local()
    local.affinity(7200).spec(
        load_balancer_source_ranges=["10.0.0.0/8", "192.168.0.2/32", "2001:db8:1::/48"]
    )
    away = service("away").cluster_ip("10.96.0.4").port(443).node_port(30444).local()
    empty = service("empty").cluster_ip("10.96.0.5", "fd00:96::5").port(9, "", "SCTP")
    empty.node_port(30009)
    web_4 = slice_("web-4", service="web").port(8080, "http")
    web_6 = slice_("web-6", service="web", address_type="IPv6").port(8080, "http")
    for number in range(1, 6):
        where = OWN_NODE if number == 1 else "n2"
        web_4.endpoint(f"10.0.0.{number}", node=where)
        web_6.endpoint(f"fd00::{number}", node=where)
    dns_4 = slice_("dns-4", service="dns").port(5353, "dns", "UDP").port(5354, "tcp", "TCP")
    dns_4.endpoint("10.0.1.1").endpoint("10.0.1.2")
    local_4 = slice_("local-4", service="local").port(8443)
    local_4.endpoint("10.0.2.1", node=OWN_NODE).endpoint("10.0.2.2", node="n2")
    away_4 = slice_("away-4", service="away").port(8443).endpoint("10.0.3.1", node="n2")
    slices = (web_4, web_6, dns_4, local_4, away_4)
    return [builder.upserted() for builder in (web, dns, local, away, empty, *slices)]
