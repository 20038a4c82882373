"""The archive of the tests is real, keeps its ports and its store, and ends."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from tests.orthanc import Archive

pytestmark = pytest.mark.orthanc


def tiny_instance() -> bytes:
    """A 2 x 2 secondary capture."""
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid(), generate_uid()
    ds.PatientID, ds.Modality = "P1", "OT"
    ds.Rows = ds.Columns = 2
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = b"\x00\x01\x02\x03"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def test_what_is_uploaded_is_found_and_comes_back_byte_for_byte(orthanc: Archive) -> None:
    sent = tiny_instance()
    uid = str(pydicom.dcmread(io.BytesIO(sent)).SOPInstanceUID)
    identifier = orthanc.upload(sent)
    assert orthanc.find("Instance", SOPInstanceUID=uid) == [identifier]
    assert len(orthanc.studies()) == 1
    assert orthanc.download(identifier) == sent
    assert orthanc.file(uid) == sent
    assert orthanc.sop_instance_uids() == {uid}


def test_each_test_finds_the_archive_empty(orthanc: Archive) -> None:
    assert orthanc.studies() == []


def test_a_restart_keeps_ports_and_store(orthanc: Archive) -> None:
    orthanc.upload(tiny_instance())
    before = orthanc.http_port, orthanc.dicom_port, orthanc.sop_instance_uids()
    orthanc.stop()
    with pytest.raises(httpx.ConnectError):
        orthanc.get("/system")
    orthanc.start()
    assert (orthanc.http_port, orthanc.dicom_port, orthanc.sop_instance_uids()) == before


def test_two_archives_do_not_answer_for_each_other(orthanc: Archive, tmp_path: Path) -> None:
    with Archive(tmp_path, ae_title="OTHER") as other:
        other.upload(tiny_instance())
        assert len(other.studies()) == 1
        assert orthanc.studies() == []
        assert other.get("/system")["DicomAet"] == "OTHER"


@pytest.mark.dcmtk
def test_dcmtk_sends_to_it(orthanc: Archive, dcmtk: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(tiny_instance())
    subprocess.run(
        [dcmtk("storescu"), "-aec", orthanc.ae_title, "127.0.0.1", str(orthanc.dicom_port), tmp_path / "one.dcm"],
        check=True,
        timeout=30,
    )
    assert len(orthanc.sop_instance_uids()) == 1
