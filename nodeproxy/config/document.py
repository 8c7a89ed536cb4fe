"""Settings as documents again: for `--write-config-to`, `nodeproxy config print`, and /configz."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nodeproxy.config.fields import (
    HEALTH_SERVER,
    METRICS_SERVER,
    OWN_API_VERSION,
    OWN_KIND,
    PEER_API_VERSION,
    PEER_KIND,
)
from nodeproxy.config.gates import is_known_to_peer
from nodeproxy.config.schema import Config
from nodeproxy.config.setting import Plain, Setting
from nodeproxy.config.settings import (
    FEATURE_GATES,
    NODE_NAME,
    SETTINGS,
)

Document = dict[str, Any]
"""Nested mappings of plain values, as YAML and JSON hold them."""

Chooser = Callable[[Setting[Any]], bool]


def peer_document(config: Config, chosen: Chooser = lambda _: True) -> Document:
    """The KubeProxyConfiguration of some settings, with what kube-proxy knows of them (CFG-9)."""
    document: Document = {"apiVersion": PEER_API_VERSION, "kind": PEER_KIND}
    for setting in _chosen(chosen):
        if not setting.is_own:
            _put(document, setting.concrete_name(config.proxy_mode), _peer_value(setting, config))
    return document


def own_document(config: Config, chosen: Chooser = lambda _: True) -> Document:
    """The NodeproxyConfiguration: what kube-proxy does not know. Empty if nothing is left of it."""
    fields: Document = {}
    for setting in _chosen(chosen):
        if setting.is_own and setting.value(config) != setting.default:
            _put(fields, setting.name, setting.plain(config))
    gates = config.feature_gates.explicit.items()
    if own_gates := {name: is_on for name, is_on in gates if not is_known_to_peer(name)}:
        fields[FEATURE_GATES.name] = own_gates
    if config.healthz_bind_address is None:
        fields[HEALTH_SERVER] = False
    if config.metrics_bind_address is None:
        fields[METRICS_SERVER] = False
    return {"apiVersion": OWN_API_VERSION, "kind": OWN_KIND, **fields} if fields else {}


def _chosen(chosen: Chooser) -> Iterable[Setting[Any]]:
    return (setting for setting in SETTINGS if chosen(setting))


def _peer_value(setting: Setting[Any], config: Config) -> Plain:
    if setting is FEATURE_GATES:
        gates = config.feature_gates.explicit.items()
        return {name: is_on for name, is_on in gates if is_known_to_peer(name)}
    if setting is NODE_NAME and setting.name not in config.origins:
        return ""  # the name of this host has no place in a file for many
    return setting.plain(config)


def _put(document: Document, path: str, value: Plain) -> None:
    *sections, leaf = path.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[leaf] = value
