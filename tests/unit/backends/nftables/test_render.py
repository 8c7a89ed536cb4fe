"""The text form: what a person reads and `nft -f` loads."""

from __future__ import annotations

from tests.support.programming import ProgrammedNode
from tests.unit.backends.nftables.objects import pods_at, web


def block(text: str, head: str) -> str:
    """A set or chain of the first table."""
    return text[text.index(f"\t{head} {{") :].partition("\n\t}")[0]


async def test_a_service_reads_as_its_frontend_and_its_endpoints(node: ProgrammedNode):
    node.stage(web().upserted(), pods_at("10.0.0.2", "10.0.0.1").upserted())

    text = node.backend.render()

    assert block(text, "map service-endpoints") == (
        "\tmap service-endpoints {\n"
        "\t\ttypeof ip daddr . meta l4proto . th dport . numgen random mod 2"
        " : ip daddr . th dport\n"
        '\t\tcomment "frontend and slot to endpoint"\n'
        "\t\telements = {\n"
        "\t\t\t10.96.0.10 . tcp . 80 . 0 : 10.0.0.1 . 8080,\n"
        "\t\t\t10.96.0.10 . tcp . 80 . 1 : 10.0.0.2 . 8080\n"
        "\t\t}"
    )
    assert '\t\t\t10.96.0.10 . tcp . 80 comment "default/web"\n' in block(text, "set services-2")
    assert block(text, "chain service-2") == (
        "\tchain service-2 {\n"
        "\t\tdnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2"
        " map @service-endpoints"
    )


async def test_the_text_is_what_is_desired_not_what_is_installed(node: ProgrammedNode):
    await node.take(web().upserted(), pods_at("10.0.0.1").upserted())

    node.stage(web().removed())

    assert "10.96.0.10" not in node.backend.render()


async def test_slots_of_the_text_do_not_depend_on_history(node: ProgrammedNode):
    await node.take(web().upserted(), pods_at("10.0.0.5", "10.0.0.6").upserted())
    await node.take(pods_at("10.0.0.1", "10.0.0.6").upserted())
    fresh = ProgrammedNode()

    fresh.stage(web().upserted(), pods_at("10.0.0.1", "10.0.0.6").upserted())

    assert node.backend.render() == fresh.backend.render()
