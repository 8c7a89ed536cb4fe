"""Notifications about our table become a sentence that names the culprit."""

from __future__ import annotations

import struct

from nodeproxy.backends.nftables.foreign import foreign_change
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, string
from nodeproxy.netlink.messages import Received


def notification(kind: int, body: bytes, portid: int = 5) -> Received:
    return Received(nf.NFNL_SUBSYS_NFTABLES << 8 | kind, 0, 0, portid, b"\x02\0\0\0" + body)


def about(table: str, kind: int, portid: int = 5) -> Received:
    return notification(kind, string(1, table), portid)


def generation(process: str, pid: int, portid: int = 5) -> Received:
    body = attribute(nf.NFTA_GEN_PROC_PID, struct.pack(">I", pid))
    return notification(nf.NFT_MSG_NEWGEN, body + string(nf.NFTA_GEN_PROC_NAME, process), portid)


def test_the_process_that_did_it_is_named():
    heard = [about("nodeproxy", nf.NFT_MSG_NEWRULE), generation("nft", 77)]

    assert foreign_change(heard) == "rule added by nft (pid 77)"


def test_a_deleted_table_is_what_counts():
    kinds = (nf.NFT_MSG_DELRULE, nf.NFT_MSG_DELCHAIN, nf.NFT_MSG_DELTABLE)

    heard = [*(about("nodeproxy", kind) for kind in kinds), generation("nft", 77)]

    assert foreign_change(heard) == "table deleted by nft (pid 77)"


def test_other_tables_are_nobodys_business():
    assert foreign_change([about("theirs", nf.NFT_MSG_DELTABLE), generation("nft", 77)]) == ""


def test_two_culprits_are_both_named():
    heard = [
        about("nodeproxy", nf.NFT_MSG_NEWRULE, 5),
        generation("nft", 77, 5),
        about("nodeproxy", nf.NFT_MSG_DELSETELEM, 6),
        generation("firewalld", 78, 6),
    ]

    said = foreign_change(heard)

    assert said == "rule added by nft (pid 77), elements deleted by firewalld (pid 78)"


def test_without_a_name_the_process_is_unknown():
    assert foreign_change([about("nodeproxy", nf.NFT_MSG_NEWRULE)]).endswith("unknown process")


def test_other_subsystems_and_garbage_are_passed_over():
    other = Received(1 << 8, 0, 0, 5, b"\x02\0\0\0")

    assert foreign_change([other, notification(nf.NFT_MSG_NEWRULE, b"\xff" * 7)]) == ""


def test_records_of_affinity_are_no_rules():
    """Another socket of ours deletes them, and whoever else does harms nothing."""
    body = string(nf.NFTA_SET_ELEM_LIST_TABLE, "nodeproxy")
    record = notification(
        nf.NFT_MSG_DELSETELEM, body + string(nf.NFTA_SET_ELEM_LIST_SET, "affinity")
    )
    member = notification(
        nf.NFT_MSG_DELSETELEM, body + string(nf.NFTA_SET_ELEM_LIST_SET, "affinity-members-60")
    )

    assert foreign_change([record, generation("nodeproxy", 77)]) == ""
    assert foreign_change([member, generation("nft", 78)]) == "elements deleted by nft (pid 78)"
