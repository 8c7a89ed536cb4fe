"""EndpointSlices become groups of addresses (spec 10 sections 2 and 3)."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.endpoints import EndpointAddress, EndpointGroup, EndpointPort
from nodeproxy.model.keys import Protocol, ServiceKey
from nodeproxy.model.wire import EndpointSlice, SliceEndpoint
from nodeproxy.state.slices import HEADLESS_LABEL, groups_from_slice
from tests.support.builders import SliceBuilder, slice_


def read(builder: SliceBuilder) -> EndpointGroup:
    """The group of a slice that must have no problems."""
    _, (group,), problems = groups_from_slice(builder.build())
    assert not problems
    return group


def read_one(builder: SliceBuilder) -> EndpointAddress:
    (address,) = read(builder).addresses
    return address


def complaints(builder: SliceBuilder) -> dict[str, str]:
    """Message by field of what was wrong."""
    _, _, problems = groups_from_slice(builder.build())
    assert all(problem.subject == "EndpointSlice default/web-1" for problem in problems)
    return {problem.field: problem.message for problem in problems}


def bare(*, address_type: str = "IPv4") -> SliceBuilder:
    return slice_("web-1", service="web", address_type=address_type)


def web(*, address_type: str = "IPv4") -> SliceBuilder:
    return bare(address_type=address_type).port(8080, "http")


def texts(group: EndpointGroup) -> list[str]:
    return [format_addr(address.addr) for address in group.addresses]


class TestWhoseSlice:
    def test_the_label_names_the_service_in_the_namespace_of_the_slice(self):
        """EP-7, TS-107."""
        builder = slice_("web-1", service="web", namespace="shop").port(80).endpoint("10.0.0.1")

        owner, _, _ = groups_from_slice(builder.build())

        assert owner == ServiceKey("shop", "web")

    @pytest.mark.parametrize("service_name", [None, ""])
    def test_without_the_label_it_is_ignored_and_reported(self, service_name: str | None):
        """EP-7."""
        builder = slice_("web-1", service=service_name).port(80).endpoint("10.0.0.1")

        owner, groups, _ = groups_from_slice(builder.build())

        assert (owner, groups) == (None, ())
        assert complaints(builder) == {
            "metadata.labels": "no kubernetes.io/service-name; slice ignored"
        }

    def test_without_a_name_it_is_ignored_and_reported(self):
        """EP-7."""
        owner, groups, problems = groups_from_slice(EndpointSlice(address_type="IPv4"))

        assert (owner, groups) == (None, ())
        assert [problem.field for problem in problems] == ["metadata.name"]

    def test_slices_of_headless_services_belong_to_nobody(self):
        """EP-2: the API server filters them, manifests come unfiltered."""
        builder = web().endpoint("10.0.0.1").label(HEADLESS_LABEL)

        assert groups_from_slice(builder.build()) == (None, (), ())

    def test_who_manages_it_makes_no_difference(self):
        """EP-6."""
        label = "endpointslice.kubernetes.io/managed-by"

        mirrored = read(web().endpoint("10.0.0.1").label(label, "mirror"))

        assert mirrored == read(web().endpoint("10.0.0.1"))


class TestAddressType:
    @pytest.mark.parametrize(
        ("address_type", "address", "family"),
        [("IPv4", "10.0.0.1", Family.IPV4), ("IPv6", "fd00::1", Family.IPV6)],
    )
    def test_it_tells_the_family(self, address_type: str, address: str, family: Family):
        """EP-8."""
        assert read(web(address_type=address_type).endpoint(address)).family is family

    def test_host_names_are_ignored_quietly(self):
        """EP-8, TS-202."""
        builder = web(address_type="FQDN").endpoint("web.example")

        assert groups_from_slice(builder.build()) == (None, (), ())

    @pytest.mark.parametrize("address_type", ["IP", "ipv4", ""])
    def test_other_types_are_ignored_and_reported(self, address_type: str):
        """EP-8."""
        builder = web(address_type=address_type).endpoint("10.0.0.1")

        assert groups_from_slice(builder.build())[:2] == (None, ())
        assert list(complaints(builder)) == ["addressType"]


class TestPorts:
    def test_all_ports_are_kept_with_their_own_numbers(self):
        """EP-17."""
        builder = bare().port(80, "a").port(53, "b", "UDP").port(99, "c", "SCTP")

        group = read(builder.endpoint("10.0.0.1"))

        assert group.ports == (
            EndpointPort("a", Protocol.TCP, 80),
            EndpointPort("b", Protocol.UDP, 53),
            EndpointPort("c", Protocol.SCTP, 99),
        )

    def test_an_empty_name_is_a_name_and_an_absent_protocol_is_tcp(self):
        """EP-18."""
        group = read(bare().port(80, "", None).endpoint("10.0.0.1"))

        assert group.ports == (EndpointPort("", Protocol.TCP, 80),)

    def test_an_absent_name_loses_only_that_port(self):
        """EP-18."""
        builder = bare().port(80, None).port(81, "b").endpoint("10.0.0.1")

        _, (group,), _ = groups_from_slice(builder.build())

        assert [port.name for port in group.ports] == ["b"]
        assert complaints(builder) == {"ports[0].name": "not set; port ignored"}

    @pytest.mark.parametrize("number", [None, 0, -1, 65536])
    def test_an_unusable_number_loses_only_that_port(self, number: int | None):
        """EP-18."""
        builder = bare().port(number, "a").port(81, "b").endpoint("10.0.0.1")

        _, (group,), _ = groups_from_slice(builder.build())

        assert [port.name for port in group.ports] == ["b"]
        assert list(complaints(builder)) == ["ports[0].port"]

    def test_a_slice_without_usable_port_has_no_group(self):
        """TS-108, EP-26."""
        builder = bare().port(None, "a").endpoint("10.0.0.1")

        owner, groups, _ = groups_from_slice(builder.build())

        assert (owner, groups) == (ServiceKey("default", "web"), ())

    def test_an_unknown_protocol_loses_only_that_port(self):
        builder = bare().port(80, "a", "tcp").port(81, "b").endpoint("10.0.0.1")

        _, (group,), _ = groups_from_slice(builder.build())

        assert [port.name for port in group.ports] == ["b"]
        assert list(complaints(builder)) == ["ports[0].protocol"]


class TestAddresses:
    def test_only_the_first_address_of_an_endpoint_counts(self):
        """EP-19."""
        assert texts(read(web().endpoint("10.0.0.1", "10.0.0.2"))) == ["10.0.0.1"]

    def test_leading_zeros_are_decimal(self):
        """EP-19, spec 20 section 4."""
        assert texts(read(web().endpoint("10.180.00.001"))) == ["10.180.0.1"]

    def test_an_endpoint_without_address_is_ignored_and_reported(self):
        """EP-19."""
        builder = web().endpoint().endpoint("10.0.0.2")

        _, (group,), _ = groups_from_slice(builder.build())

        assert texts(group) == ["10.0.0.2"]
        assert complaints(builder) == {"endpoints[0].addresses": "empty; endpoint ignored"}

    @pytest.mark.parametrize("text", ["10.0.0", "web.example", "", "fe80::1%eth0"])
    def test_an_address_that_is_none_is_ignored_and_reported(self, text: str):
        """EP-19 [N]."""
        builder = web().endpoint("10.0.0.1").endpoint(text)

        _, (group,), _ = groups_from_slice(builder.build())

        assert texts(group) == ["10.0.0.1"]
        assert complaints(builder) == {
            "endpoints[1].addresses[0]": f'"{text}" is not an IP address; endpoint ignored'
        }

    @pytest.mark.parametrize(("address_type", "text"), [("IPv4", "fd00::1"), ("IPv6", "10.0.0.1")])
    def test_an_address_of_the_wrong_family_is_ignored_and_reported(
        self, address_type: str, text: str
    ):
        """EP-19 [N]."""
        builder = web(address_type=address_type).endpoint(text)

        assert groups_from_slice(builder.build())[1] == ()
        assert complaints(builder) == {
            "endpoints[0].addresses[0]": f'"{text}" is not {address_type}; endpoint ignored'
        }

    def test_addresses_are_sorted_and_reordering_makes_no_difference(self):
        """Peer: a change (TS-111); here the same content is the same group."""
        one = read(web().endpoint("10.0.0.10").endpoint("10.0.0.9"))
        other = read(web().endpoint("10.0.0.9").endpoint("10.0.0.10"))

        assert texts(one) == ["10.0.0.9", "10.0.0.10"]
        assert one == other

    def test_one_address_three_times_is_the_one_that_serves(self):
        """EP-23, TS-110."""
        builder = (
            web()
            .terminating("10.0.0.1")
            .endpoint("10.0.0.1")
            .terminating("10.0.0.1", serving=False)
        )

        address = read_one(builder)

        assert (address.ready, address.terminating) == (True, False)


class TestConditions:
    @pytest.mark.parametrize(
        ("ready", "serving", "terminating", "expected"),
        [
            (None, None, None, (True, True, False)),
            (True, True, False, (True, True, False)),
            (False, None, None, (False, True, False)),
            (False, False, None, (False, False, False)),
            (False, True, True, (False, True, True)),
            (None, None, True, (True, True, True)),
        ],
    )
    def test_null_is_ready_serving_and_not_terminating(
        self,
        ready: bool | None,
        serving: bool | None,
        terminating: bool | None,
        expected: tuple[bool, bool, bool],
    ):
        """EP-20."""
        builder = web().endpoint("10.0.0.1", ready=ready, serving=serving, terminating=terminating)

        address = read_one(builder)

        assert (address.ready, address.serving, address.terminating) == expected

    def test_absent_conditions_are_as_all_null(self):
        wire = SliceEndpoint(addresses=["10.0.0.1"])
        built = web().endpoint("10.0.0.1").build()
        slice_without = EndpointSlice(
            metadata=built.metadata, address_type="IPv4", ports=built.ports, endpoints=[wire]
        )

        _, (group,), _ = groups_from_slice(slice_without)

        assert group == read(web().endpoint("10.0.0.1", ready=None))


class TestNodeName:
    def test_it_is_taken(self):
        assert read_one(web().endpoint("10.0.0.1", node="n1")).node_name == "n1"

    def test_without_it_the_hostname_topology_key_counts(self):
        """EP-9, TS-1413: v1beta1 objects."""
        builder = web().endpoint("10.0.0.1", topology={"kubernetes.io/hostname": "n1"})

        assert read_one(builder).node_name == "n1"

    def test_it_comes_before_the_topology_key(self):
        """EP-9."""
        builder = web().endpoint("10.0.0.1", node="n1", topology={"kubernetes.io/hostname": "n2"})

        assert read_one(builder).node_name == "n1"

    def test_absent_everywhere_it_is_empty(self):
        """EP-21."""
        builder = web().endpoint("10.0.0.1", topology={"topology.kubernetes.io/zone": "a"})

        assert read_one(builder).node_name == ""


class TestHints:
    def test_they_are_sets(self):
        """EP-22."""
        builder = web().endpoint("10.0.0.1", zones=("b", "a", "b"), nodes=("n2", "n1"))

        address = read_one(builder)

        assert (address.zone_hints, address.node_hints) == (("a", "b"), ("n1", "n2"))

    def test_empty_names_are_no_hints(self):
        """EP-22, EP-52."""
        address = read_one(web().endpoint("10.0.0.1", zones=("",), nodes=("",)))

        assert (address.zone_hints, address.node_hints) == ((), ())

    def test_equal_hints_are_held_once(self):
        group = read(web().endpoint("10.0.0.1", zones=("a",)).endpoint("10.0.0.2", zones=("a",)))

        assert group.addresses[0].zone_hints is group.addresses[1].zone_hints


def test_every_problem_of_a_slice_is_told():
    builder = bare().port(0, "a").port(80, "b", "X").port(80, "c").endpoint().endpoint("x")

    assert sorted(complaints(builder)) == [
        "endpoints[0].addresses",
        "endpoints[1].addresses[0]",
        "ports[0].port",
        "ports[1].protocol",
    ]
