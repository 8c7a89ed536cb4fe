"""A kubeconfig for the private node: the same user and cluster, reached through the relay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_FILE_FIELDS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def relayed_kubeconfig(path: Path, port: int) -> str:
    """Rewrite a kubeconfig so that it works from another directory and through another address.

    Args:
        path: the original; only its current context is kept.
        port: of the relay, on 127.0.0.1.

    Returns:
        YAML. Certificates are checked against the name the original reaches the server by.

    Raises:
        LookupError: the current context is not complete.
    """
    content = yaml.safe_load(path.read_text())
    context = _named(content, "contexts", content["current-context"])["context"]
    cluster = _named(content, "clusters", context["cluster"])
    user = _named(content, "users", context["user"])
    server = urlsplit(cluster["cluster"]["server"])
    moved = _with_absolute_files(cluster["cluster"], path.parent)
    moved["server"] = f"{server.scheme}://127.0.0.1:{port}{server.path}"
    if server.scheme == "https":
        moved.setdefault("tls-server-name", server.hostname)
    kept = {
        **content,
        "contexts": [{"name": content["current-context"], "context": context}],
        "clusters": [{**cluster, "cluster": moved}],
        "users": [{**user, "user": _with_absolute_files(user["user"], path.parent)}],
    }
    return yaml.safe_dump(kept)


def _named(content: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    for entry in content.get(section) or ():
        if entry["name"] == name:
            found: Mapping[str, Any] = entry
            return found
    raise LookupError(f"the kubeconfig has no {name!r} among its {section}")


def _with_absolute_files(fields: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    return {
        name: str(directory.resolve() / value) if name in _FILE_FIELDS else value
        for name, value in fields.items()
    }
