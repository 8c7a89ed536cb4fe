"""From the flags or the file of a kube-proxy to a file that holds what counts, and no more.

What says the same as the default is left out, and so is what has no effect here; both are told
in the file. A proxy mode that nodeproxy does not have becomes nftables.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from nodeproxy.config.document import own_document, peer_document
from nodeproxy.config.fields import HEALTH_SERVER, METRICS_SERVER
from nodeproxy.config.load import gather, settle
from nodeproxy.config.schema import Config, OriginKind, ProxyMode, Remark
from nodeproxy.config.setting import Setting
from nodeproxy.config.settings import FEATURE_GATES, PROXY_MODE, SETTINGS
from nodeproxy.config.values import PEER_MODES
from nodeproxy.documents.output import format_yaml


def migrated(flags: Mapping[str, str], host_name: str) -> str:
    """The text of the file, with comments.

    Raises:
        InvalidSettings: some of it is wrong; nothing is left out silently.
        UnreadableFile: the old file cannot be read.
    """
    gathered = gather(flags)
    mode = next((given for given in gathered.givens if given.name == PROXY_MODE.name), None)
    old_mode = mode.text if mode else ""
    if mode and old_mode in PEER_MODES and old_mode not in list(ProxyMode):
        # Their section counts then, and that of nftables never did.
        givens = tuple(
            given
            for given in gathered.givens
            if given is not mode and not given.name.startswith(f"{ProxyMode.NFTABLES}.")
        )
        gathered = msgspec.structs.replace(gathered, givens=givens)
    else:
        old_mode = ""
    config = settle(gathered, host_name)
    return "\n".join([*_head(config), *_body(config, old_mode), *_left_out(config.remarks)]) + "\n"


def _head(config: Config) -> Iterator[str]:
    source = f"the file {config.config_file}" if config.config_file else "flags"
    yield f"# Settings of nodeproxy, made of {source} by `nodeproxy config migrate`."
    yield "# What is not here has its default; `nodeproxy config print --config FILE` shows it all."


def _body(config: Config, old_mode: str) -> Iterator[str]:
    def is_chosen(setting: Setting[Any]) -> bool:
        if setting is PROXY_MODE:
            return True
        is_given = setting.concrete_name(config.proxy_mode) in config.origins
        is_used = setting.name not in config.unused and not setting.idle
        return is_given and is_used and setting.value(config) != setting.default

    comments = dict(_comments(config))
    if old_mode:
        comments[PROXY_MODE.name] += f" It was {old_mode}, which is not to be had."
    yield format_yaml(_without_empty(peer_document(config, is_chosen)), comments).rstrip()
    if own := own_document(config, is_chosen):
        yield "---"
        yield "# What kube-proxy does not know. It reads the first document only."
        yield format_yaml(own, comments).rstrip()


def _comments(config: Config) -> Iterator[tuple[str, str]]:
    """What a field means, and where its value came from."""
    for setting in SETTINGS:
        name = setting.concrete_name(config.proxy_mode)
        meaning = re.split(r"[.:;] ", setting.flag.help)[0].rstrip(".") if setting.flag else ""
        if setting is FEATURE_GATES:
            meaning = "Feature gates"
        origin = config.origins.get(name)
        came = f" (was {origin.flag})" if origin and origin.kind is OriginKind.FLAG else ""
        yield name, textwrap.fill(f"{meaning}{came}.", 90, break_on_hyphens=False)
    yield HEALTH_SERVER, "No server for /healthz, /livez and /readyz."
    yield METRICS_SERVER, "No server for /metrics."


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value not in ({}, "", [])}


def _left_out(remarks: tuple[Remark, ...]) -> Iterator[str]:
    if remarks:
        yield ""
        yield "# Left out, or to be looked at:"
        yield from (f"#   {remark.text}" for remark in remarks)
