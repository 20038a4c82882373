"""What storage commitment says comes back as it was written; what is beyond the limits does not."""

from __future__ import annotations

import struct

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom.dsutils import encode

from node.network import commitment_information as information
from node.network.commitment_information import REFERENCED_SEQUENCE, NotTaken, data_set, read_information


def encoded(transaction: str, uids: list[str], failed: list[str], syntax: str) -> bytes:
    kept = [(str(MRImageStorage), uid) for uid in uids]
    lost = [(str(MRImageStorage), uid, 0x0112) for uid in failed]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    write_dataset(buffer, data_set(transaction, kept, lost, syntax))
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"])
def test_what_is_written_is_read_and_a_reference_counts_once(syntax: str) -> None:
    read = read_information(encoded("1.2.9", ["1.1", "1.2", "1.1"], ["1.3"], syntax), syntax)
    assert read.transaction_uid == "1.2.9"
    assert [list(pair) for pair in read.references] == [[MRImageStorage, "1.1"], [MRImageStorage, "1.2"]]
    assert read.failed == {"1.3": 0x0112}


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_a_report_is_encoded_without_an_object_for_each_of_its_items(syntax: UID) -> None:
    report = data_set("1.2.9", [(str(MRImageStorage), "1.1")], [], syntax)
    content = encode(report, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    assert isinstance(report.get_item(REFERENCED_SEQUENCE), RawDataElement)
    assert content is not None
    assert read_information(content, syntax).references == [[MRImageStorage, "1.1"]]


def test_a_request_in_implicit_vr_under_an_explicit_syntax_is_read() -> None:
    content = encoded("1.2.9", ["1.1", "1.2"], [], ImplicitVRLittleEndian)
    read = read_information(content, ExplicitVRLittleEndian)
    assert (read.transaction_uid, [uid for _, uid in read.references]) == ("1.2.9", ["1.1", "1.2"])


def test_a_private_sequence_of_unknown_representation_is_passed_over() -> None:
    """Such a one holds implicit VR (PS3.5 6.2.2, note)."""
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 10) + struct.pack("<HHL", 0x7FE1, 0x1001, 2) + b"AB"
    private = struct.pack("<HH2sHL", 0x0007, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    private += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    content = encoded("1.2.9", ["1.1"], [], ExplicitVRLittleEndian)
    assert read_information(private + content, ExplicitVRLittleEndian).transaction_uid == "1.2.9"


def test_more_items_than_the_limit_are_refused_with_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information, "MAXIMUM_ITEMS", 10)
    content = encoded("1.2.9", [f"1.{number}" for number in range(20)], [], ExplicitVRLittleEndian)
    with pytest.raises(NotTaken) as refused:
        read_information(content, ExplicitVRLittleEndian)
    assert refused.value.status == information.RESOURCE_LIMITATION


def test_bytes_that_are_no_data_set_are_refused_with_a_status() -> None:
    with pytest.raises(NotTaken) as refused:
        read_information(b"\x08\x00\x95\x11UI\xff\xff1.2", ExplicitVRLittleEndian)
    assert refused.value.status == information.INVALID_ARGUMENT
