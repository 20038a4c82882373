"""The demo's scanner sends every file that it is given, and tells what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, SecondaryCaptureImageStorage, generate_uid
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt

from node.demo.orthanc_process import free_port
from node.demo.scanner import AE_TITLE, File, Receiver, Scanner
from tests.needs import missing
from tests.scp import end, listen, port_of


class Listening:
    """A storage provider that takes everything but instances numbered 13."""

    def __init__(self) -> None:
        self.received: dict[str, str] = {}  # transfer syntax by SOP Instance UID
        self.calling: set[str] = set()
        ae = AE(ae_title="LISTENER")
        ae.add_supported_context(SecondaryCaptureImageStorage, ALL_TRANSFER_SYNTAXES)
        self.server = listen(ae, [(evt.EVT_C_STORE, self._store)])
        self.receiver = Receiver("LISTENER", port_of(self.server))

    def _store(self, event: evt.Event) -> int:
        if event.dataset.InstanceNumber == 13:
            return 0xA700
        self.received[str(event.dataset.SOPInstanceUID)] = str(event.context.transfer_syntax)
        self.calling.add(str(event.assoc.requestor.ae_title))
        return 0x0000


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening()
    yield listening
    end(listening.server)


def instance(path: Path, syntax: str = ExplicitVRLittleEndian, number: int = 1) -> File:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = "1.2.3", "1.2.3.4", number
    ds.PatientID, ds.Modality = "P", "OT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 2, 2, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(4) if syntax == ExplicitVRLittleEndian else encapsulate([b"\xff\x4f\xff\xd9"])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = syntax != ExplicitVRLittleEndian
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    file = File.read(path)
    assert file is not None
    return file


@pytest.mark.dcmtk
def test_uncompressed_images_go_by_storescu(listening: Listening, tmp_path: Path) -> None:
    scanner = Scanner()
    if scanner.storescu is None:
        missing("DCMTK's storescu is not installed")
    files = [instance(tmp_path / f"{number}.dcm") for number in range(3)]
    assert scanner.way(files) == "storescu"
    assert scanner.send(files, listening.receiver) == ""
    assert set(listening.received) == {file.sop_instance_uid for file in files}
    assert listening.calling == {AE_TITLE}


def test_compressed_images_arrive_as_they_are(listening: Listening, tmp_path: Path) -> None:
    plain, compressed = instance(tmp_path / "a.dcm"), instance(tmp_path / "b.dcm", JPEG2000Lossless)
    assert Scanner().way([plain, compressed]) == "pynetdicom"
    assert Scanner().send([plain, compressed], listening.receiver) == ""
    assert listening.received == {
        plain.sop_instance_uid: ExplicitVRLittleEndian,
        compressed.sop_instance_uid: JPEG2000Lossless,
    }


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
def test_what_is_refused_is_told_and_the_rest_is_sent(listening: Listening, tmp_path: Path, syntax: str) -> None:
    files = [instance(tmp_path / f"{number}.dcm", syntax, number) for number in (12, 13, 14)]
    told = Scanner().send(files, listening.receiver)
    assert told in ("0xA700", "Refused: OutOfResources")
    assert set(listening.received) == {files[0].sop_instance_uid, files[2].sop_instance_uid}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
def test_nobody_there_is_told(tmp_path: Path, syntax: str) -> None:
    assert Scanner().send([instance(tmp_path / "a.dcm", syntax)], Receiver("NOBODY", free_port())) != ""


def test_a_file_that_is_not_part_10_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert File.read(tmp_path / "a.txt") is None
