"""Settings that change on a running agent, by signal and by the file alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.topology import NODE_ADDRESSES, NODE_OTHER_ADDRESSES
from lab.traffic import Answer, Stream, ask
from lab.waiting import eventually
from tests.live.configured import ConfiguredSite, configured_site
from tests.live.site import LOOK_SECONDS, PACKET_KINDS, Web, first_answer, first_failure

pytestmark = pytest.mark.live

TCP4 = PACKET_KINDS[0]
EVERYWHERE = ["0.0.0.0/0", "::/0"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfiguredSite]:
    """A node with a running agent."""
    with configured_site("manifests", tmp_path_factory.mktemp("site")) as site:
        yield site


def hosts(addresses: tuple[str, ...]) -> list[str]:
    return [f"{a}/{128 if ':' in a else 32}" for a in addresses]


def test_a_signal_opens_node_ports_on_other_addresses(site: ConfiguredSite):
    web = site.published(site.backends(1))
    first = web.on_node(TCP4)
    second = web.on_node(TCP4, NODE_OTHER_ADDRESSES)
    before = ask(site.client, second, timeout=LOOK_SECONDS)

    site.config.write(nodePortAddresses=EVERYWHERE)
    site.agent.reload()
    first_answer(site.client, second)
    site.config.write(nodePortAddresses=hosts(NODE_ADDRESSES))
    site.agent.reload()
    first_failure(site.client, second, "refused", "timeout")

    assert not isinstance(before, Answer)
    first_answer(site.client, first)


def test_a_file_that_changes_is_read_without_a_signal(site: ConfiguredSite):
    """CFG-23, but the agent goes on."""
    web = site.published(site.backends(1))
    target = web.cluster_ip(TCP4)

    site.config.write(nftables={"masqueradeAll": True})
    wait_masqueraded(site, web, is_so=True)
    site.config.write(nftables={"masqueradeAll": False})
    wait_masqueraded(site, web, is_so=False)

    assert isinstance(ask(site.caller, target), Answer)


def test_no_connection_fails_while_settings_change(site: ConfiguredSite):
    web = site.published(site.backends(2))
    target = web.cluster_ip(TCP4)

    with Stream(lambda: ask(site.caller, target), name="new") as asking:
        for is_so in (True, False, True, False):
            site.config.write(nftables={"masqueradeAll": is_so})
            site.agent.reload()
            wait_masqueraded(site, web, is_so=is_so)

    assert not asking.failures()


def test_a_broken_file_leaves_everything_as_it_was(site: ConfiguredSite):
    web = site.published(site.backends(1))

    site.config.write_text("kind: [")
    site.agent.reload()
    site.logged("the settings before stay in force")
    first_answer(site.caller, web.cluster_ip(TCP4))
    site.config.write()
    site.agent.reload()
    site.logged("configuration read again")

    assert site.agent.is_ready()


def test_what_needs_a_restart_is_said_and_left_alone(site: ConfiguredSite):
    site.config.write(metricsBindAddress="127.0.0.1:10259")
    site.agent.reload()

    site.logged("takes effect when the agent is started again: metricsBindAddress")
    site.config.write(metricsBindAddress="127.0.0.1:10249")
    site.agent.reload()
    site.logged("changes=0")

    assert site.agent.is_ready()


def test_the_log_level_changes_at_once(site: ConfiguredSite):
    site.config.write(logging={"verbosity": 4})
    site.agent.reload()
    site.logged("in force now: logging.verbosity: 0 -> 4")
    web = site.published(site.backends(1))

    web.scale_to(site.backends(2))

    site.logged("DEBUG nodeproxy.sync rules updated")
    site.config.write(logging={"verbosity": 0})
    site.agent.reload()
    site.logged("in force now: logging.verbosity: 4 -> 0")


def wait_masqueraded(site: ConfiguredSite, web: Web, *, is_so: bool) -> None:
    """Wait until connections from a pod to a ClusterIP are masqueraded, or not any more."""
    target = web.cluster_ip(TCP4)
    eventually(
        f"masqueraded is {is_so}",
        lambda: ask(site.caller, target, timeout=LOOK_SECONDS),
        lambda seen: isinstance(seen, Answer) and seen.is_masqueraded is is_so,
    )


def test_connection_tracking_changes_at_once(site: ConfiguredSite):
    name = "net.netfilter.nf_conntrack_tcp_timeout_close_wait"
    before = site.node.run("sysctl", "-n", name).strip()

    site.config.write(conntrack={"tcpCloseWaitTimeout": "77s"})
    site.agent.reload()

    site.logged(f"kernel setting {name}=77 instead of {before}")
    assert site.node.run("sysctl", "-n", name).strip() == "77"
