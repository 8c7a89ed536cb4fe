"""Generated clusters, and the process that serves one."""

import asyncio
import sys
from collections import Counter

import aiohttp
import msgspec
import pytest

from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.control import Control
from tests.support.apiserver.population import Population, cluster_ip
from tests.unit.support.apiserver_client import PATIENCE_SECONDS, Client, client_of


def controlled(population: Population) -> ApiServerStandIn:
    """A stand-in filled with a population and steered by it."""
    server = ApiServerStandIn()
    server.control = Control(server, population)
    for obj in population.objects():
        server.put(obj)
    return server


def addresses(population: Population, index: int) -> list[str]:
    return [
        endpoint["addresses"][0]
        for made in population.slices(index)
        for endpoint in made["endpoints"]
    ]


def test_every_service_comes_with_its_slices_and_endpoints():
    population = Population(services=3, endpoints_each=2)

    kinds = Counter(obj["kind"] for obj in population.objects())

    assert kinds == {
        "Node": 1,
        "ServiceCIDR": 1,
        "Service": 4,
        "EndpointSlice": 4,
        "Endpoints": 4,
    }


def test_equal_numbers_give_equal_objects():
    one = list(Population(services=5, endpoints_each=3).objects())

    other = list(Population(services=5, endpoints_each=3).objects())

    assert one == other


def test_cluster_ips_and_addresses_are_unique():
    population = Population(services=300, endpoints_each=3)

    ips = {cluster_ip(index) for index in range(300)}
    pods = {ip for index in range(300) for ip in addresses(population, index)}

    assert (len(ips), len(pods)) == (300, 900)


def test_slices_hold_a_hundred_endpoints_at_most():
    population = Population(services=1, endpoints_each=250)

    made = population.slices(0)

    assert [len(one["endpoints"]) for one in made] == [100, 100, 50]
    assert len({one["metadata"]["name"] for one in made}) == 3


def test_endpoints_are_truncated_beyond_a_thousand():
    population = Population(services=1, endpoints_each=1050)

    made = population.endpoints(0)

    assert len(made["subsets"][0]["addresses"]) == 1000
    assert made["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}


@pytest.mark.parametrize(("has_pods", "low", "high"), [(False, 1300, 1500), (True, 2900, 3400)])
def test_slices_are_as_large_as_real_ones(has_pods: bool, low: int, high: int):
    population = Population(services=1, endpoints_each=10, has_pods=has_pods)

    size = len(msgspec.json.encode(population.slices(0)[0]))

    assert low < size < high


def test_a_replaced_endpoint_changes_its_slice_and_the_endpoints():
    population = Population(services=2, endpoints_each=150)
    before = addresses(population, 1)

    done = population.replace_endpoint(1, 120)

    after = addresses(population, 1)
    assert done.old == before[120]
    assert after == [*before[:120], done.new, *before[121:]]
    assert [obj["kind"] for obj in done.objects] == ["EndpointSlice", "Endpoints"]
    assert len(done.objects[0]["endpoints"]) == 50


async def test_a_driver_replaces_endpoints():
    server = controlled(Population(services=2, endpoints_each=3))

    async with (
        client_of(server) as client,
        client.watch(f"/api/v1/endpoints?watch=1&resourceVersion={server.store.version}") as stream,
    ):
        order = {"service": 1, "slot": 2, "address": "192.0.2.77"}
        done = (await client.post("/_control/replace-endpoint", order)).document()
        event = await stream.event()

    told = [address["ip"] for address in event["object"]["subsets"][0]["addresses"]]
    assert done["new"] in told
    assert done["old"] not in told
    assert event["object"]["metadata"]["resourceVersion"] == done["resourceVersion"]
    assert done["at_monotonic_ns"] > 0


async def test_a_driver_puts_and_deletes_objects():
    population = Population(services=1, endpoints_each=1)
    server = controlled(population)
    extra = {"kind": "Node", "metadata": {"name": "n9"}}

    async with client_of(server) as client:
        await client.post("/_control/put", [extra, {**extra, "metadata": {"name": "n8"}}])
        await client.post("/_control/delete", {"kind": "Node", "name": "n9"})
        answer = await client.get("/api/v1/nodes")

    assert answer.names() == ["n8", "node-0"]


async def test_a_driver_reads_what_was_sent():
    server = controlled(Population(services=1, endpoints_each=1))

    async with client_of(server) as client:
        await client.get("/version")
        stats = (await client.get("/_control/stats")).document()

    assert list(stats["bytes_sent"]) == ["/version"]
    assert stats["requests"] == 1


@pytest.mark.parametrize(
    ("path", "order", "status"),
    [
        ("/_control/dance", {}, 404),
        ("/_control/delete", {"kind": "Node", "name": "absent"}, 400),
        ("/_control/put", {"kind": "Pod", "metadata": {"name": "p"}}, 400),
        ("/_control/replace-endpoint", {"service": "x"}, 400),
    ],
)
async def test_orders_that_cannot_be_carried_out_are_refused(path: str, order: object, status: int):
    server = controlled(Population(services=1, endpoints_each=1))

    async with client_of(server) as client:
        answer = await client.post(path, order)

    assert answer.status == status
    assert path in answer.document()["message"]


async def test_the_process_says_where_it_is_and_ends_on_a_signal():
    command = ["-m", "tests.support.apiserver", "--services=3", "--mode=endpoints", "--token=t"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None

    async with asyncio.timeout(PATIENCE_SECONDS):
        url = msgspec.json.decode(await process.stdout.readline())["url"]
        statuses = await _statuses(url, "/api/v1/endpoints", "/apis/discovery.k8s.io/v1")
        process.terminate()
        code = await process.wait()

    assert (statuses, code) == ([200, 404], 0)


async def _statuses(url: str, *paths: str) -> list[int]:

    async with aiohttp.ClientSession() as session:
        client = Client(url, session)
        headers = {"Authorization": "Bearer t"}
        return [(await client.get(path, headers=headers)).status for path in paths]
