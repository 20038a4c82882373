from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom_sr.errors import EncodingError
from dicom_sr.uids import uid
from dicom_sr.write.part10 import element_header, encoded, encoded_item, write_part10


def nested() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, uid("2.25", "part 10")
    ds.PatientName = "Müller^Jörg"
    inner = Dataset()
    inner.CodeMeaning = "Größe"
    ds.ConceptNameCodeSequence = [inner]
    ds.preamble = b"\0" * 128
    return ds


def test_a_file_has_the_elements_and_then_the_pieces_of_its_tail(tmp_path: Path) -> None:
    ds = nested()
    pieces = [element_header("PixelData", "OB", 4), b"ab", b"cd"]
    written = write_part10(tmp_path / "one.dcm", ds, iter(pieces))
    content = (tmp_path / "one.dcm").read_bytes()
    assert (written.sha256, written.size) == (hashlib.sha256(content).hexdigest(), len(content))
    whole = BytesIO()
    ds.PixelData = b"abcd"
    ds["PixelData"].VR = "OB"
    ds.save_as(whole, enforce_file_format=True)
    assert content == whole.getvalue()


def test_an_item_encoded_by_itself_has_the_bytes_that_it_has_in_its_sequence() -> None:
    ds = nested()
    (inner,) = ds.ConceptNameCodeSequence
    alone = Dataset()
    alone.ConceptNameCodeSequence = [inner]
    item = encoded_item(inner)
    assert "Größe".encode() in item
    assert element_header("ConceptNameCodeSequence", "SQ", len(item)) + item == encoded(alone)


def test_a_value_longer_than_any_element_is_refused() -> None:
    assert element_header("PixelData", "OW", 2**32 - 2)[-4:] == b"\xfe\xff\xff\xff"
    with pytest.raises(EncodingError, match="holds at most"):
        element_header("PixelData", "OW", 2**32)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(b"x" * 100_000)
    write_part10(tmp_path / "one.dcm", nested())
    assert pydicom.dcmread(tmp_path / "one.dcm").PatientName == "Müller^Jörg"
