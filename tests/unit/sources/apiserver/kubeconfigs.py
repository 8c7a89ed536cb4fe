"""Kubeconfigs for tests, and the files they name."""

from __future__ import annotations

import base64
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

TLS = Path(__file__).parent / "tls"


def inline(name: str) -> str:
    """A file of `tls/` as kubeconfigs carry it in their -data fields."""
    return base64.b64encode((TLS / name).read_bytes()).decode()


def kubeconfig(
    directory: Path,
    user: dict[str, Any],
    *,
    server: str = "https://127.0.0.1:6443",
    cluster: Mapping[str, str | bool] | None = None,
) -> Path:
    """Write a kubeconfig with one context; returns its path."""
    path = directory / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def plugin(directory: Path, *, expires: str | None = None, **status: str) -> dict[str, Any]:
    """The `exec` section of a user, with a plugin that counts its runs in `runs`.

    It answers the token `token-1`, `token-2`, ... unless `status` says something else.
    """
    script = directory / "plugin"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(directory / 'runs')!r})\n"
        "count = int(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text(str(count))\n"
        f"status = {dict(status)!r} or {{'token': f'token-{{count}}'}}\n"
        f"expires = {expires!r}\n"
        "if expires: status['expirationTimestamp'] = expires\n"
        "kind = {'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential'}\n"
        "print(json.dumps({**kind, 'status': status}))\n"
    )
    script.chmod(stat.S_IRWXU)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)},
    }


def pem(name: str) -> str:
    """A file of `tls/` as text."""
    return (TLS / name).read_text()


def service_account(directory: Path, token: str = "pod-token\n") -> dict[str, str]:
    """Write what a pod finds of its service account; returns the environment of the pod."""
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes((TLS / "ca.pem").read_bytes())
    return {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
