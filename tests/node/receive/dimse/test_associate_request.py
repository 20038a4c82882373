"""An A-ASSOCIATE-RQ is bounded before it is decoded, and a stranger's is not decoded at all."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import ALL_TRANSFER_SYNTAXES

from node.database.tables import AssociationRow
from node.network.sop_classes import Verification
from node.receive.dimse.associate_request import MAXIMUM_ASSOCIATE, excess, titles
from tests.node.receive.harness import RawPeer, Running, associate_rq, configuration
from tests.waiting import until

SERVERS = ("fast", "plain")
APPLICATION = b"\x10\0\0\x151.2.840.10008.3.1.1.1"


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def context(number: int, abstract: bytes, syntaxes: list[bytes]) -> bytes:
    subs = item(0x30, abstract) + b"".join(item(0x40, syntax) for syntax in syntaxes)
    return item(0x20, bytes([number % 128 * 2 + 1, 0, 0, 0]) + subs)


def body(*items: bytes, user: bytes = b"", calling: bytes = b"SCANNER") -> bytes:
    information = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4") + user)
    fixed = struct.pack(">HH", 1, 0) + b"CONDYLE".ljust(16) + calling.ljust(16) + bytes(32)
    return fixed + APPLICATION + b"".join(items) + information


def pdu(content: bytes) -> bytes:
    return struct.pack(">BBL", 1, 0, len(content)) + content


ONE = context(0, MRImageStorage.encode(), [ImplicitVRLittleEndian.encode()])
RELATED = struct.pack(">H", 3) + b"1.2"
TOO_MUCH = {
    "More than 128 presentation contexts": body(*(context(i, b"1", [b"1"]) for i in range(129))),
    "More than 100 transfer syntaxes of one context": body(context(0, b"1.2", [b"1"] * 101)),
    "More than 512 items of user information": body(ONE, user=item(0x54, b"\0\x0212\1\1") * 511),
}
RELATED_CLASSES = body(ONE, user=item(0x57, RELATED * 2 + struct.pack(">H", 5 * 520) + RELATED * 520))


@pytest.mark.parametrize(("reason", "content"), TOO_MUCH.items())
def test_more_than_an_association_can_hold_is_counted_on_the_bytes(reason: str, content: bytes) -> None:
    rejection = excess(content)
    assert rejection is not None
    assert rejection.reason == reason
    assert rejection.pdu() == b"\3\0\0\0\0\4\0\1\2\1"


def test_related_classes_count_as_items() -> None:
    rejection = excess(RELATED_CLASSES)
    assert rejection is not None
    assert rejection.reason == "More than 512 items of user information"


def test_all_that_the_standard_allows_with_every_known_syntax_is_within_the_bounds() -> None:
    request = associate_rq([(MRImageStorage, tuple(ALL_TRANSFER_SYNTAXES))] * 128)
    assert len(request) < MAXIMUM_ASSOCIATE
    assert excess(request[6:]) is None
    assert titles(request[6:]) == ("SCANNER", "CONDYLE")


@pytest.mark.parametrize("content", [b"", body(ONE)[:67], body(ONE, calling=b"\xff")])
def test_a_request_without_titles_is_malformed(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short|ascii"):
        titles(content)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_items_that_lie_about_their_length_are_no_error_here(cut: int) -> None:
    content = body(ONE, user=item(0x57, RELATED * 2 + b"\xff\xff" + RELATED) + item(0x57, b"\xff"))
    assert excess(content[:cut].ljust(68, b"\0")) is None


@pytest.mark.parametrize("server", SERVERS)
def test_a_peer_that_proposes_too_much_is_refused_and_on_record_and_others_are_served(
    tmp_path: Path, server: str
) -> None:
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        for content in (*TOO_MUCH.values(), RELATED_CLASSES):
            with RawPeer(running.port) as peer:
                peer.send(pdu(content))
                assert peer.receive() == (3, b"\0\1\2\1")
                assert peer.is_closed()
        reasons = until(
            lambda: {row.reason for row in running.rows(AssociationRow, outcome="refused")} == set(TOO_MUCH), "records"
        )
        assert reasons
        with RawPeer(running.port) as peer:
            assert peer.associate(contexts=[(Verification, (ImplicitVRLittleEndian,))]) == 2


@pytest.mark.parametrize("server", SERVERS)
def test_a_pdu_that_is_too_long_is_not_read(tmp_path: Path, server: str) -> None:
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        with RawPeer(running.port) as peer:
            peer.send(struct.pack(">BBL", 1, 0, 2**31))
            assert peer.receive() == (7, b"\0\0\2\6")
        with RawPeer(running.port) as peer:
            assert peer.associate() == 2
            peer.send(struct.pack(">BBL", 4, 0, 2**31))
            assert peer.receive() == (7, b"\0\0\2\6")


@pytest.mark.parametrize("server", SERVERS)
def test_a_stranger_is_refused_before_his_request_is_decoded(tmp_path: Path, server: str) -> None:
    broken = body(ONE, calling=b"STRANGER")[:-9]  # nothing that can be decoded
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        with RawPeer(running.port) as peer:
            peer.send(pdu(broken))
            assert peer.receive() == (3, b"\0\1\1\3")
        until(lambda: running.rows(AssociationRow, reason="Calling AE title is not a known peer"), "the record")
