from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from nodeproxy.sources.apiserver.failures import CredentialsError
from nodeproxy.sources.apiserver.identities import BareUrl, InCluster, Kubeconfig
from tests.unit.sources.apiserver.kubeconfigs import (
    TLS,
    inline,
    kubeconfig,
    pem,
    plugin,
    service_account,
)


def has_client_certificate(context: ssl.SSLContext | None) -> bool:
    """True if a handshake of this context with a server that asks for one presents one."""
    assert context is not None
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(TLS / "ca.pem"))
    server.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    server.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context.wrap_bio(to_client, to_server)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (client_side, server_side, client_side):
        with_alert_ignored(side)
    try:
        server_side.do_handshake()
    except ssl.SSLError:
        return False
    return server_side.getpeercert() is not None


def with_alert_ignored(side: ssl.SSLObject) -> None:
    with suppress(ssl.SSLError):
        side.do_handshake()


async def test_a_token_becomes_a_bearer_header(tmp_path: Path):
    path = kubeconfig(tmp_path, {"token": "secret"}, server="https://10.0.0.1:6443/base/")

    identity = await Kubeconfig(str(path))()

    assert identity.authorization == "Bearer secret"
    assert identity.base_url == "https://10.0.0.1:6443/base"
    assert identity.ssl_context is not None


async def test_a_token_file_is_read_relative_to_the_kubeconfig_without_its_newline(tmp_path: Path):
    (tmp_path / "token").write_text("from-file\n")
    path = kubeconfig(tmp_path, {"tokenFile": "token"})

    identity = await Kubeconfig(str(path))()

    assert identity.authorization == "Bearer from-file"
    assert str(tmp_path / "token") in identity.files


async def test_user_and_password_become_basic_authentication(tmp_path: Path):
    path = kubeconfig(tmp_path, {"username": "ada", "password": "pw"})

    identity = await Kubeconfig(str(path))()

    assert identity.authorization == "Basic YWRhOnB3"


async def test_client_certificates_are_read_from_files(tmp_path: Path):
    files = {"client-certificate": str(TLS / "client.pem"), "client-key": str(TLS / "client.key")}
    path = kubeconfig(tmp_path, files, cluster={"certificate-authority": str(TLS / "ca.pem")})

    identity = await Kubeconfig(str(path))()

    assert has_client_certificate(identity.ssl_context)
    assert set(identity.files) == {str(path), *files.values(), str(TLS / "ca.pem")}


async def test_inline_certificates_leave_no_key_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    user = {
        "client-certificate-data": inline("client.pem"),
        "client-key-data": inline("client.key"),
    }
    path = kubeconfig(tmp_path, user, cluster={"certificate-authority-data": inline("ca.pem")})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    identity = await Kubeconfig(str(path))()

    assert has_client_certificate(identity.ssl_context)
    assert list(scratch.iterdir()) == []


async def test_certificates_given_inline_can_be_loaded_again_and_again(tmp_path: Path):
    """The loaders forget neither descriptors nor the names of deleted files."""
    user = {
        "client-certificate-data": inline("client.pem"),
        "client-key-data": inline("client.key"),
    }
    load = Kubeconfig(str(kubeconfig(tmp_path, user)))
    await load()
    open_before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        identity = await load()

    assert has_client_certificate(identity.ssl_context)
    assert len(os.listdir("/proc/self/fd")) == open_before


async def test_an_exec_plugin_gives_a_token_and_says_until_when(tmp_path: Path):
    path = kubeconfig(tmp_path, plugin(tmp_path, expires="2036-01-02T03:04:05Z"))

    identity = await Kubeconfig(str(path))()

    assert identity.authorization == "Bearer token-1"
    assert identity.expires_at is not None
    assert identity.expires_at.isoformat() == "2036-01-02T03:04:05+00:00"


async def test_an_exec_plugin_gives_a_client_certificate(tmp_path: Path):
    user = plugin(
        tmp_path, clientCertificateData=pem("client.pem"), clientKeyData=pem("client.key")
    )
    path = kubeconfig(tmp_path, user)

    identity = await Kubeconfig(str(path))()

    assert has_client_certificate(identity.ssl_context)
    assert identity.authorization == ""


async def test_a_plugin_that_fails_may_work_later(tmp_path: Path):
    path = kubeconfig(tmp_path, plugin(tmp_path))
    (tmp_path / "plugin").unlink()

    with pytest.raises(CredentialsError) as caught:
        await Kubeconfig(str(path))()

    assert caught.value.may_pass
    assert "plugin" in str(caught.value)


async def test_master_replaces_the_server_of_the_kubeconfig(tmp_path: Path):
    path = kubeconfig(tmp_path, {"token": "secret"})

    identity = await Kubeconfig(str(path), master="http://127.0.0.1:8080")()

    assert identity.base_url == "http://127.0.0.1:8080"
    assert identity.ssl_context is None


async def test_server_name_and_proxy_are_taken_over(tmp_path: Path):
    path = kubeconfig(
        tmp_path,
        {"token": "secret"},
        cluster={"tls-server-name": "kubernetes.default", "proxy-url": "http://proxy:3128"},
    )

    identity = await Kubeconfig(str(path))()

    assert (identity.server_hostname, identity.proxy) == (
        "kubernetes.default",
        "http://proxy:3128",
    )


async def test_verification_can_be_switched_off(tmp_path: Path):
    path = kubeconfig(tmp_path, {"token": "secret"}, cluster={"insecure-skip-tls-verify": True})

    identity = await Kubeconfig(str(path))()

    assert identity.ssl_context is not None
    assert identity.ssl_context.verify_mode is ssl.CERT_NONE


async def test_a_pod_uses_its_service_account(tmp_path: Path):
    environ = service_account(tmp_path)

    identity = await InCluster(str(tmp_path), environ)()

    assert identity.base_url == "https://10.96.0.1:443"
    assert identity.authorization == "Bearer pod-token"
    assert set(identity.files) == {str(tmp_path / "token"), str(tmp_path / "ca.crt")}


async def test_a_bare_url_has_no_credentials():
    identity = await BareUrl("http://127.0.0.1:8080/")()

    assert (identity.base_url, identity.authorization) == ("http://127.0.0.1:8080", "")
    assert identity.ssl_context is None


def test_outside_of_a_pod_the_operator_is_told_what_to_pass(tmp_path: Path):
    with pytest.raises(CredentialsError, match="pass --kubeconfig FILE, or --manifests DIR"):
        InCluster(str(tmp_path), {})


def test_a_pod_without_a_token_is_told_so(tmp_path: Path):
    environ = service_account(tmp_path)
    (tmp_path / "token").unlink()

    with pytest.raises(CredentialsError, match="token file does not exist"):
        InCluster(str(tmp_path), environ)


def test_a_missing_kubeconfig_is_named(tmp_path: Path):
    with pytest.raises(CredentialsError, match=r"/absent: No such file or directory; name a read"):
        Kubeconfig(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not a YAML mapping"),
        ("- a\n", "is not a YAML mapping"),
        ("a: [\n", "correct the YAML"),
        ("kind: Config\n", "current-context"),
        ("current-context: x\ncontexts: []\nclusters: []\n", "name x in"),
        ("current-context: x\ncontexts:\n- name: x\n", "context"),
        ("current-context: x\ncontexts: 7\n", "does not have the shape of a kubeconfig"),
    ],
)
def test_a_kubeconfig_that_is_none_is_refused_at_once(tmp_path: Path, content: str, said: str):
    path = tmp_path / "kubeconfig"
    path.write_text(content)

    with pytest.raises(CredentialsError, match=said) as caught:
        Kubeconfig(str(path))

    assert str(path) in str(caught.value)
    assert not caught.value.may_pass


async def test_certificate_and_key_that_do_not_belong_together_are_named(tmp_path: Path):
    files = {"client-certificate": str(TLS / "client.pem"), "client-key": str(TLS / "server.key")}
    path = kubeconfig(tmp_path, files)

    with pytest.raises(CredentialsError, match="check that these are PEM and belong together"):
        await Kubeconfig(str(path))()


async def test_a_missing_certificate_file_is_refused(tmp_path: Path):
    path = kubeconfig(tmp_path, {"client-certificate": "absent.pem", "client-key": "absent.key"})

    with pytest.raises(CredentialsError, match="absent") as caught:
        await Kubeconfig(str(path))()

    assert not caught.value.may_pass
