"""Values that are networks: text in, CIDRs out, with a guess at what was meant."""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.config.items import WrongItems
from nodeproxy.model.addresses import Cidr, parse_cidr


def parse_cluster_cidrs(text: str) -> tuple[Cidr, ...]:
    """One network, or two of different families; blank for none."""
    if not text:
        return ()
    parts = text.split(",")
    if "" in parts:
        raise ValueError(f'"{text}" has a comma too many; take it out')
    cidrs = parse_networks(parts)
    families = {cidr.family for cidr in cidrs}
    if len(families) < len(cidrs):
        raise ValueError(f'"{text}" has more than one network of a family; give one for each')
    return cidrs


def parse_node_port_addresses(text: str) -> tuple[Cidr, ...] | None:
    """Networks, or None for `primary` and for blank (DP-50..53).

    Raises:
        WrongItems: some are no networks.
    """
    parts = text.split(",") if text else []
    if [part for part in parts if part] in ([], ["primary"]):
        return None
    if "primary" in parts:
        index = parts.index("primary")
        message = "primary and networks cannot be combined; give one or the other"
        raise WrongItems([(index, message)])
    return parse_networks(parts)


def parse_networks(texts: Sequence[str]) -> tuple[Cidr, ...]:
    """CIDRs; all that are none are told together, blanks are passed over.

    Raises:
        WrongItems: some are no CIDRs.
    """
    cidrs: list[Cidr] = []
    mistakes: list[tuple[int, str]] = []
    for index, text in enumerate(texts):
        try:
            if text:
                cidrs.append(parse_network(text))
        except ValueError as exc:
            mistakes.append((index, str(exc)))
    if mistakes:
        raise WrongItems(mistakes)
    return tuple(cidrs)


def parse_network(text: str) -> Cidr:
    """A CIDR, with a guess at what was meant if it is none."""
    try:
        return parse_cidr(text)
    except ValueError as exc:
        meant = guess_cidr(text)
        raise ValueError(f"{exc}; write it as {meant}" if meant else str(exc)) from None


def guess_cidr(text: str) -> str:
    """What somebody who wrote `10.0.0` or `10.244.0.0` most likely meant; empty if unclear.

    Trailing zero octets are taken for the host part, as in the networks people write down:
    10.0.0 gives 10.0.0.0/8. An address without any gives itself, /32 or /128.
    """
    address, _, length = text.strip().partition("/")
    if length:
        return "" if text == text.strip() else _valid_or_empty(text.strip())
    if ":" in address:
        return _valid_or_empty(f"{address}/64" if address.endswith("::") else f"{address}/128")
    octets = [octet for octet in address.split(".") if octet]
    padded = ".".join([*octets, "0", "0", "0", "0"][: max(4, len(octets))])
    network = padded
    while network.endswith(".0"):
        network = network[:-2]
    return _valid_or_empty(f"{padded}/{8 * len(network.split('.'))}") if octets else ""


def _valid_or_empty(text: str) -> str:
    try:
        return str(parse_cidr(text))
    except ValueError:
        return ""
