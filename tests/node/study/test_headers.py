"""The reader of headers, and who they say the patient is."""

from __future__ import annotations

import tracemalloc
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from node.errors import NodeError, ReadingFailed, UnreadableHeader
from node.reading import Readers
from node.study import headers
from node.study.headers import day, identity_in, read_header, study_header
from pipelines.records.record import Identity
from tests.node.receive.harness import mr, part10
from tests.node.route.headers import NESTED, header


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "one.dcm"
    patient: dict[str, Any] = {
        "PatientName": "Muster^Erika",
        "PatientID": " K1 ",
        "PatientBirthDate": "19600229",
        "PatientSex": "F",
    }
    path.write_bytes(part10(mr("1.2.3", **patient)))
    return path


def test_only_what_is_asked_for_is_read(stored: Path) -> None:
    header = read_header(stored, ["Modality", "StudyDate"])
    assert header is not None
    assert {element.keyword for element in header} == {"Modality", "StudyDate"}


@pytest.mark.parametrize("content", [b"", b"\0" * 200])
def test_a_file_without_a_header_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.dcm"
    path.write_bytes(content)
    header = read_header(path, ["Modality"])
    assert header is None or "Modality" not in header


def test_an_element_that_does_not_hold_what_it_should_is_left_out(tmp_path: Path) -> None:
    ds = mr()
    content = part10(ds).replace(b"\x08\x00\x20\x00DA\x08\x0020260101", b"\x08\x00\x20\x00US\x07\x0020260101")
    path = tmp_path / "bad.dcm"
    path.write_bytes(content)
    header = read_header(path, ["StudyDate", "Modality"])
    assert header is None or "StudyDate" not in header


def test_the_header_of_a_study_names_patient_and_study(stored: Path) -> None:
    header = study_header(stored, "HOSPITAL")
    assert header.study_instance_uid == "1.2.3"
    who = header.who
    assert (who.patient_id, who.issuer, who.family_name, who.given_name) == ("K1", "HOSPITAL", "Muster", "Erika")
    assert (who.birth_date, who.sex) == (date(1960, 2, 29), "F")


def test_a_file_that_is_gone_is_an_error_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="an image that was stored cannot be read: No such file"):
        study_header(tmp_path / "gone.dcm", "")


def test_an_issuer_in_the_header_counts_before_the_default(stored: Path) -> None:
    header = pydicom.dcmread(stored)
    header.IssuerOfPatientID = "OTHER"
    assert identity_in(header, "HOSPITAL").issuer == "OTHER"


def test_an_empty_header_is_of_nobody() -> None:
    who = identity_in(Dataset())
    assert (who.patient_id, who.issuer, who.birth_date, who.sex) == ("", "", None, "U")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20260101", date(2026, 1, 1)),
        ("20260101123000.5", date(2026, 1, 1)),
        ("2026", None),
        ("20261301", None),
        (None, None),
    ],
)
def test_a_day_is_read_from_dates_and_time_stamps(value: Any, expected: date | None) -> None:
    assert day(value) == expected


@pytest.mark.parametrize(
    ("told", "precision", "same", "other"),
    [
        ("1960", "year", date(1960, 2, 29), date(1961, 2, 28)),
        ("196002", "month", date(1960, 2, 29), date(1960, 3, 1)),
        ("19600000", "year", date(1960, 2, 29), date(1961, 2, 28)),
        ("1960.02.29", "day", date(1960, 2, 29), date(1960, 2, 28)),
    ],
)
def test_a_birth_date_counts_as_far_as_it_is_known(told: str, precision: str, same: date, other: date) -> None:
    who = identity_in(Dataset.from_json({"00100030": {"vr": "LO", "Value": [told]}}))
    assert who.birth_precision == precision
    assert not who.births_differ(Identity("", birth_date=same))
    assert who.births_differ(Identity("", birth_date=other))


@pytest.mark.parametrize("value", ["196011", "2024123", "1960", "18-01-01"])
def test_a_date_that_lacks_digits_is_no_day(value: str) -> None:
    assert day(value) is None


# ---- what is beyond all measure
def file_of(data_set: bytes, path: Path, *, deflate: bool) -> Path:
    """A Part 10 file with that encoded data set, deflated or as it is."""
    meta, buffer = FileMetaDataset(), DicomBytesIO()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian if deflate else ExplicitVRLittleEndian
    write_file_meta_info(buffer, meta, enforce_standard=False)
    content = zlib.compress(data_set, level=1, wbits=-zlib.MAX_WBITS) if deflate else data_set
    path.write_bytes(bytes(128) + b"DICM" + buffer.getvalue() + content)
    return path


def explicit(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def test_of_a_deflated_object_no_more_than_a_header_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "MAXIMUM_INFLATED", 2**22)
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + (2**26).to_bytes(4, "little") + bytes(2**26)
    path = file_of(explicit(header()) + pixels, tmp_path / "a.dcm", deflate=True)
    tracemalloc.start()
    read = read_header(path, ["Modality", "PixelSpacing"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read is not None
    assert (read.Modality, list(read.PixelSpacing)) == ("MR", [0.5, 0.25])
    assert most < 2**24


def test_a_deflated_object_without_pixels_and_without_end_is_inflated_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "MAXIMUM_INFLATED", 2**22)
    much = 2**26
    document = b"\x42\x00\x11\x00OB\0\0" + much.to_bytes(4, "little") + bytes(much)
    path = file_of(explicit(header()) + document, tmp_path / "a.dcm", deflate=True)
    tracemalloc.start()
    read = read_header(path, ["Modality"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read is not None
    assert read.Modality == "MR"
    assert most < 2**24


@pytest.mark.parametrize("more", range(0, 40, 3))
def test_a_deflated_object_is_whole_wherever_a_piece_of_it_ends(tmp_path: Path, more: int) -> None:
    size = headers.PIECE + 2 * more
    value = b"\x42\x00\x11\x00OB\0\0" + size.to_bytes(4, "little") + bytes(size)
    path = file_of(explicit(header()) + value, tmp_path / "a.dcm", deflate=True)
    assert read_header(path, ["Modality"]) is not None


def test_an_icon_does_not_end_a_deflated_header(tmp_path: Path) -> None:
    ds, icon = header(), Dataset()
    icon.PixelData = bytes(64)
    icon["PixelData"].VR = "OW"
    ds.IconImageSequence = [icon]
    ds.add_new((0x0089, 0x1010), "UN", bytes(3 * headers.PIECE))
    path = file_of(explicit(ds), tmp_path / "a.dcm", deflate=True)
    read = read_header(path, ["PatientID", "PixelSpacing"])
    assert read is not None
    assert list(read.PixelSpacing) == [0.5, 0.25]


def test_a_file_larger_than_a_readers_memory_is_read(tmp_path: Path) -> None:
    path = file_of(explicit(header()), tmp_path / "a.dcm", deflate=False)
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OW\0\0" + (3 * 2**30).to_bytes(4, "little"))
        file.truncate(3 * 2**30 + file.tell())  # takes no room
    with Readers(1) as readers:
        assert readers.call(study_header, path, "").who.patient_id == "ID-4711"


def test_a_deflated_object_that_is_cut_off_is_not_read(tmp_path: Path) -> None:
    path = file_of(explicit(header()), tmp_path / "a.dcm", deflate=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableHeader, match="cannot be inflated"):
        read_header(path, ["Modality"])


def test_functional_groups_that_are_a_text_are_left_out(tmp_path: Path) -> None:
    path = file_of(explicit(header()), tmp_path / "a.dcm", deflate=False)
    path.write_bytes(path.read_bytes() + b"\x00\x52\x30\x92LO\x04\x00text")
    read = read_header(path, ["Modality", "PerFrameFunctionalGroupsSequence"])
    assert read.Modality == "MR"
    assert "PerFrameFunctionalGroupsSequence" not in read


def test_a_header_that_is_nested_without_end_says_so(tmp_path: Path) -> None:
    path = file_of(explicit(header()), tmp_path / "a.dcm", deflate=False)
    path.write_bytes(path.read_bytes() + NESTED)
    with pytest.raises(UnreadableHeader, match=r"^its sequences are nested too deep$"):
        read_header(path, ["Modality"])


@pytest.mark.parametrize("stated", [True, False], ids=["length stated", "length undefined"])
@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflated"])
def test_a_sequence_of_more_items_than_any_real_one_is_not_read(tmp_path: Path, stated: bool, deflate: bool) -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * (headers.MAXIMUM_ITEMS + 1)
    length, end = (len(items).to_bytes(4, "little"), b"") if stated else (b"\xff" * 4, b"\xfe\xff\xdd\xe0\0\0\0\0")
    content = explicit(header()) + b"\x00\x52\x30\x92SQ\0\0" + length + items + end
    path = file_of(content, tmp_path / "a.dcm", deflate=deflate)
    with pytest.raises(ReadingFailed, match=r"more than 1,000,000 items of sequences"):
        read_header(path, ["Modality", "PerFrameFunctionalGroupsSequence"])
