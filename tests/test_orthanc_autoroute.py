"""The configuration in docs/ makes a real Orthanc send new series to the node, and never the node's own."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.needs import missing
from tests.orthanc import Archive, Modality, OrthancMissing
from tests.scp import end, listen, port_of

pytestmark = pytest.mark.orthanc
DOCS = Path(__file__).resolve().parents[1] / "docs"
DEADLINE_S = 60
STUDY = generate_uid()


class Listening:
    """Receives as the node would; remembers the series it was sent."""

    def __init__(self, ae_title: str) -> None:
        self.series: list[str] = []
        self.calling: set[str] = set()
        self.changed = threading.Condition()
        ae = AE(ae_title=ae_title)
        ae.supported_contexts = AllStoragePresentationContexts
        self.server = listen(ae, [(evt.EVT_C_STORE, self._store)])
        self.port = port_of(self.server)

    def _store(self, event: evt.Event) -> int:
        with self.changed:
            self.series.append(str(event.dataset.SeriesInstanceUID))
            self.calling.add(str(event.assoc.requestor.ae_title))
            self.changed.notify_all()
        return 0x0000

    def wait_for(self, series: str, instances: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.series.count(series) >= instances, DEADLINE_S)


@pytest.fixture
def node() -> Iterator[Listening]:
    listening = Listening("CONDYLE")
    yield listening
    end(listening.server)


@pytest.fixture
def autorouting(node: Listening, tmp_path: Path) -> Iterator[Archive]:
    """Orthanc with the shipped configuration; only the node's port and the waiting time are the test's."""
    settings = json.loads((DOCS / "orthanc-autoroute.json").read_text())
    (tmp_path / "orthanc-autoroute.lua").write_text((DOCS / "orthanc-autoroute.lua").read_text())
    shipped = settings["DicomModalities"].pop("condyle")
    assert settings.pop("DicomModalities") == {}
    settings["StableAge"] = 1
    try:
        archive = Archive(
            tmp_path,
            ae_title=settings["DicomAet"],
            modalities={"condyle": Modality(shipped["AET"], node.port)},
            settings=settings,
        )
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        yield archive


def instance(sop_class_uid: str, modality: str, series: str, number: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = STUDY, series, str(number)
    ds.PatientID, ds.Modality = "P1", modality
    ds.Rows = ds.Columns = 2
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 0, 1
    ds.PhotometricInterpretation, ds.PixelData = "MONOCHROME2", bytes(8)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def store(archive: Archive, calling: str, *datasets: Dataset) -> None:
    """Send over a real association, so that Orthanc notes who sent."""
    ae = AE(ae_title=calling)
    for ds in datasets:
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.ae_title)
    assert association.is_established
    assert [association.send_c_store(ds).Status for ds in datasets] == [0] * len(datasets)
    association.release()


def test_a_scanners_series_goes_to_the_node_whole_and_neither_the_nodes_own_nor_what_no_pipeline_takes(
    autorouting: Archive, node: Listening
) -> None:
    acquired, derived, other, later = generate_uid(), generate_uid(), generate_uid(), generate_uid()
    store(autorouting, "CONDYLE", instance(MRImageStorage, "MR", derived, 1))
    store(autorouting, "SCANNER", instance(MRImageStorage, "PT", other, 1))
    store(autorouting, "SCANNER", *(instance(MRImageStorage, "MR", acquired, number) for number in range(1, 4)))
    node.wait_for(acquired, 3)
    assert node.calling == {"ORTHANC"}
    # what comes after the two that stay has become stable after them too: by then their turn has passed
    store(autorouting, "SCANNER", instance(CTImageStorage, "CT", later, 1))
    node.wait_for(later, 1)
    assert node.series == [acquired] * 3 + [later]
