from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from nodeproxy import clock
from nodeproxy.sources.apiserver.credentials import Credentials, Identity
from nodeproxy.sources.apiserver.failures import CredentialsError
from nodeproxy.sources.apiserver.identities import InCluster, Kubeconfig
from tests.unit.sources.apiserver.kubeconfigs import kubeconfig, plugin, service_account


class Loader:
    """Gives a new identity each time, or fails."""

    def __init__(self, *, expires_in: timedelta | None = None) -> None:
        self.loads = 0
        self.error: CredentialsError | None = None
        self.expires_in = expires_in

    async def __call__(self) -> Identity:
        self.loads += 1
        if self.error is not None:
            raise self.error
        expires_at = clock.utc_now() + self.expires_in if self.expires_in else None
        return Identity("http://api", authorization=f"Bearer {self.loads}", expires_at=expires_at)


def error(*, may_pass: bool = False) -> CredentialsError:
    return CredentialsError("kubeconfig x", "is broken", "mend it", may_pass=may_pass)


async def test_an_identity_is_loaded_once():
    load = Loader()
    credentials = Credentials(load)

    identities = [await credentials.identity() for _ in range(3)]

    assert load.loads == 1
    assert len(set(identities)) == 1


async def test_a_refused_identity_is_loaded_anew():
    load = Loader()
    credentials = Credentials(load)

    credentials.refuse(await credentials.identity())

    assert (await credentials.identity()).authorization == "Bearer 2"


async def test_a_late_refusal_of_an_older_identity_changes_nothing():
    load = Loader()
    credentials = Credentials(load)
    old = await credentials.identity()
    credentials.refuse(old)
    await credentials.identity()

    credentials.refuse(old)

    assert (await credentials.identity()).authorization == "Bearer 2"


@pytest.mark.parametrize(("seconds", "loads"), [(30, 2), (3600, 1)])
async def test_a_token_is_renewed_before_it_expires(seconds: int, loads: int):
    load = Loader(expires_in=timedelta(seconds=seconds))
    credentials = Credentials(load)
    await credentials.identity()

    await credentials.identity()

    assert load.loads == loads


async def test_an_exchanged_service_account_token_is_used_by_the_next_request(tmp_path: Path):
    credentials = Credentials(InCluster(str(tmp_path), service_account(tmp_path, "first")))
    before = await credentials.identity()

    (tmp_path / "token.new").write_text("second")
    (tmp_path / "token.new").rename(tmp_path / "token")

    assert before.authorization == "Bearer first"
    assert (await credentials.identity()).authorization == "Bearer second"


async def test_an_exchanged_ca_is_loaded(tmp_path: Path):
    credentials = Credentials(InCluster(str(tmp_path), service_account(tmp_path)))
    before = await credentials.identity()

    (tmp_path / "ca.new").write_bytes((tmp_path / "ca.crt").read_bytes())
    (tmp_path / "ca.new").rename(tmp_path / "ca.crt")

    assert (await credentials.identity()).ssl_context is not before.ssl_context


async def test_an_edited_kubeconfig_is_loaded(tmp_path: Path):
    path = kubeconfig(tmp_path, {"token": "first"})
    credentials = Credentials(Kubeconfig(str(path)))
    await credentials.identity()

    path.unlink()
    kubeconfig(tmp_path, {"token": "second"})

    assert (await credentials.identity()).authorization == "Bearer second"


async def test_a_half_written_kubeconfig_leaves_the_identity_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = kubeconfig(tmp_path, {"token": "first"})
    credentials = Credentials(Kubeconfig(str(path)))
    await credentials.identity()
    path.unlink()
    path.write_text("apiVersion: [")

    identities = [await credentials.identity() for _ in range(2)]

    assert {identity.authorization for identity in identities} == {"Bearer first"}
    [record] = caplog.records
    assert "going on with what was loaded before" in record.getMessage()


async def test_an_exec_plugin_runs_again_after_a_refusal_only(tmp_path: Path):
    credentials = Credentials(Kubeconfig(str(kubeconfig(tmp_path, plugin(tmp_path)))))
    first = await credentials.identity()
    same = await credentials.identity()

    credentials.refuse(first)
    second = await credentials.identity()

    assert same is first
    assert (first.authorization, second.authorization) == ("Bearer token-1", "Bearer token-2")


async def test_a_refused_identity_is_not_used_again_when_loading_fails():
    load = Loader()
    credentials = Credentials(load)
    credentials.refuse(await credentials.identity())
    load.error = error()

    with pytest.raises(CredentialsError):
        await credentials.identity()


async def test_trouble_with_loading_is_logged_when_it_begins_and_ends(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    load = Loader(expires_in=timedelta(seconds=1))
    credentials = Credentials(load)
    await credentials.identity()

    load.error = error()
    await credentials.identity()
    await credentials.identity()
    load.error = None
    await credentials.identity()

    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "kubeconfig x: is broken; mend it; going on with what was loaded before",
        "credentials loaded again url=http://api",
    ]


async def test_credentials_that_can_never_work_stop_the_start():
    load = Loader()
    load.error = error()

    with pytest.raises(CredentialsError):
        await Credentials(load).start()


async def test_credentials_that_may_work_later_do_not_stop_the_start():
    load = Loader()
    load.error = error(may_pass=True)

    await Credentials(load).start()

    assert load.loads == 1


def test_an_identity_does_not_print_its_token():
    identity = Identity("http://api", authorization="Bearer secret")

    assert "secret" not in repr(identity)
