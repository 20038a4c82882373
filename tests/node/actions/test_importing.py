"""Files that are uploaded come into the store, one after the other, and nothing is left of them beside it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.actions.importing import FOLDER, NoMoreRoom, Upload, forget_uploads, import_paths, note, uploads_folder
from node.database.states import AssociationOutcome
from node.database.tables import IMPORTED, AssociationRow
from node.receive.status import NotStored, Status
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store
from tests.node.actions.acting import Acting


def image(study: str, number: int) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, f"{study}.1.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = study, f"{study}.1", "MR"
    ds.PatientName = "Muster^Erika"
    content = io.BytesIO()
    ds.save_as(content, enforce_file_format=True)
    return content.getvalue()


def packed(*files: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def store(act: Acting) -> Iterator[Store]:
    found = Store.of(act.configuration.model_copy(update={"receive": act.configuration.receive}), act.database)
    found.floor_bytes = 0
    yield found
    found.close()


def take(upload: Upload, name: str, content: bytes) -> None:
    upload.begin(name)
    for start in range(0, len(content), 1000):
        upload.write(content[start : start + 1000])
    upload.end()


def test_files_and_packed_files_are_taken_by_study_and_the_rest_is_told(act: Acting, store: Store) -> None:
    upload = Upload(store, store.data / FOLDER)
    take(upload, "a/1.dcm", image("1.2.3", 1))
    take(upload, "disc.zip", packed(("IM1", image("1.2.4", 1)), ("IM2", image("1.2.4", 2)), ("x.txt", b"no image")))
    take(upload, "../../etc/passwd", b"root:x:0:0")
    report = upload.close()
    assert report.studies == {"1.2.3": 1, "1.2.4": 2}
    assert report.not_taken == [("disc.zip/x.txt", "is not DICOM"), ("../../etc/passwd", "is not DICOM")]
    assert list((act.configuration.node.data / FOLDER).iterdir()) == []
    assert len(list((act.configuration.node.data / "instances").rglob("*.dcm"))) == 3


def test_who_imported_is_in_the_audit_trail_and_no_files_name(act: Acting, store: Store) -> None:
    upload = Upload(store, store.data / FOLDER)
    take(upload, "Muster_Erika.dcm", image("1.2.3", 1))
    take(upload, "Muster_Erika.txt", b"no image")
    note(act.database, "kim", upload.close())
    ((what, who, detail),) = act.audited()
    assert (what, who) == (IMPORTED, "kim")
    assert detail == {"files": {"stored": 1, "not_taken": 1, "studies": 1}, "study_instance_uids": ["1.2.3"]}


def test_an_upload_is_a_way_in_of_its_own(act: Acting, store: Store) -> None:
    upload = Upload(store, store.data / FOLDER)
    take(upload, "1.dcm", image("1.2.3", 1))
    upload.close()
    store.close()
    ReceiptImport(act.configuration.node.data, act.database).import_now()
    with Session(act.database) as session:
        (row,) = session.scalars(select(AssociationRow))
    assert (row.way, row.outcome, row.stored) == ("import", "released", 1)


def test_a_packed_file_that_unpacks_to_far_more_is_not_read_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.packed_files.unpacked_limit", lambda size: 1000)
    upload = Upload(store, store.data / FOLDER)
    take(upload, "bomb.zip", packed(("zeros", bytes(100_000))))
    assert upload.close().not_read == [("bomb.zip", "unpacks to far more than its size: not read on")]


def test_where_there_is_no_room_nothing_more_is_taken(
    act: Acting, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload(store, store.data / FOLDER)
    take(upload, "1.dcm", image("1.2.3", 1))

    def full(*_: object) -> None:
        raise NotStored(Status.OUT_OF_RESOURCES, "The disk is full")

    monkeypatch.setattr(store, "require_room", full)
    with pytest.raises(NoMoreRoom, match="The disk is full"):
        upload.begin("2.dcm")
    assert upload.close(AssociationOutcome.ABORTED, "no room").stored == 1
    assert list((act.configuration.node.data / FOLDER).iterdir()) == []


def test_a_large_file_is_looked_after_while_it_comes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.actions.importing.LOOK_BYTES", 100)
    upload = Upload(store, store.data / FOLDER)
    upload.begin("1.dcm")

    def full(*_: object) -> None:
        raise NotStored(Status.OUT_OF_RESOURCES, "The disk is full")

    monkeypatch.setattr(store, "require_room", full)
    upload.write(bytes(100))
    with pytest.raises(NoMoreRoom):
        upload.write(b"1")
    upload.close(AssociationOutcome.ABORTED, "no room")


def test_what_a_killed_node_left_of_uploads_is_forgotten(act: Acting) -> None:
    forget_uploads(act.configuration)
    left = uploads_folder(act.configuration) / "1"
    left.mkdir(parents=True)
    (left / "file").write_bytes(b"half")
    forget_uploads(act.configuration)
    assert not left.parent.exists()


def test_what_another_node_of_the_same_data_folder_is_taking_stays(
    act: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = uploads_folder(act.configuration) / "1"
    left.mkdir(parents=True)
    monkeypatch.setattr("node.database.job_states.socket.gethostname", lambda: "another")
    forget_uploads(act.configuration)
    assert left.exists()


def test_files_of_this_machine_are_imported_by_somebody_too(act: Acting, tmp_path: Path) -> None:
    folder = tmp_path / "medium"
    folder.mkdir()
    (folder / "1").write_bytes(image("1.2.3", 1))
    lenient = act.configuration.receive.model_copy(update={"disk_floor_mb": 0})
    configuration = act.configuration.model_copy(update={"receive": lenient})
    report = import_paths(configuration, act.database, [folder], "kim")
    assert report.studies == {"1.2.3": 1}
    assert [(what, who) for what, who, _ in act.audited()] == [(IMPORTED, "kim")]
    (stored,) = (act.configuration.node.data / "instances").rglob("*.dcm")
    assert dcmread(stored).SOPInstanceUID == "1.2.3.1.1"
