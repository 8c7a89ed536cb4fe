"""The lines of an expect section: a packet, and what it must meet.

SOURCE -> DESTINATION = OUTCOME [flags]
pod-a -> 10.96.0.10:80 = {pod-b:8080, far-a:8080} no-masq
node@192.168.1.2 -> [fd00:96::10]:53/udp = refused
pod-b -> 10.96.0.10:81 = refused [iptables: untouched]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nodeproxy.model.addresses import Addr, Family, family_of, format_addr, parse_addr
from nodeproxy.model.keys import PROTOCOLS_BY_NAME, Protocol
from nodeproxy.plan.types import Target
from tests.support.scenarios.mistakes import Mistake
from tests.support.scenarios.model import (
    Expectation,
    Host,
    Outcome,
    Packet,
    Place,
    Verdict,
    Wanted,
    WantsBound,
    WantsEndpoints,
)
from tests.support.scenarios.world import HOSTS, NAMES

_LINE = re.compile(
    r"(?P<source>\S+) +-> +(?P<to>ping +\S+|\S+) += +"
    r"(?P<outcome>[^\[]+|.*?\}[^\[]*)(?P<iptables>\[iptables: .+\])?"
)
_ENDPOINTS = re.compile(r"\{(?P<inside>[^}]*)\} *(?P<flags>.*)")
_NAME = re.compile(r"[A-Za-z][\w-]*")
_FLAG_WORDS = frozenset({"masq", "no-masq", "sticky", "as", "not"})
_MASQUERADE = {"masq": True, "no-masq": False}


class _Flags(NamedTuple):
    """What follows an outcome."""

    is_masqueraded: bool | None = None
    is_sticky: bool = False
    binds: str = ""


def expectation_from(line: int, text: str) -> Expectation:
    """What a line demands.

    Raises:
        Mistake: it cannot be understood.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        raise Mistake(line, "write: SOURCE -> DESTINATION = OUTCOME, with blanks around -> and =")
    try:
        packet = _packet(match["source"], match["to"])
        outcome = _outcome(match["outcome"].strip(), packet)
        other = _in_iptables(match["iptables"], packet)
    except ValueError as exc:
        raise Mistake(line, str(exc)) from exc
    if other == outcome:
        raise Mistake(line, "iptables does not differ here; leave it out")
    return Expectation(line, text, packet, outcome, other)


def _in_iptables(text: str | None, packet: Packet) -> Outcome | None:
    """`[iptables: untouched]`: what the packet meets in that mode."""
    if text is None:
        return None
    return _outcome(text.removeprefix("[iptables:").removesuffix("]").strip(), packet)


def _packet(source: str, to: str) -> Packet:
    destination, port, transport = _destination(to)
    name, at, own = source.partition("@")
    if name not in HOSTS:
        raise ValueError(f'"{name}" is no host of the world; known: {", ".join(HOSTS)}')
    sender = HOSTS[name]
    family = family_of(destination)
    source_addr = _address(own) if at else sender.address(family)
    if family_of(source_addr) is not family:
        raise ValueError(f"{own} is of another family than {format_addr(destination)}")
    return Packet(_sender(sender, source_addr), source_addr, destination, transport, port)


def _sender(host: Host, source: Addr) -> Host:
    """The host that is known by a source address, so that `node@localhost` is `localhost`."""
    is_node = host.place is Place.NODE
    others = (h for h in HOSTS.values() if is_node and h.place is Place.NODE)
    return next((other for other in others if source in (other.ipv4, other.ipv6)), host)


def _destination(text: str) -> tuple[Addr, int, Protocol | None]:
    if text.startswith("ping"):
        return _address(text.removeprefix("ping").strip()), 0, None
    where, slash, word = text.partition("/")
    if slash and word.upper() not in PROTOCOLS_BY_NAME:
        raise ValueError(f'"{word}" is no protocol; write tcp, udp or sctp')
    target = _target(where)
    return target.addr, target.port, PROTOCOLS_BY_NAME[word.upper() if slash else "TCP"]


def _target(text: str) -> Target:
    """`pod-a:80`, `pod-a.v6:80`, `10.0.0.1:80` or `[fd00::1]:80`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f'"{text}" is not ADDRESS:PORT; write it as 10.96.0.10:80 or pod-a:80')
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f'write an IPv6 address in brackets: "[{host}]:{port}"')
    return Target(_address(host.removeprefix("[").removesuffix("]")), int(port))


def _address(text: str) -> Addr:
    if text in NAMES:
        return NAMES[text]
    try:
        addr = parse_addr(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, and no host of the world; known: {', '.join(HOSTS)}") from None
    return addr


def _outcome(text: str, packet: Packet) -> Outcome:
    if match := _ENDPOINTS.fullmatch(text):
        flags = _flags(match["flags"].split())
        endpoints = frozenset(_endpoints(match["inside"], flags, packet.family))
        return WantsEndpoints(endpoints, flags.is_sticky, flags.binds)
    if text in tuple(Verdict):
        return Verdict(text)
    words = text.split()
    is_same = words[0] != "not"
    name, *rest = words if is_same else words[1:] or [""]
    if not _NAME.fullmatch(name) or name in _FLAG_WORDS or name in tuple(Verdict):
        known = "{pod-a:80}, refused, dropped, untouched, or a name bound before"
        raise ValueError(f'"{text}" is no outcome; write {known}')
    flags = _flags(rest)
    if flags.is_sticky:
        raise ValueError("a name is one endpoint; leave out sticky")
    return WantsBound(name, is_same, flags.is_masqueraded, flags.binds)


def _endpoints(text: str, flags: _Flags, family: Family) -> Iterator[Wanted]:
    """`pod-a:80, pod-b:80 masq`: a word after one endpoint holds for that one."""
    for part in text.split(","):
        words = part.split()
        if not words or len(words) > 2 or (len(words) == 2 and words[1] not in _MASQUERADE):
            raise ValueError(
                f'"{part.strip()}" is no endpoint; write pod-a:80, or pod-a:80 masq; '
                "no endpoint at all is refused or dropped"
            )
        is_masqueraded = _MASQUERADE[words[1]] if len(words) == 2 else flags.is_masqueraded
        target = _target(words[0])
        if family_of(target.addr) is not family and words[0].split(":")[0] in NAMES:
            name, _, port = words[0].partition(":")
            target = Target(NAMES[_in_family(name, family)], int(port))
        if family_of(target.addr) is not family:
            raise ValueError(f"{words[0]} is of another family than the destination")
        yield Wanted(target, is_masqueraded)


def _in_family(name: str, family: Family) -> str:
    """Endpoints by name are of the destination's family, whether they say `.v6` or not."""
    host = name.removesuffix(".v6")
    return f"{host}.v6" if family is Family.IPV6 else host


def _flags(words: list[str]) -> _Flags:
    flags = _Flags()
    rest = iter(words)
    for word in rest:
        if word in _MASQUERADE and flags.is_masqueraded is None:
            flags = flags._replace(is_masqueraded=_MASQUERADE[word])
        elif word == "sticky" and not flags.is_sticky:
            flags = flags._replace(is_sticky=True)
        elif word == "as" and not flags.binds:
            flags = flags._replace(binds=_bound_name(next(rest, "")))
        else:
            raise ValueError(f'"{word}" is no flag here; known: masq, no-masq, sticky, as NAME')
    return flags


def _bound_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name in _FLAG_WORDS or name in tuple(Verdict):
        raise ValueError(f'"{name}" is no name; write: as X')
    return name
