"""What importing the loaders costs can only be seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sources.apiserver.kubeconfigs import (
    TLS,
    inline,
    kubeconfig,
    plugin,
    service_account,
)

_SCRIPT = """
import asyncio, json, sys

imported = []

class Witness:
    @staticmethod
    def find_spec(name, path=None, target=None):
        imported.append(name)

sys.meta_path.insert(0, Witness)

from nodeproxy.sources.apiserver.identities import InCluster, Kubeconfig

async def load():
    if sys.argv[1] == "in-cluster":
        return await InCluster(sys.argv[2], json.loads(sys.argv[3]))()
    return await Kubeconfig(sys.argv[2])()

identity = asyncio.run(load())
package = [name for name in imported if name.startswith("kubernetes_asyncio")]
print(json.dumps({
    "authorization": identity.authorization,
    "has_tls": identity.ssl_context is not None,
    "imported": package,
    "left_behind": [name for name in sys.modules if name.startswith("kubernetes_asyncio")],
}))
"""

USERS = {
    "token": {"token": "secret"},
    "certificate files": {
        "client-certificate": str(TLS / "client.pem"),
        "client-key": str(TLS / "client.key"),
    },
    "certificate data": {
        "client-certificate-data": inline("client.pem"),
        "client-key-data": inline("client.key"),
    },
}


def run_script(script: str, *arguments: str) -> str:
    """Run Python in a process of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:nodeproxy", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_lean(found: dict[str, object]) -> None:
    imported = found["imported"]
    assert isinstance(imported, list)
    assert "kubernetes_asyncio.config.kube_config" in imported
    assert "kubernetes_asyncio.client.configuration" in imported
    heavy = ("kubernetes_asyncio.client.models", "kubernetes_asyncio.client.api")
    assert [name for name in imported if name.startswith(heavy)] == []
    assert found["left_behind"] == []


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_a_kubeconfig_loads_without_the_models_of_the_package(tmp_path: Path, user: dict[str, str]):
    path = kubeconfig(tmp_path, user)

    found = json.loads(run_script(_SCRIPT, "kubeconfig", str(path)))

    assert found["has_tls"]
    assert_lean(found)


def test_an_exec_plugin_runs_without_the_models_of_the_package(tmp_path: Path):
    path = kubeconfig(tmp_path, plugin(tmp_path))

    found = json.loads(run_script(_SCRIPT, "kubeconfig", str(path)))

    assert found["authorization"] == "Bearer token-1"
    assert_lean(found)


def test_a_service_account_loads_without_the_models_of_the_package(tmp_path: Path):
    environ = service_account(tmp_path)

    found = json.loads(run_script(_SCRIPT, "in-cluster", str(tmp_path), json.dumps(environ)))

    assert found["authorization"] == "Bearer pod-token"
    assert_lean(found)


def test_the_whole_package_can_still_be_imported_afterwards():
    script = """
from nodeproxy.sources.apiserver import loaders
found = loaders.load()
import kubernetes_asyncio.config
from kubernetes_asyncio import client
print(client.V1Service(kind="Service").kind, client.Configuration is found.Configuration)
"""

    printed = run_script(script)

    assert printed.split() == ["Service", "False"]
