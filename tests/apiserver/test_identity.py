"""Credentials that change while the source runs, over real TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.credentials import Credentials
from nodeproxy.sources.apiserver.identities import Kubeconfig
from nodeproxy.sources.apiserver.source import ApiServerSource
from tests.apiserver.following import QUICK_RETRIES, Journal, following
from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.objects import service
from tests.unit.sources.apiserver.kubeconfigs import TLS, kubeconfig, plugin

WEB = service("web", cluster_ips=["10.96.0.1"])


def source(path: Path) -> ApiServerSource:
    return ApiServerSource(Credentials(Kubeconfig(str(path))), "node-1", limits=QUICK_RETRIES)


@pytest.fixture
def server_tls() -> ssl.SSLContext:
    """A server that wants a certificate of its own CA from its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(TLS / "ca.pem"))
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_token_that_was_exchanged_is_read_again_from_its_file(tmp_path: Path):
    server = ApiServerStandIn(token="first")
    (tmp_path / "token").write_text("first\n")
    async with server.running() as url:
        path = kubeconfig(tmp_path, {"tokenFile": "token"}, server=url)
        async with following(source(path)) as follower:
            await follower.wait_synced()

            (tmp_path / "token").write_text("second, and longer\n")
            server.token = "second, and longer"
            server.reset_watches()
            server.put(WEB)
            await follower.wait_names(Kind.SERVICE, "web")

    assert follower.status(Kind.SERVICE).relists == 1


async def test_a_token_that_is_refused_makes_the_plugin_run_again(tmp_path: Path):
    server = ApiServerStandIn(token="token-1")
    async with server.running() as url:
        path = kubeconfig(tmp_path, plugin(tmp_path), server=url)
        async with following(source(path)) as follower:
            await follower.wait_synced()

            server.token = "token-2"
            server.reset_watches()
            server.put(WEB)
            await follower.wait_names(Kind.SERVICE, "web")

    assert (tmp_path / "runs").read_text() == "2"


async def test_an_identity_that_is_not_accepted_says_what_to_do(tmp_path: Path, journal: Journal):
    server = ApiServerStandIn(token="right")
    async with server.running() as url:
        path = kubeconfig(tmp_path, {"token": "wrong"}, server=url)
        async with following(source(path)) as follower:
            await journal.wait("401 Unauthorized")
            server.token = "wrong"
            await follower.wait_synced()

    assert "renew it in the kubeconfig" in journal.warnings[0]


async def test_a_client_certificate_that_was_exchanged_is_used(
    tmp_path: Path, server_tls: ssl.SSLContext, journal: Journal
):
    server = ApiServerStandIn()
    server.put(WEB)
    for name in ("pem", "key"):
        (tmp_path / f"client.{name}").write_bytes((TLS / f"stranger.{name}").read_bytes())
    async with server.running(ssl_context=server_tls) as url:
        path = kubeconfig(
            tmp_path,
            {"client-certificate": "client.pem", "client-key": "client.key"},
            server=url,
            cluster={"certificate-authority": str(TLS / "ca.pem")},
        )
        async with following(source(path)) as follower:
            await journal.wait("API server https://")
            for name in ("pem", "key"):
                (tmp_path / f"new.{name}").write_bytes((TLS / f"client.{name}").read_bytes())
                (tmp_path / f"new.{name}").rename(tmp_path / f"client.{name}")
            await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"web"}


async def test_a_server_of_another_ca_is_not_talked_to(
    tmp_path: Path, server_tls: ssl.SSLContext, journal: Journal
):
    server = ApiServerStandIn()
    async with server.running(ssl_context=server_tls) as url:
        path = kubeconfig(
            tmp_path,
            {"token": "secret"},
            server=url,
            cluster={"certificate-authority": str(TLS / "stranger.pem")},
        )
        async with following(source(path)):
            await journal.wait("certificate verify failed")

    assert server.requests == []


async def test_the_name_to_expect_in_the_certificate_can_be_given(
    tmp_path: Path, server_tls: ssl.SSLContext
):
    server = ApiServerStandIn()
    async with server.running(ssl_context=server_tls) as url:
        path = kubeconfig(
            tmp_path,
            {"client-certificate": str(TLS / "client.pem"), "client-key": str(TLS / "client.key")},
            server=url,
            cluster={
                "certificate-authority": str(TLS / "ca.pem"),
                "tls-server-name": "kubernetes.default",
            },
        )
        async with following(source(path)) as follower:
            await follower.wait_synced()
