"""What storage commitment says comes back as it was written; what is beyond the limits does not."""

from __future__ import annotations

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from node.network import commitment_information as information
from node.network.commitment_information import NotTaken, data_set, read_information


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
