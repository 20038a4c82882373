"""Files of every kind into the store: with and without preamble, DICOMDIR, folders, zips and bombs."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.database.connection import open_database
from node.database.states import AssociationOutcome
from node.database.tables import Base, InstanceRow, SeriesRow
from node.receive.importer import ImportReport, import_path, run
from node.receive.store.store import Store
from tests.node.receive.harness import configuration, data_set, mr, part10, partials, stored_files


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data", "process")
    yield store
    store.close()


def load(path: Path, store: Store) -> ImportReport:
    report = ImportReport()
    arrival = store.open("folder")
    import_path(path, store, arrival, report)
    arrival.close(AssociationOutcome.RELEASED)
    assert partials(store.spool.parent) == []
    assert arrival.stored == report.stored
    return report


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_part_10_file_is_kept_to_the_byte(store: Store, tmp_path: Path) -> None:
    content = part10(mr())
    (tmp_path / "a.dcm").write_bytes(content)
    assert load(tmp_path / "a.dcm", store).stored == 1
    assert list(stored_files(store.spool.parent).values()) == [content]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_bare_data_set_is_recognised_and_gets_preamble_and_meta(store: Store, tmp_path: Path, syntax: UID) -> None:
    ds = mr()
    ds.file_meta.TransferSyntaxUID = syntax
    (tmp_path / "bare").write_bytes(data_set(ds))
    assert load(tmp_path / "bare", store).stored == 1
    (content,) = stored_files(store.spool.parent).values()
    assert content[128:132] == b"DICM"
    assert content.endswith(data_set(ds))
    assert str(syntax).encode() in content[:400]


def test_a_file_meta_without_preamble_is_read(store: Store, tmp_path: Path) -> None:
    content = part10(mr())
    (tmp_path / "a").write_bytes(content[132:])
    assert load(tmp_path / "a", store).stored == 1
    (stored,) = stored_files(store.spool.parent).values()
    assert stored[128:132] == b"DICM"


def test_a_folder_is_taken_with_its_subfolders_and_without_what_is_no_dicom(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a").write_bytes(part10(mr()))
    (folder / "deep" / "er" / "b").write_bytes(part10(mr()))
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to(tmp_path)
    report = load(folder, store)
    assert (report.stored, report.skipped, report.refused) == (2, 2, [])


def test_file_meta_that_contradicts_the_data_set_is_refused(store: Store, tmp_path: Path) -> None:
    ds = mr()
    ds.SOPInstanceUID = "1.2.3.4"
    content = part10(ds).replace(b"1.2.3.4", b"1.2.3.5", 1)
    (tmp_path / "a").write_bytes(content)
    assert load(tmp_path / "a", store).refused == [("a", "File meta and data set name different SOP Instance UIDs")]


def test_a_zip_is_unpacked_in_the_store(store: Store, tmp_path: Path) -> None:
    one, two = part10(mr()), data_set(mr())
    path = zipped(tmp_path / "study.zip", **{"../../evil": one, "sub/two": two, "readme": b"hello"})
    report = load(path, store)
    assert (report.stored, report.skipped, report.refused) == (2, 1, [])
    assert not (tmp_path.parent / "evil").exists()
    assert one in stored_files(store.spool.parent).values()


def test_a_zip_bomb_is_left_early(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.importer.ZIP_ALLOWANCE", 2**20)
    path = zipped(tmp_path / "bomb.zip", **{f"{n}": bytes(8 * 2**20) for n in range(20)}, last=part10(mr()))
    report = load(path, store)
    assert report.stored == 0
    assert report.refused[-1][1].startswith("unpacks to more than 200 times its size")


def test_a_member_over_the_instance_limit_is_refused_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    store.maximum_bytes = 100_000
    path = zipped(tmp_path / "a.zip", big=part10(mr(side=400)), small=part10(mr()))
    report = load(path, store)
    assert (report.stored, [name for name, _ in report.refused]) == (1, ["big"])


def test_a_zip_that_is_cut_or_lies_is_refused(store: Store, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", one=part10(mr(side=100))).read_bytes()
    spoilt = bytearray(whole)
    spoilt[60:200] = bytes(140)
    (tmp_path / "spoilt.zip").write_bytes(spoilt)
    report = load(tmp_path / "spoilt.zip", store)
    assert (report.stored, len(report.refused)) == (0, 1)


def test_a_dicomdir_names_its_files(store: Store, tmp_path: Path, shared_data: Path) -> None:
    medium = shared_data / "dicom-misc" / "dicomdir"
    report = load(medium / "DICOMDIR", store)
    listed = 31  # PATIENT/STUDY/SERIES/IMAGE records of that directory: 31 IMAGE records
    assert report.stored + len(report.refused) == listed
    assert report.stored == len(stored_files(store.spool.parent))
    assert report.stored > 20


def test_a_dicomdir_cannot_name_files_elsewhere(store: Store, tmp_path: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

    (tmp_path / "secret").write_bytes(part10(mr()))
    (tmp_path / "medium").mkdir()
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    with pydicom.config.disable_value_validation():
        record.ReferencedFileID = ["..", "secret"]
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.DirectoryRecordSequence = [record]
    directory.save_as(tmp_path / "medium" / "DICOMDIR", enforce_file_format=True)
    with pydicom.config.disable_value_validation():
        report = load(tmp_path / "medium" / "DICOMDIR", store)
    assert report.stored == 0
    assert report.refused == [("../secret", "the DICOMDIR lists it, and it is not there")]


def test_broken_dicomdirs_end_with_a_reason(store: Store, tmp_path: Path, shared_data: Path) -> None:
    for number, path in enumerate(sorted((shared_data / "malformed" / "pydicom-dicomdir").iterdir())):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(path, folder / "DICOMDIR")
        (folder / "beside").write_bytes(part10(mr()))
        load(folder / "DICOMDIR", store)
        assert load(folder, store).stored == 1  # named as a folder, everything in it is taken


def test_run_imports_and_records_where_no_node_runs(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data")
    settings.node.data.mkdir()
    database = open_database(settings.node.database_url)
    Base.metadata.create_all(database)
    folder = tmp_path / "in"
    folder.mkdir()
    series = mr().SeriesInstanceUID
    for number in range(3):
        (folder / str(number)).write_bytes(part10(mr(series=series, number=number)))
    seen: list[Path] = []
    report = run(settings, [folder], seen.append)
    assert (report.stored, len(seen)) == (3, 3)
    with database.connect() as connection:
        assert len(connection.execute(InstanceRow.__table__.select()).all()) == 3
        assert [row.instances for row in connection.execute(SeriesRow.__table__.select())] == [3]
    database.dispose()
