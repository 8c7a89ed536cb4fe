"""Reading an identity: from a kubeconfig, from the service account of a pod, from a bare URL.

The loaders of kubernetes_asyncio do the work (CFG-40); this module gives them the right input,
turns their exceptions into messages with a remedy, and their result into an `Identity`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import aiohttp
import yaml

from nodeproxy.config.schema import Config
from nodeproxy.sources.apiserver import loaders
from nodeproxy.sources.apiserver.credentials import Identity, LoadIdentity
from nodeproxy.sources.apiserver.failures import CredentialsError
from nodeproxy.sources.apiserver.loaders import Configuration, KubeConfigLoader

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_BAD_CONTENT = (AssertionError, AttributeError, KeyError, TypeError, ValueError, OSError)
"""What the loaders raise for a kubeconfig whose shape they did not expect."""
_FROM_OTHERS = (aiohttp.ClientError, *_BAD_CONTENT)
"""What they raise besides when a plugin or an identity provider fails."""


class Kubeconfig:
    """Loads the current context of a kubeconfig (CFG-40)."""

    def __init__(self, path: str, master: str = "") -> None:
        """Take the file's path, and a URL that replaces the server it names.

        Raises:
            CredentialsError: the file cannot be read or its current context is not complete.
        """
        self._path = os.path.abspath(path)
        self._master = master
        self._loader()

    async def __call__(self) -> Identity:
        """Read everything anew; runs the exec plugin if the user has one.

        Raises:
            CredentialsError: with `may_pass` if a plugin or an identity provider failed.
        """
        found = loaders.load()
        loader, user = self._loader()
        configuration = found.Configuration()
        try:
            await loader.load_and_set(configuration)
        except (found.ConfigException, *_FROM_OTHERS) as exc:
            raise self._error(exc, may_pass=_asks_others(user)) from exc
        files = [self._path]
        if token_file := user.get("tokenFile"):
            files.append(os.path.join(os.path.dirname(self._path), str(token_file)))
        # Inline certificates are in temporary files now; the TLS context has read them.
        try:
            return _identity(
                configuration,
                f"kubeconfig {self._path}",
                host=self._master or configuration.host,
                files=files,
                expires_at=getattr(loader, "exec_plugin_expiry", None),
            )
        finally:
            found.remove_temporary_files()

    def _loader(self) -> tuple[KubeConfigLoader, Mapping[str, Any]]:
        """A loader that has found its context, and the user section of that context."""
        found = loaders.load()
        content = self._read()
        try:
            loader = found.KubeConfigLoader(content, config_base_path=os.path.dirname(self._path))
            return loader, _user_of(content, loader.current_context)
        except found.ConfigException as exc:
            raise self._error(exc) from exc
        except _BAD_CONTENT as exc:
            raise self._error(f"does not have the shape of a kubeconfig ({exc})") from exc

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._path, encoding="utf-8") as file:
                content = yaml.safe_load(file)
        except OSError as exc:
            raise self._error(exc.strerror or exc, "name a readable file") from exc
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            raise self._error(exc, "correct the YAML") from exc
        if not isinstance(content, dict):
            raise self._error("is not a YAML mapping", "name a kubeconfig")
        return content

    def _error(
        self,
        what: object,
        remedy: str = "check it with: kubectl config view --minify --kubeconfig FILE",
        *,
        may_pass: bool = False,
    ) -> CredentialsError:
        text = str(what) or type(what).__name__
        return CredentialsError(f"kubeconfig {self._path}", text, remedy, may_pass=may_pass)


class InCluster:
    """Loads the service account of the pod the agent runs in (CFG-40)."""

    def __init__(
        self, directory: str = SERVICE_ACCOUNT, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Take the directory of the service account and the environment of the process.

        Raises:
            CredentialsError: the process is not in a pod, or the pod has no service account.
        """
        self._token_file = os.path.join(directory, "token")
        self._ca_file = os.path.join(directory, "ca.crt")
        self._environ = dict(environ)
        self._configuration()

    async def __call__(self) -> Identity:
        """Read token and CA anew.

        Raises:
            CredentialsError: they cannot be read.
        """
        configuration = self._configuration()
        return _identity(
            configuration,
            f"service account {os.path.dirname(self._token_file)}",
            host=configuration.host,
            files=[self._token_file],
        )

    def _configuration(self) -> Configuration:
        found = loaders.load()
        configuration = found.Configuration()
        try:
            found.load_incluster_config(
                configuration,
                try_refresh_token=False,  # files are watched by Credentials
                token_filename=self._token_file,
                cert_filename=self._ca_file,
                environ=self._environ,
            )
        except (found.ConfigException, OSError) as exc:
            raise CredentialsError(
                "in-cluster credentials",
                str(exc),
                "pass --kubeconfig FILE, or --manifests DIR to work without an API server",
            ) from exc
        return configuration


class BareUrl:
    """`--master URL` without a kubeconfig: no credentials, the system's certificate authorities."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self) -> Identity:
        """The identity; nothing is read."""
        context = ssl.create_default_context() if self._url.startswith("https") else None
        return Identity(self._url, ssl_context=context)


def identity_loader(config: Config) -> LoadIdentity:
    """What loads the identity a configuration asks for (CFG-40).

    Raises:
        CredentialsError: the kubeconfig is not usable, or there is none and this is no pod.
    """
    if config.kubeconfig:
        return Kubeconfig(config.kubeconfig, config.master)
    return BareUrl(config.master) if config.master else InCluster()


def _identity(
    configuration: Configuration,
    subject: str,
    *,
    host: str,
    files: list[str],
    expires_at: datetime | None = None,
) -> Identity:
    """Turn what a loader filled in into an identity."""
    tls_files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    return Identity(
        host,
        # A token file may end with a newline, which a header may not.
        authorization=configuration.api_key.get("BearerToken", "").strip(),
        ssl_context=_ssl_context(configuration, subject) if host.startswith("https") else None,
        server_hostname=configuration.tls_server_name,
        proxy=configuration.proxy,
        expires_at=expires_at,
        files=[*files, *filter(None, tls_files)],
    )


def _ssl_context(configuration: Configuration, subject: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        # Python 3.13 began to demand extensions that cluster CAs made by older tools lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except OSError as exc:  # ssl.SSLError is one
        names = ", ".join(
            filter(
                None, (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
            )
        )
        raise CredentialsError(
            subject,
            f"CA, client certificate or key cannot be used: {exc}",
            f"check that these are PEM and belong together: {names}",
        ) from exc
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _user_of(content: Mapping[str, Any], context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user section a context names; empty if there is none."""
    name = context["context"].get("user")
    for user in content.get("users") or ():
        if user.get("name") == name:
            return user.get("user") or {}
    return {}


def _asks_others(user: Mapping[str, Any]) -> bool:
    """True if the credentials come from a plugin or a provider, which may fail for a while."""
    return "exec" in user or "auth-provider" in user
