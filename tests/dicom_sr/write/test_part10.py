from __future__ import annotations

import hashlib
from io import BytesIO
from itertools import chain
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom_sr.errors import EncodingError
from dicom_sr.uids import uid
from dicom_sr.write.explicit_vr import encoded
from dicom_sr.write.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    element_header,
    meta_information,
    pixel_data,
    write_part10,
)


def nested() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, uid("2.25", "part 10")
    ds.PatientName = "Müller^Jörg"
    inner = Dataset()
    inner.CodeMeaning = "Größe"
    ds.ConceptNameCodeSequence = [inner]
    return ds


def test_a_file_has_the_bytes_that_pydicom_writes(tmp_path: Path) -> None:
    ds = nested()
    meta = meta_information(str(ds.SOPClassUID), str(ds.SOPInstanceUID))
    written = write_part10(tmp_path / "one.dcm", chain([meta, encoded(ds)], pixel_data("OB", b"abc")))
    content = (tmp_path / "one.dcm").read_bytes()
    assert (written.sha256, written.size) == (hashlib.sha256(content).hexdigest(), len(content))
    whole = BytesIO()
    ds.PixelData = b"abc"
    ds["PixelData"].VR = "OB"
    ds.save_as(whole, enforce_file_format=True)
    assert content == whole.getvalue()


def test_a_value_longer_than_any_element_is_refused() -> None:
    assert element_header("PixelData", "OW", 2**32 - 2)[-4:] == b"\xfe\xff\xff\xff"
    with pytest.raises(EncodingError, match="holds at most"):
        element_header("PixelData", "OW", 2**32)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(b"x" * 100_000)
    ds = nested()
    write_part10(tmp_path / "one.dcm", [meta_information(str(ds.SOPClassUID), str(ds.SOPInstanceUID)), encoded(ds)])
    assert pydicom.dcmread(tmp_path / "one.dcm").PatientName == "Müller^Jörg"
