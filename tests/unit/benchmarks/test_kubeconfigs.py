"""The kubeconfig an agent on the private node gets for a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.kubeconfigs import relayed_kubeconfig


def content(server: str, **user: str) -> dict[str, Any]:
    return {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": server, "certificate-authority": "ca.crt"}},
            {"name": "other", "cluster": {"server": "https://elsewhere"}},
        ],
        "users": [{"name": "u", "user": user}],
    }


def relayed(directory: Path, given: dict[str, Any]) -> dict[str, Any]:
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(given))
    made: dict[str, Any] = yaml.safe_load(relayed_kubeconfig(path, 4444))
    return made


def test_the_server_is_the_relay_and_keeps_its_name_for_tls(tmp_path: Path):
    given = content("https://api.example:6443/k8s")

    made = relayed(tmp_path, given)

    (entry,) = made["clusters"]
    assert entry["cluster"]["server"] == "https://127.0.0.1:4444/k8s"
    assert entry["cluster"]["tls-server-name"] == "api.example"


def test_files_are_found_from_everywhere(tmp_path: Path):
    given = content("https://api.example", tokenFile="token", token="secret")

    made = relayed(tmp_path, given)

    assert made["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    assert made["users"][0]["user"] == {"tokenFile": str(tmp_path / "token"), "token": "secret"}


def test_a_context_that_names_nobody_is_refused(tmp_path: Path):
    given = content("https://api.example") | {"users": []}

    with pytest.raises(LookupError, match="no 'u' among its users"):
        relayed(tmp_path, given)
