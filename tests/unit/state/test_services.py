"""Service objects become service ports (spec 20; scenarios TS-301..313)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from nodeproxy.model.addresses import Addr, Family, format_addr, format_cidr
from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.model.services import ServicePort, TrafficPolicy
from nodeproxy.model.wire import ObjectMeta, Service
from nodeproxy.state.services import PROXY_NAME_LABEL, service_ports_from
from tests.support.builders import ServiceBuilder, service

V4, V6 = Family.IPV4, Family.IPV6


def read(builder: ServiceBuilder) -> tuple[ServicePort, ...]:
    """The service ports of an object that must have no problems."""
    ports, problems = service_ports_from(builder.build())
    assert not problems
    return ports


def read_one(builder: ServiceBuilder) -> ServicePort:
    (port,) = read(builder)
    return port


def complaints(builder: ServiceBuilder) -> dict[str, str]:
    """Message by field of what was wrong."""
    _, problems = service_ports_from(builder.build())
    assert all(problem.subject == "Service default/web" for problem in problems)
    return {problem.field: problem.message for problem in problems}


def web() -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10")


def texts(addrs: tuple[Addr, ...]) -> list[str]:
    return [format_addr(addr) for addr in addrs]


class TestWhichServicesAreServed:
    @pytest.mark.parametrize(
        "builder",
        [
            pytest.param(service("h").cluster_ip("None").port(53, "dns", "UDP"), id="headless UDP"),
            pytest.param(service("h").cluster_ip("None").port(99, "s", "SCTP"), id="headless SCTP"),
            pytest.param(service("h").cluster_ip("None"), id="headless without ports"),
            pytest.param(service("h").spec(cluster_ips=["None"]).port(80), id="headless by list"),
            pytest.param(
                service("e").cluster_ip("10.96.0.9").type("ExternalName").port(80),
                id="ExternalName with a ClusterIP",
            ),
            pytest.param(service("e").type("ExternalName").port(80), id="ExternalName"),
            pytest.param(web().port(80).label(PROXY_NAME_LABEL, "other"), id="another proxy"),
            pytest.param(web().port(80).label(PROXY_NAME_LABEL, ""), id="label without value"),
            pytest.param(web(), id="no ports"),
        ],
    )
    def test_nothing_results_and_nothing_is_wrong(self, builder: ServiceBuilder):
        """SVC-1, SVC-2, SVC-5; TS-301, TS-310."""
        assert read(builder) == ()

    def test_a_service_that_never_got_a_cluster_ip_is_reported(self):
        """SVC-2: from an API server this is rare, in a manifest it is a mistake."""
        builder = service("web").port(80)

        ports, _ = service_ports_from(builder.build())

        assert ports == ()
        assert complaints(builder) == {
            "spec.clusterIP": "not set; Service ignored until it has one"
        }

    def test_an_empty_cluster_ip_counts_as_none(self):
        builder = service("web").spec(cluster_ip="").port(80)

        assert service_ports_from(builder.build())[0] == ()

    def test_a_service_without_spec_is_reported(self):
        ports, problems = service_ports_from(Service())

        assert ports == ()
        assert [problem.field for problem in problems] == ["spec"]

    @pytest.mark.parametrize("type_", ["ClusterIP", "NodePort", "LoadBalancer", None])
    def test_any_other_type_with_a_cluster_ip_is_served(self, type_: str | None):
        """SVC-6, TS-310."""
        assert len(read(web().type(type_).port(80))) == 1

    def test_the_headless_label_does_not_hide_a_service(self):
        """EP-1: the label belongs to slices; a Service is headless by its clusterIP."""
        builder = web().port(80).label("service.kubernetes.io/headless")

        assert len(read(builder)) == 1


class TestPorts:
    def test_each_port_gives_an_entry(self):
        """SVC-4, TS-302."""
        builder = web().port(53, "dns", "UDP").port(9153, "metrics", "UDP")

        ports = read(builder)

        assert [(str(p.key), p.key.protocol, p.port) for p in ports] == [
            ("default/web:dns", Protocol.UDP, 53),
            ("default/web:metrics", Protocol.UDP, 9153),
        ]

    def test_a_node_port_is_taken(self):
        """TS-302."""
        builder = web().port(53, "u", "UDP").node_port(30053).port(53, "t").node_port(30054)

        assert [port.node_port for port in read(builder)] == [30053, 30054]

    def test_one_name_with_two_protocols_gives_two_entries(self):
        """SVC-4: the protocol is part of the key."""
        ports = read(web().port(53, "dns", "UDP").port(53, "dns", "TCP"))

        assert [port.key.protocol for port in ports] == [Protocol.UDP, Protocol.TCP]

    def test_an_unnamed_port_has_the_empty_name(self):
        assert read_one(web().port(80, None)).key == ServicePortKey(
            "default", "web", "", Protocol.TCP
        )

    def test_an_absent_protocol_is_tcp(self):
        assert read_one(web().port(80, "", None)).key.protocol is Protocol.TCP

    def test_of_two_ports_with_one_key_the_last_wins(self):
        """SVC-4."""
        builder = web().port(80, "http").port(81, "http")

        ports, _ = service_ports_from(builder.build())

        assert [port.port for port in ports] == [81]
        assert list(complaints(builder)) == ["spec.ports[1]"]

    def test_an_unknown_protocol_loses_only_that_port(self):
        builder = web().port(80, "a", "QUIC").port(81, "b")

        ports, _ = service_ports_from(builder.build())

        assert [port.port for port in ports] == [81]
        assert complaints(builder) == {
            "spec.ports[0].protocol": '"QUIC" is not one of TCP, UDP, SCTP; port ignored'
        }

    @pytest.mark.parametrize("number", [0, -1, 65536, None, 10**30])
    def test_a_port_out_of_range_loses_only_that_port(self, number: int | None):
        builder = web().port(number, "a").port(81, "b")

        ports, _ = service_ports_from(builder.build())

        assert [port.port for port in ports] == [81]
        assert list(complaints(builder)) == ["spec.ports[0].port"]

    @pytest.mark.parametrize("number", [-1, 65536])
    def test_a_node_port_out_of_range_loses_only_the_node_port(self, number: int):
        builder = web().port(80).node_port(number)

        (port,), _ = service_ports_from(builder.build())

        assert port.node_port == 0
        assert list(complaints(builder)) == ["spec.ports[0].nodePort"]


@dataclass
class FamilyCase:
    """One line of TS-311: what the object has, and the address for each family."""

    cluster_ip: str
    families: list[str] | None
    cluster_ips: list[str] | None
    v4: str | None
    v6: str | None


FAMILY_CASES = {
    "old-style v4": FamilyCase("10.0.0.10", None, None, "10.0.0.10", None),
    "old-style v6": FamilyCase("fd00::10", None, None, None, "fd00::10"),
    "single v4": FamilyCase("10.0.0.10", ["IPv4"], ["10.0.0.10"], "10.0.0.10", None),
    "single v6": FamilyCase("fd00::10", ["IPv6"], ["fd00::10"], None, "fd00::10"),
    "dual v4 first": FamilyCase(
        "10.0.0.10", ["IPv4", "IPv6"], ["10.0.0.10", "fd00::10"], "10.0.0.10", "fd00::10"
    ),
    "dual v6 first": FamilyCase(
        "fd00::10", ["IPv6", "IPv4"], ["fd00::10", "10.0.0.10"], "10.0.0.10", "fd00::10"
    ),
    "more families than addresses": FamilyCase(
        "10.0.0.10", ["IPv4", "IPv6"], ["10.0.0.10"], "10.0.0.10", None
    ),
    "more addresses than families": FamilyCase(
        "10.0.0.10", ["IPv4"], ["10.0.0.10", "fd00::10"], "10.0.0.10", None
    ),
    "manifest with families but no list": FamilyCase(
        "10.0.0.10", ["IPv4"], None, "10.0.0.10", None
    ),
    "manifest with a list but no families": FamilyCase(
        "10.0.0.10", None, ["10.0.0.10", "fd00::10"], "10.0.0.10", "fd00::10"
    ),
    "manifest with a list alone": FamilyCase("", None, ["fd00::10"], None, "fd00::10"),
}


class TestClusterIpOfAFamily:
    @pytest.mark.parametrize("case", FAMILY_CASES.values(), ids=FAMILY_CASES)
    def test_each_family_has_its_address_or_no_entry(self, case: FamilyCase):
        """SVC-3, TS-305, TS-311."""
        builder = (
            service("web")
            .spec(
                cluster_ip=case.cluster_ip, cluster_ips=case.cluster_ips, ip_families=case.families
            )
            .port(80)
        )

        found = {port.family: format_addr(port.cluster_ip) for port in read(builder)}

        expected = {V4: case.v4, V6: case.v6}
        assert found == {family: text for family, text in expected.items() if text}

    def test_an_address_of_the_wrong_family_is_reported(self):
        builder = (
            service("web").cluster_ip("10.0.0.10", "fd00::10").spec(ip_families=["IPv4", "IPv4"])
        ).port(80)

        ports, _ = service_ports_from(builder.build())

        assert [port.family for port in ports] == [V4]
        assert list(complaints(builder)) == ["spec.ipFamilies[1]"]

    def test_a_broken_address_leaves_the_other_family_in_place(self):
        builder = service("web").cluster_ip("10.0.0.300", "fd00::10").port(80)

        ports, _ = service_ports_from(builder.build())

        assert [port.family for port in ports] == [V6]
        assert complaints(builder) == {
            "spec.clusterIPs[0]": '"10.0.0.300" is not an IP address; no ClusterIP of that family'
        }

    def test_a_broken_old_style_address_is_named(self):
        builder = service("web").spec(cluster_ip="10.0.0").port(80)

        assert list(complaints(builder)) == ["spec.clusterIP"]


class TestLenientParsing:
    """Spec 20 section 4, SVC-50: objects of old API servers may have leading zeros."""

    def test_leading_zeros_are_decimal(self):
        builder = (
            service("web")
            .cluster_ip("172.30.0.041")
            .port(80)
            .external_ip("192.168.099.022")
            .load_balancer_ip("1.2.3.004")
            .source_range("203.0.113.000/025")
        )

        port = read_one(builder)

        assert format_addr(port.cluster_ip) == "172.30.0.41"
        assert texts(port.external_ips) == ["192.168.99.22"]
        assert texts(port.load_balancer_ips) == ["1.2.3.4"]
        assert [format_cidr(cidr) for cidr in port.source_ranges] == ["203.0.113.0/25"]

    @pytest.mark.parametrize("blank", ["", "  "])
    def test_a_blank_external_ip_is_ignored_silently(self, blank: str):
        """SVC-10."""
        assert read_one(web().port(80).external_ip(blank)).external_ips == ()

    def test_an_external_ip_that_is_none_is_reported(self):
        """SVC-10."""
        builder = web().port(80).external_ip("foo", "1.2.3.4")

        (port,), _ = service_ports_from(builder.build())

        assert texts(port.external_ips) == ["1.2.3.4"]
        assert complaints(builder) == {
            "spec.externalIPs[0]": '"foo" is not an IP address; external IP ignored'
        }


class TestAddressesOfBothFamilies:
    """TS-306, TS-312: each family keeps its own, in order."""

    MIXED = (
        service("web")
        .cluster_ip("10.96.0.10", "fd00:96::10")
        .port(80)
        .external_ip("2001:db8::2", "1.2.3.4", "1.2.3.3", "2001:db8::1")
        .load_balancer_ip("5.6.7.8", "2001:db8::8")
        .source_range("2001:db8::/32", "0.0.0.0/1")
    )

    def test_external_ips_keep_their_order(self):
        v4, v6 = read(self.MIXED)

        assert texts(v4.external_ips) == ["1.2.3.4", "1.2.3.3"]
        assert texts(v6.external_ips) == ["2001:db8::2", "2001:db8::1"]

    def test_load_balancer_ips_are_split(self):
        v4, v6 = read(self.MIXED)

        assert texts(v4.load_balancer_ips) == ["5.6.7.8"]
        assert texts(v6.load_balancer_ips) == ["2001:db8::8"]

    def test_source_ranges_are_split_and_half_of_everything_is_a_range(self):
        v4, v6 = read(self.MIXED)

        assert [str(cidr) for cidr in v4.source_ranges] == ["0.0.0.0/1"]
        assert [str(cidr) for cidr in v6.source_ranges] == ["2001:db8::/32"]


class TestLoadBalancerIps:
    @pytest.mark.parametrize(
        ("ip_mode", "expected"), [(None, ["10.1.2.4"]), ("VIP", ["10.1.2.4"]), ("Proxy", [])]
    )
    def test_only_vips_are_served_on_the_node(self, ip_mode: str | None, expected: list[str]):
        """SVC-13, TS-303, DP-45."""
        builder = web().port(80).load_balancer_ip("10.1.2.4", ip_mode=ip_mode)

        assert texts(read_one(builder).load_balancer_ips) == expected

    def test_an_unknown_mode_is_not_served(self):
        """SVC-13: "any other value"."""
        builder = web().port(80).load_balancer_ip("10.1.2.4", ip_mode="Tunnel")

        assert read_one(builder).load_balancer_ips == ()

    def test_an_entry_with_a_host_name_only_is_no_mistake(self):
        builder = web().port(80).load_balancer_ip("")

        assert read_one(builder).load_balancer_ips == ()

    def test_they_count_whatever_the_type_is(self):
        """SVC-15."""
        builder = web().port(80).load_balancer_ip("10.1.2.4").type("ClusterIP")

        assert texts(read_one(builder).load_balancer_ips) == ["10.1.2.4"]

    def test_one_that_does_not_parse_is_reported(self):
        """SVC-14."""
        builder = web().port(80).load_balancer_ip("lb.example", "10.1.2.4")

        (port,), _ = service_ports_from(builder.build())

        assert texts(port.load_balancer_ips) == ["10.1.2.4"]
        assert list(complaints(builder)) == ["status.loadBalancer.ingress[0].ip"]


class TestSourceRanges:
    def test_surrounding_space_and_host_bits_do_not_matter(self):
        """SVC-16, TS-307."""
        port = read_one(web().port(80).source_range(" 10.1.2.7/28", "", "  "))

        assert [str(cidr) for cidr in port.source_ranges] == ["10.1.2.0/28"]

    @pytest.mark.parametrize("everything", ["0.0.0.0/0", "10.0.0.0/0"])
    def test_everything_means_unrestricted(self, everything: str):
        """SVC-17, TS-313."""
        port = read_one(web().port(80).source_range("10.1.2.0/28", everything))

        assert port.source_ranges == ()

    def test_two_halves_of_everything_mean_unrestricted(self):
        """NFT-17: merged, they are everything."""
        port = read_one(web().port(80).source_range("0.0.0.0/1", "128.0.0.0/1"))

        assert port.source_ranges == ()

    def test_ranges_are_merged_whatever_their_order(self):
        """NFT-17, SVC-42: other words for the same sources are no change."""
        one = web().port(80).source_range("10.0.1.0/24", "10.0.0.0/24", "192.168.0.0/16")
        other = web().port(80).source_range("192.168.0.0/16", "10.0.0.0/23", "192.168.7.1/32")

        assert [str(cidr) for cidr in read_one(one).source_ranges] == [
            "10.0.0.0/23",
            "192.168.0.0/16",
        ]
        assert read_one(one) == read_one(other)

    def test_everything_of_the_other_family_changes_nothing(self):
        port = read_one(web().port(80).source_range("10.1.2.0/28", "::/0"))

        assert [str(cidr) for cidr in port.source_ranges] == ["10.1.2.0/28"]

    def test_only_ranges_of_the_other_family_leave_the_vip_open(self):
        """SVC-18."""
        assert read_one(web().port(80).source_range("2001:db8::/32")).source_ranges == ()

    def test_a_family_left_open_is_told_if_it_has_load_balancer_ips(self):
        """SVC-18."""
        builder = web().port(80).load_balancer_ip("1.2.3.4").source_range("2001:db8::/32")

        assert complaints(builder) == {
            "spec.loadBalancerSourceRanges": (
                "none is IPv4; its IPv4 load balancer addresses are open to every source"
            )
        }

    @pytest.mark.parametrize("ranges", [["2001:db8::/32", "10.0.0.0/8"], ["0.0.0.0/0", "::1/128"]])
    def test_ranges_of_both_families_are_no_mistake(self, ranges: list[str]):
        builder = web().cluster_ip("10.96.0.10", "fd00:96::10").port(80).source_range(*ranges)

        assert complaints(builder.load_balancer_ip("1.2.3.4", "2001:db8:f::4")) == {}

    def test_the_annotation_is_not_read(self):
        """SVC-19."""
        key = "service.beta.kubernetes.io/load-balancer-source-ranges"

        port = read_one(web().port(80).load_balancer_ip("1.2.3.4").annotation(key, "10.0.0.0/8"))

        assert port.source_ranges == ()

    def test_only_broken_ranges_leave_the_vip_open_and_say_so(self):
        """SVC-18."""
        builder = web().port(80).source_range("10.1.2", "nonsense/8")

        assert complaints(builder) == {
            "spec.loadBalancerSourceRanges[0]": '"10.1.2" is not a CIDR; range ignored',
            "spec.loadBalancerSourceRanges[1]": '"nonsense/8" is not a CIDR; range ignored',
            "spec.loadBalancerSourceRanges": (
                "none can be used; load balancer addresses are open to every source"
            ),
        }


class TestPolicies:
    @pytest.mark.parametrize(
        ("builder", "expected"),
        [
            pytest.param(web().type("LoadBalancer"), TrafficPolicy.LOCAL, id="LoadBalancer"),
            pytest.param(web().type("NodePort"), TrafficPolicy.LOCAL, id="NodePort"),
            pytest.param(web(), TrafficPolicy.CLUSTER, id="ClusterIP"),
            pytest.param(
                web().external_ip("1.2.3.4"), TrafficPolicy.LOCAL, id="ClusterIP with external IP"
            ),
            pytest.param(
                web().external_ip("2001:db8::1"),
                TrafficPolicy.LOCAL,
                id="ClusterIP with external IP of the other family",
            ),
        ],
    )
    def test_external_local_needs_a_way_in_from_outside(
        self, builder: ServiceBuilder, expected: TrafficPolicy
    ):
        """SVC-20."""
        builder = builder.port(80).local().health_check(30000)

        assert read_one(builder).external_policy is expected

    def test_internal_local_counts_for_any_type(self):
        """SVC-21."""
        assert read_one(web().port(80).internal_local()).internal_policy is TrafficPolicy.LOCAL

    def test_absent_policies_are_cluster(self):
        port = read_one(web().port(80).type("NodePort"))

        assert (port.internal_policy, port.external_policy) == (
            TrafficPolicy.CLUSTER,
            TrafficPolicy.CLUSTER,
        )

    def test_an_unknown_policy_is_cluster_and_reported(self):
        builder = web().port(80).type("NodePort").spec(external_traffic_policy="local")

        (port,), _ = service_ports_from(builder.build())

        assert port.external_policy is TrafficPolicy.CLUSTER
        assert complaints(builder) == {
            "spec.externalTrafficPolicy": ('"local" is neither Cluster nor Local; Cluster applies')
        }


class TestAffinity:
    def test_the_timeout_is_taken(self):
        """SVC-22."""
        assert read_one(web().port(80).affinity(60)).affinity_seconds == 60

    def test_a_missing_timeout_is_three_hours(self):
        """SVC-22 [N]."""
        assert read_one(web().port(80).affinity()).affinity_seconds == 10800

    def test_a_missing_config_is_three_hours(self):
        builder = web().port(80).spec(session_affinity="ClientIP")

        assert read_one(builder).affinity_seconds == 10800

    @pytest.mark.parametrize("value", ["None", "", None])
    def test_without_client_ip_there_is_none(self, value: str | None):
        builder = web().port(80).affinity(60).spec(session_affinity=value)

        assert read_one(builder).affinity_seconds == 0

    def test_an_unknown_kind_is_none_and_reported(self):
        builder = web().port(80).spec(session_affinity="Cookie")

        assert list(complaints(builder)) == ["spec.sessionAffinity"]

    @pytest.mark.parametrize("seconds", [0, -1, 86401])
    def test_a_timeout_out_of_range_is_repaired(self, seconds: int):
        builder = web().port(80).affinity(seconds)

        (port,), _ = service_ports_from(builder.build())

        assert port.affinity_seconds == 10800
        assert list(complaints(builder)) == ["spec.sessionAffinityConfig.clientIP.timeoutSeconds"]


class TestHealthCheckNodePort:
    def test_every_port_of_a_local_load_balancer_carries_it(self):
        """SVC-30, SVC-31, TS-304."""
        builder = web().port(80, "a").port(81, "b").type("LoadBalancer").local().health_check(345)

        assert [port.health_check_node_port for port in read(builder)] == [345, 345]

    @pytest.mark.parametrize(
        "builder",
        [
            pytest.param(web().type("NodePort").local(), id="another type"),
            pytest.param(web().type("LoadBalancer"), id="another policy"),
        ],
    )
    def test_otherwise_it_is_ignored(self, builder: ServiceBuilder):
        """SVC-30."""
        assert read_one(builder.port(80).health_check(345)).health_check_node_port == 0

    @pytest.mark.parametrize("number", [0, None, 65536, -5])
    def test_an_unusable_one_is_none_and_reported(self, number: int | None):
        """SVC-30."""
        builder = web().port(80).type("LoadBalancer").local().spec(health_check_node_port=number)

        (port,), _ = service_ports_from(builder.build())

        assert port.health_check_node_port == 0
        assert list(complaints(builder)) == ["spec.healthCheckNodePort"]


def test_two_families_report_a_problem_once():
    builder = service("web").cluster_ip("10.96.0.10", "fd00::10").port(0).external_ip("x")

    assert sorted(complaints(builder)) == ["spec.externalIPs[0]", "spec.ports[0].port"]
    assert len(service_ports_from(builder.build())[1]) == 2


def test_null_entries_everywhere_are_survived():
    """Go servers send null for empty lists and maps."""
    bare = Service(spec=web().build().spec)

    ports, problems = service_ports_from(bare)

    assert (ports, problems) == ((), ())


def test_fields_that_are_not_read_make_no_difference():
    """SVC-24, SVC-42: equality is over derived attributes."""
    plain = web().port(80)
    edited = web().port(80).label("team", "shop").annotation("note", "x").version("77")

    assert read(plain) == read(edited)


def test_the_order_of_external_ips_makes_a_difference():
    """SVC-42."""
    one = web().port(80).external_ip("1.2.3.4", "1.2.3.5")
    other = web().port(80).external_ip("1.2.3.5", "1.2.3.4")

    assert read(one) != read(other)


def test_an_object_without_namespace_is_in_the_default_one():
    """Only manifests leave it out; kubectl would put the object there."""
    built = web().port(80).build()

    (port,), _ = service_ports_from(replace(built, metadata=ObjectMeta(name="web")))

    assert port.key.service == ServiceKey("default", "web")
