"""The encoder's bytes are pydicom's, whatever a data set holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_sr import codes
from dicom_sr.read.headers import PATIENT, STUDY, chosen, coded
from dicom_sr.write.derived_series import COPIED
from dicom_sr.write.equipment import EQUIPMENT
from dicom_sr.write.explicit_vr import SharedElements, encoded, encoded_item, encoded_sequence
from tests.dicom_sr.example_digests import written_in
from tests.properties import STABLE


def by_pydicom(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds, convert_encodings("ISO_IR 192"))
    return bytes(buffer.getvalue())


def looked_at(ds: Dataset) -> Dataset:
    """The data set with every value read, at any depth: else both write the bytes of the file."""
    for _ in ds.iterall():
        pass
    return ds


# ---- what the node writes
def test_every_example_is_encoded_as_pydicom_encodes_it(examples_folder: Path) -> None:
    seen = set()
    for group in written_in(examples_folder).values():
        for one in group:
            if one.path.suffix == ".dcm":
                ds = looked_at(pydicom.dcmread(one.path))
                assert encoded(ds) == by_pydicom(ds), one.path.name
                seen.add(one.kind)
    assert len(seen) >= 9


# ---- what scanners write
REAL = (
    "mr/knee-mese-t2-ge",
    "mr/knee-nema-wg04-mr3",
    "mr/enhanced-agfa",
    "mr/phantom-thin-slice-ge",
    "mr/wrist-ge-genesis",
    "us/elbow-esaote",
    "us/hip-multiframe-dicom",
    "us/other-us-dicom",
    "xray/extremity-nema-wg04-rg3",
    "xray/hip-ddh-dicom",
    "xray/other-body-part",
    "dicom-misc/charsets",
    "dicom-misc/pydicom-data",
    "dicom-misc/pydicom-test-files",
)


def real_headers(folder: Path) -> Iterator[tuple[Path, Callable[[], Dataset]]]:
    """Each file of a folder that has a header, with what reads it; of a series, every eighth."""
    files = sorted(path for path in folder.iterdir() if path.suffix not in (".gz", ".json", ".txt"))
    for path in files[:: 8 if len(files) > 80 else 1]:

        def read(path: Path = path) -> Dataset:
            return pydicom.dcmread(path, stop_before_pixels=True, force=True)

        yield path, read


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore")  # real headers make pydicom warn
@pytest.mark.parametrize("look", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("name", REAL)
def test_a_real_header_is_encoded_as_pydicom_encodes_it(shared_data: Path, name: str, look: bool) -> None:
    """Private elements, sequences, any character set and any transfer syntax; alone, and as an item."""
    for path, read in real_headers(shared_data / name):
        first, second = (looked_at(read()) if look else read() for _ in range(2))
        holders = Dataset(), Dataset()
        for holder, item in zip(holders, (read(), read()), strict=True):
            holder.ContentSequence = [looked_at(item) if look else item]
        for ds, same in ((first, second), holders):
            try:
                expected = by_pydicom(same)
            except Exception as error:  # noqa: BLE001 (what pydicom refuses has to be refused)
                with pytest.raises(type(error)):
                    encoded(ds)
                continue
            assert encoded(ds) == expected, path.name


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REAL)
def test_what_derived_slices_take_from_a_real_header_is_shared_to_the_same_bytes(shared_data: Path, name: str) -> None:
    for path, read in real_headers(shared_data / name):
        shared = chosen(read(), (*PATIENT, *STUDY, *EQUIPMENT, *COPIED))
        shared.SpecificCharacterSet = "ISO_IR 192"
        item, own = Dataset(), Dataset()
        item.ReferencedSOPInstanceUID, item.PurposeOfReferenceCodeSequence = "1.2", [coded(codes.KNEE)]
        own.SOPInstanceUID, own.InstanceNumber, own.ImagePositionPatient = "1.2.3", 7, ["1", "-2.5", "3"]
        whole = Dataset()
        for part in (shared, own):
            whole.update(part)
        whole.SourceImageSequence = [item, item]
        sequence = encoded_sequence("SourceImageSequence", [encoded_item(item)] * 2)
        own[sequence.tag] = sequence
        assert SharedElements(shared).encoded_with(own) == by_pydicom(whole) == encoded(whole), path.name


# ---- anything
CHARACTER_SETS = ("", "ISO_IR 6", "ISO_IR 100", "ISO_IR 144", "ISO_IR 192", "ISO_IR 13", "GB18030", "GBK")
SEVERAL = (
    ["", "ISO 2022 IR 87"],
    ["ISO 2022 IR 13", "ISO 2022 IR 87"],
    ["", "ISO 2022 IR 149"],
    ["ISO_IR 192", "ISO_IR 100"],
)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\^="), max_size=20)
some_text = st.one_of(ascii_text, st.sampled_from(["Grüße", "Ямада", "山田^太郎", "ﾔﾏﾀﾞ", "김희중", "a~b", "é" * 9]))
uids = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).map(lambda parts: "1." + ".".join(map(str, parts)))


def one_or_several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(values, max_size=3), st.none())


code_strings = st.text("ABCDEF_ 12", max_size=15)
numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6).map(lambda x: f"{x:.6g}"), st.just(""))
VALUES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "AE": ("RetrieveAETitle", one_or_several(code_strings)),
    "AS": ("PatientAge", st.sampled_from(["034Y", "", None])),
    "AT": ("FrameIncrementPointer", st.one_of(st.just(0x00181063), st.just([0x00181063, 0x00181065]))),
    "CS": ("ImageType", one_or_several(code_strings)),
    "DA": ("StudyDate", one_or_several(st.sampled_from(["20261130", "", "19000101"]))),
    "DS": ("ImagePositionPatient", one_or_several(numbers)),
    "DT": ("AcquisitionDateTime", st.sampled_from(["20261130101112.5+0100", "2026", "", None])),
    "FD": ("EffectiveEchoTime", one_or_several(st.floats(allow_nan=False))),
    "FL": ("ExaminedBodyThickness", one_or_several(st.floats(width=32, allow_nan=False, allow_infinity=False))),
    "IS": ("InstanceNumber", one_or_several(st.integers(-(2**31), 2**31 - 1))),
    "LO": ("SeriesDescription", one_or_several(some_text)),
    "LT": ("ImageComments", st.one_of(some_text, st.none())),
    "OB": ("EncapsulatedDocument", st.binary(max_size=9)),
    "OF": ("FloatPixelData", st.binary(max_size=3).map(lambda b: b * 4)),
    "PN": ("PatientName", some_text),
    "SH": ("StationName", one_or_several(some_text)),
    "SL": ("ReferencePixelX0", one_or_several(st.integers(-(2**31), 2**31 - 1))),
    "SS": ("TagAngleSecondAxis", one_or_several(st.integers(-(2**15), 2**15 - 1))),
    "ST": ("InstitutionAddress", st.one_of(some_text, st.none())),
    "TM": ("StudyTime", one_or_several(st.sampled_from(["101112.123", "10", ""]))),
    "UC": ("LongCodeValue", one_or_several(some_text)),
    "UI": ("SOPInstanceUID", one_or_several(uids)),
    "UL": ("DimensionIndexValues", one_or_several(st.integers(0, 2**32 - 1))),
    "UR": ("RetrieveURL", st.one_of(code_strings, st.none())),
    "US": ("Rows", one_or_several(st.integers(0, 2**16 - 1))),
    "UT": ("TextValue", st.one_of(some_text, st.none())),
}
SEQUENCES = ("ReferencedSeriesSequence", "SourceImageSequence", "ContentSequence", "DerivationCodeSequence")


def private(ds: Dataset, value: bytes) -> None:
    block = ds.private_block(0x0029, "ACME 1.1", create=True)
    block.add_new(0x10, "UN", value)
    block.add_new(0x11, "LO", "private text")
    ds.add_new(0x00190000, "UL", 12)  # the length of a group, which nobody writes any more


@st.composite
def data_sets(draw: Callable[[st.SearchStrategy[Any]], Any], depth: int = 2) -> Dataset:
    ds = Dataset()
    character_set = draw(st.sampled_from([None, None, *CHARACTER_SETS, *SEVERAL]))
    if character_set is not None:
        ds.SpecificCharacterSet = character_set
    for vr in draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=8)):
        keyword, values = VALUES[vr]
        value = draw(values)
        if value is not None or vr not in ("PN", "AT", "OB", "OF"):
            setattr(ds, keyword, value)
    if draw(st.booleans()):
        private(ds, draw(st.binary(max_size=4).map(lambda b: b * 2)))
    if draw(st.booleans()):  # its VR hangs on another element
        ds.PixelRepresentation, ds.SmallestImagePixelValue = draw(st.integers(0, 1)), 7
    for keyword in draw(st.lists(st.sampled_from(SEQUENCES), unique=True, max_size=2)) if depth else ():
        items = draw(st.lists(data_sets(depth - 1), max_size=3))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        ds[keyword] = DataElement(keyword, "SQ", Sequence(items))
        ds[keyword].is_undefined_length = draw(st.booleans())
    return ds


@pytest.mark.filterwarnings("ignore")  # of characters that a set does not hold
@STABLE
@given(data_sets())
def test_any_data_set_is_encoded_as_pydicom_encodes_it(ds: Dataset) -> None:
    try:
        expected = by_pydicom(ds)
    except Exception as error:  # noqa: BLE001 (what pydicom refuses has to be refused)
        with pytest.raises(type(error)):
            encoded(ds)
        return
    assert encoded(ds) == expected


@pytest.mark.filterwarnings("ignore")
@STABLE
@given(data_sets(), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]), st.booleans())
def test_what_was_read_from_a_file_is_encoded_as_pydicom_encodes_it(ds: Dataset, syntax: str, look: bool) -> None:
    file = BytesIO()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    try:
        ds.save_as(file, enforce_file_format=False)
    except Exception:  # noqa: BLE001 (there is no such file)
        return
    copies = []
    for _ in range(2):
        holder = Dataset()
        read = pydicom.dcmread(BytesIO(file.getvalue()), force=True)
        if look and (number := read.get("InstanceNumber")) is not None:
            read.InstanceNumber = number  # one element that has been looked at, among others
        holder.ContentSequence = [read]
        copies.append(holder)
    assert encoded(copies[0]) == by_pydicom(copies[1])


def test_a_value_too_long_for_its_vr_is_written_as_pydicom_writes_it() -> None:
    ds = Dataset()
    ds.DimensionIndexValues = list(range(20_000))
    with pytest.warns(UserWarning, match="64 kByte"):
        expected = by_pydicom(ds)
    with pytest.warns(UserWarning, match="64 kByte"):
        assert encoded(ds) == expected


def test_an_ambiguous_vr_in_an_item_is_settled_by_the_data_set_round_it() -> None:
    def made() -> Dataset:
        inner, ds = Dataset(), Dataset()
        inner.RealWorldValueFirstValueMapped = -3
        ds.PixelRepresentation, ds.RealWorldValueMappingSequence = 1, [inner]
        return ds

    assert encoded(made()) == by_pydicom(made())
    assert b"SS\x02\x00\xfd\xff" in encoded(made())


def test_an_item_encoded_by_itself_has_the_bytes_that_it_has_in_its_sequence() -> None:
    inner, ds = Dataset(), Dataset()
    inner.CodeMeaning = "Größe"
    ds.ConceptNameCodeSequence = [inner]
    assert by_pydicom(ds).endswith(encoded_item(inner))
    assert "Größe".encode() in encoded_item(inner)


@pytest.mark.filterwarnings("ignore")
@STABLE
@given(data_sets(), st.sets(st.integers(0, 30)))
def test_elements_that_data_sets_share_are_encoded_once_to_the_same_bytes(ds: Dataset, own: set[int]) -> None:
    shared, rest = Dataset(), Dataset()
    for number, element in enumerate(ds):
        (rest if number in own and element.keyword != "SpecificCharacterSet" else shared)[element.tag] = element
    if "SmallestImagePixelValue" in ds:  # settled in both
        ds["SmallestImagePixelValue"].VR = "US"
    try:
        expected = by_pydicom(ds)
    except Exception:  # noqa: BLE001 (see above)
        return
    assert SharedElements(shared).encoded_with(rest) == expected
