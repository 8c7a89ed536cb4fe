"""Every setting with its value and its origin, as text (`nodeproxy config print`)."""

from __future__ import annotations

import json
from typing import Any

from nodeproxy.config.document import own_document, peer_document
from nodeproxy.config.reload import plain_text
from nodeproxy.config.schema import Config
from nodeproxy.config.setting import Setting
from nodeproxy.config.settings import DETECT_LOCAL_MODE, SETTINGS
from nodeproxy.documents.output import format_yaml


def format_effective(config: Config, form: str) -> str:
    """All settings; `form` is `table`, `yaml` or `json`."""
    if form == "yaml":
        return format_documents(config, with_origins=True)
    return _json(config) if form == "json" else _table(config)


def format_documents(config: Config, *, with_origins: bool = False) -> str:
    """The settings as a configuration file (CFG-9).

    The second document is there only if something in it has not its default.
    """
    beside = _origins(config) if with_origins else {}
    texts = [format_yaml(peer_document(config), beside=beside)]
    if own := own_document(config):
        texts.append(format_yaml(own, beside=beside))
    return "---\n".join(texts)


def _origins(config: Config) -> dict[str, str]:
    return {
        setting.concrete_name(config.proxy_mode): _origin(config, setting) for setting in SETTINGS
    }


def _origin(config: Config, setting: Setting[Any]) -> str:
    """Where a value comes from, and what would be misleading to leave out."""
    origin = str(config.origins.get(setting.concrete_name(config.proxy_mode), "default"))
    if setting.name in config.unused:
        return f"default ({origin} is ignored: {DETECT_LOCAL_MODE.name})"
    return f"{origin} (no effect here)" if setting.idle and origin != "default" else origin


def _table(config: Config) -> str:
    origins = _origins(config)
    rows = [("SETTING", "VALUE", "ORIGIN")]
    for setting in SETTINGS:
        name = setting.concrete_name(config.proxy_mode)
        rows.append((name, plain_text(setting.plain(config)), origins[name]))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = (f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)
    return "".join(f"{line}\n" for line in lines)


def _json(config: Config) -> str:
    origins = _origins(config)
    settings = [
        {
            "name": (name := setting.concrete_name(config.proxy_mode)),
            "flag": setting.flag.spelling if setting.flag else None,
            "value": setting.plain(config),
            "origin": origins[name],
            "live": setting.is_live,
        }
        for setting in SETTINGS
    ]
    return json.dumps({"settings": settings}, indent=2) + "\n"
