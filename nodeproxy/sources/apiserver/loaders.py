"""The credential loaders of kubernetes_asyncio, without its models.

`import kubernetes_asyncio.config` brings in the package's client with one module for each of the
740 API types: about 40 MB of memory and 0.5 s, and none of it is used here
(docs/decisions/0004-lean-loaders.md). The loader modules need two names of that client,
`Configuration`, which has a module of its own, and `ApiClient`, which only functions that are
not called here use. So the loaders are imported below a client package that holds just these
names, and the package is taken out of `sys.modules` again: whoever imports kubernetes_asyncio
later in the same process gets all of it, as if nothing had happened here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, Protocol

from nodeproxy.errors import SourceError

_PACKAGE = "kubernetes_asyncio"


class Configuration(Protocol):
    """The fields of the package's Configuration that loaders fill in."""

    host: str
    api_key: dict[str, str]
    """The Authorization header's value is under "BearerToken", whatever its scheme."""
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool
    tls_server_name: str | None
    proxy: str | None


class KubeConfigLoader(Protocol):
    """The package's loader of one context of a kubeconfig."""

    @property
    def current_context(self) -> Mapping[str, Any]:
        """The entry of `contexts` that is loaded."""

    async def load_and_set(self, client_configuration: Configuration) -> None:
        """Find credentials, run plugins, fill in a configuration."""


class Loaders(NamedTuple):
    """What is used of kubernetes_asyncio."""

    Configuration: Callable[[], Configuration]
    KubeConfigLoader: Callable[..., KubeConfigLoader]
    load_incluster_config: Callable[..., None]
    ConfigException: type[Exception]
    remove_temporary_files: Callable[[], None]
    """Deletes the files that hold certificates and keys given inline in a kubeconfig."""


@functools.cache
def load() -> Loaders:
    """Import the loaders, once.

    Raises:
        SourceError: kubernetes_asyncio is not installed.
    """
    with _light_client():
        configuration = importlib.import_module(f"{_PACKAGE}.client.configuration")
        sys.modules[f"{_PACKAGE}.client"].__dict__["Configuration"] = configuration.Configuration
        kube_config = importlib.import_module(f"{_PACKAGE}.config.kube_config")
        incluster_config = importlib.import_module(f"{_PACKAGE}.config.incluster_config")
    kube_config.__dict__["tempfile"] = _tempfile_without_leak()
    # It logs what it raises; the exception is reported here, once.
    kube_config.logger.disabled = True
    return Loaders(
        Configuration=configuration.Configuration,
        KubeConfigLoader=kube_config.KubeConfigLoader,
        load_incluster_config=incluster_config.load_incluster_config,
        ConfigException=kube_config.ConfigException,
        # Private, but the only way to have keys off the disk before the process ends.
        remove_temporary_files=kube_config._cleanup_temp_files,
    )


@contextmanager
def _light_client() -> Iterator[None]:
    """While this is open, `kubernetes_asyncio.client` is a package without contents."""
    ours = {name: sys.modules.pop(name) for name in _package_modules()}
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"the Python package {_PACKAGE} is not installed; install it with pip")
    root = spec.submodule_search_locations[0]
    try:
        sys.modules[_PACKAGE] = _empty_package(_PACKAGE, root)
        client = _empty_package(f"{_PACKAGE}.client", os.path.join(root, "client"))
        client.__dict__["ApiClient"] = None
        sys.modules[client.__name__] = client
        yield
    finally:
        for name in _package_modules():
            del sys.modules[name]
        sys.modules.update(ours)


def _package_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]


def _empty_package(name: str, path: str) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = [path]
    return package


def _tempfile_without_leak() -> SimpleNamespace:
    """The functions kube_config uses of `tempfile`.

    It never closes the descriptor `mkstemp` returns, which an exec plugin that hands out client
    certificates would turn into two lost descriptors each time they are renewed.
    """

    def mkstemp(dir: str | None = None) -> tuple[int, str]:
        descriptor, name = tempfile.mkstemp(dir=dir)
        os.close(descriptor)
        return -1, name

    return SimpleNamespace(mkstemp=mkstemp, NamedTemporaryFile=tempfile.NamedTemporaryFile)
