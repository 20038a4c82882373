"""Files of every kind into the store: with and without preamble, DICOMDIR, folders, zips and bombs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import shutil
import socket
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from node.database.connection import open_database
from node.database.states import AssociationOutcome
from node.database.tables import Base, InstanceRow, SeriesRow
from node.folders import LINK, OWN_FOLDER
from node.receive.importer import NOT_DICOM, ImportReport, import_path, run
from node.receive.store.receipt_log import Closed, Failed, Noted, decode_all
from node.receive.store.store import Store
from tests.node.receive.harness import configuration, data_set, mr, part10, partials, stored_files
from tests.privileges import held_to_permissions


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data", "process")
    yield store
    store.close()


def entries(store: Store) -> list[object]:
    return list(decode_all(b"".join(path.read_bytes() for path in store.receipts.folder.glob("*.journal"))))


def noted(store: Store) -> list[Noted]:
    return [entry for entry in entries(store) if isinstance(entry, Noted)]


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


def dicomdir(path: Path, file_id: list[str]) -> None:
    """A DICOMDIR that lists one file."""
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.DirectoryRecordSequence = [record]
    with pydicom.config.disable_value_validation():
        record.ReferencedFileID = file_id
        directory.save_as(path, enforce_file_format=True)


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
    (folder / "deep" / "notes.txt").write_text("nor here")
    zipped(folder / "deep" / "er" / "c.zip", readme=b"hello")
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to(tmp_path)
    report = load(folder, store)
    assert (report.stored, report.refused) == (2, [])
    assert report.not_read == [("link", LINK)]
    assert report.not_dicom == ["empty", "notes.txt", "deep/notes.txt", "deep/er/c.zip/readme"]


def test_a_file_meta_that_contradicts_the_data_set_is_replaced_and_told(store: Store, tmp_path: Path) -> None:
    ds = mr()
    ds.SOPInstanceUID = "1.2.3.4"
    content = part10(ds).replace(b"1.2.3.4", b"1.2.3.5", 1)
    (tmp_path / "a").write_bytes(content)
    report = load(tmp_path / "a", store)
    assert (report.stored, report.refused) == (1, [])
    ((uid, stored),) = stored_files(store.spool.parent).items()
    assert uid == "1.2.3.4"
    assert pydicom.dcmread(io.BytesIO(stored)).file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert stored.endswith(data_set(ds))
    detail = next(entry.detail for entry in noted(store) if entry.what == "file meta replaced")
    assert (detail["instances"], detail["first"]) == (1, "1.2.3.4")


def test_a_zip_is_unpacked_in_the_store(store: Store, tmp_path: Path) -> None:
    one, two = part10(mr()), data_set(mr())
    path = zipped(tmp_path / "study.zip", **{"../../evil": one, "sub/two": two, "readme": b"hello"})
    report = load(path, store)
    assert (report.stored, report.not_dicom, report.refused) == (2, ["study.zip/readme"], [])
    assert not (tmp_path.parent / "evil").exists()
    assert one in stored_files(store.spool.parent).values()


def test_a_zip_bomb_is_left_early(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.files.UNPACKED_ALLOWANCE", 2**20)
    path = zipped(tmp_path / "bomb.zip", **{f"{n}": bytes(8 * 2**20) for n in range(20)}, last=part10(mr()))
    report = load(path, store)
    assert report.stored == 0
    assert report.not_read[-1] == ("bomb.zip", "unpacks to far more than its size: not read on")


def test_a_member_over_the_instance_limit_is_refused_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    store.maximum_bytes = 100_000
    path = zipped(tmp_path / "a.zip", big=part10(mr(side=400)), small=part10(mr()))
    report = load(path, store)
    assert (report.stored, [name for name, _ in report.refused]) == (1, ["a.zip/big"])


def test_a_zip_that_is_cut_or_lies_is_not_read(store: Store, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", one=part10(mr(side=100))).read_bytes()
    spoilt = bytearray(whole)
    spoilt[60:200] = bytes(140)
    (tmp_path / "spoilt.zip").write_bytes(spoilt)
    report = load(tmp_path / "spoilt.zip", store)
    assert (report.stored, len(report.not_read)) == (0, 1)


def test_an_object_that_holds_a_zip_is_an_object(store: Store, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", protocol=b"what a scanner did")
    ds = mr()
    ds.add_new(0x7FE10010, "LO", "SCANNER")
    ds.add_new(0x7FE11001, "OB", inner.read_bytes())
    contents = {"file": part10(ds), "bare": data_set(mr(SeriesDescription="x")) + bytes(4) + inner.read_bytes()}
    assert all(zipfile.is_zipfile(io.BytesIO(content)) for content in contents.values())
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert load(tmp_path / name, store).not_taken == []
    assert len(stored_files(store.spool.parent)) == 2


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_is_packed_alone_is_taken(store: Store, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    content = part10(mr())
    (tmp_path / "a.dcm.gz").write_bytes(pack(content))
    report = load(tmp_path / "a.dcm.gz", store)
    assert (report.stored, report.not_taken) == (1, [])
    assert list(stored_files(store.spool.parent).values()) == [content]


def test_what_is_packed_several_times_over_is_taken_and_the_rest_is_named(store: Store, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tape:
        for name, content in {"IM1": part10(mr()), "notes": b"hello", "IM2.gz": gzip.compress(part10(mr()))}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tape.addfile(entry, io.BytesIO(content))
    tar = gzip.compress((tmp_path / "a.tar").read_bytes())
    inner = zipped(tmp_path / "inner.zip", one=part10(mr()), two=b"text").read_bytes()
    report = load(zipped(tmp_path / "outer.zip", **{"a.tar.gz": tar, "inner.zip": inner}), store)
    assert report.stored == 3
    assert report.not_taken == [
        ("outer.zip/a.tar.gz/a.tar/notes", NOT_DICOM),
        ("outer.zip/inner.zip/two", NOT_DICOM),
    ]


def test_packing_has_an_end(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = part10(mr())
    for _ in range(6):
        content = gzip.compress(content)
    (tmp_path / "deep").write_bytes(content)
    assert load(tmp_path / "deep", store).not_read == [("/".join(["deep"] * 6), "is packed more than 5 times over")]
    monkeypatch.setattr("node.files.UNPACKED_ALLOWANCE", 2**20)
    (tmp_path / "bomb").write_bytes(gzip.compress(gzip.compress(bytes(32 * 2**20))))
    assert load(tmp_path / "bomb", store).not_read == [("bomb", "unpacks to far more than its size: not read on")]
    monkeypatch.setattr("node.receive.packed_files.MAXIMUM_FILES", 2)
    many = zipped(tmp_path / "many.zip", **{str(number): b"x" for number in range(3)})
    assert load(many, store).not_read == [("many.zip", "holds more than 2 files: not read on")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"x" * 500, mtime=0)[:-12], "is damaged, or ends too early"),
        (gzip.compress(b"x" * 500, mtime=0)[:20] + b"yyyyyyyyyyyyyyyyyyyy", "is damaged, or ends too early"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "is packed as 7z, which the node does not unpack"),
        (b"Rar!\x1a\x07\0" + bytes(600), "is packed as rar, which the node does not unpack"),
        (b"PK\5\6" + bytes(18), "is packed, and holds no file"),
    ],
)
def test_a_packed_file_that_cannot_be_unpacked_is_named(
    store: Store, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    ((name, why),) = load(tmp_path / "a", store).not_read
    assert name.split("/")[0] == "a"
    assert why.startswith(reason)


def test_one_file_of_a_zip_in_an_unknown_compression_costs_no_other(store: Store, tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", one=b"x" * 99, two=part10(mr())).read_bytes())
    content[8] = 9  # Deflate64, as Windows packs large files
    content[content.index(b"PK\1\2") + 10] = 9
    (tmp_path / "a.zip").write_bytes(content)
    report = load(tmp_path / "a.zip", store)
    assert report.stored == 1
    assert report.not_read == [("a.zip/one", "is packed in a way that the node does not unpack")]


def test_a_file_with_dicoms_mark_that_cannot_be_read_is_refused_not_passed_over(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(128) + b"DICM" + b"rubbish " * 50)
    report = load(tmp_path / "a", store)
    reason = "No data set follows the file meta information"
    assert (report.stored, report.not_dicom, report.refused) == (0, [], [("a", reason)])
    failed = [entry for entry in entries(store) if isinstance(entry, Failed)]
    assert [entry.reason for entry in failed] == [reason]  # as of everything that is refused
    closed = [entry for entry in entries(store) if isinstance(entry, Closed)]
    assert [entry.failed for entry in closed] == [1]


@pytest.mark.parametrize("way", ["itself", "a link to it", "a folder in it", "a file in it", "around it"])
def test_the_nodes_own_folder_is_not_imported(store: Store, tmp_path: Path, way: str) -> None:
    (tmp_path / "b").write_bytes(part10(mr()))
    assert load(tmp_path / "b", store).stored == 1
    (tmp_path / "b").unlink()
    (stored,) = (tmp_path / "data" / "instances").rglob("*.dcm")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    paths = {
        "itself": tmp_path / "data",
        "a link to it": tmp_path / "link",
        "a folder in it": stored.parent,
        "a file in it": stored,
        "around it": tmp_path,
    }
    report = load(paths[way], store)
    told = [(paths[way].name, OWN_FOLDER)] if way != "around it" else [("data", OWN_FOLDER), ("link", LINK)]
    assert (report.stored, sorted(report.not_read), report.refused) == (0, told, [])


def test_what_is_no_file_is_named_and_not_opened_and_a_link_that_is_named_itself_is_followed(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "a").write_bytes(part10(mr()))
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(tmp_path / "a")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
        report = load(folder, store)
    pipe = "is a pipe, and only files are read"
    assert report.not_read == [
        ("gone", LINK),
        ("link", LINK),
        ("pipe", pipe),
        ("socket", "is a socket, and only files are read"),
    ]
    assert (report.stored, report.not_taken) == (0, report.not_read)
    assert load(folder / "pipe", store).not_read == [("pipe", pipe)]
    assert load(folder / "link", store).stored == 1
    assert load(folder / "gone", store).not_read == [("gone", "cannot be read: No such file or directory")]


def test_a_link_that_a_dicomdir_lists_is_named_as_one(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(part10(mr()))
    (tmp_path / "medium").mkdir()
    (tmp_path / "medium" / "IM1").symlink_to(tmp_path / "secret")
    dicomdir(tmp_path / "medium" / "DICOMDIR", ["IM1"])
    report = load(tmp_path / "medium" / "DICOMDIR", store)
    assert (report.stored, report.not_read) == (0, [("IM1", f"the DICOMDIR lists it, and it {LINK}")])


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        (["IMAGES", "IM0001"], "images/im0001.dcm"),
        (["IMAGES", "IM0001"], "Images/IM0001"),
        (["IMAGES", "IM0001"], "IMAGES/IM0001.;1"),
        (["IMAGES", "IM0001"], "IMAGES/IM0001.DCM;1"),
        (["IMAGES", "IM0001.DCM"], "images/im0001"),
        (["IMAGES", "IM0001.IMA"], "images/IM0001.dcm"),
        (["IMAGES/IM0001"], "IMAGES/IM0001"),
    ],
)
@pytest.mark.parametrize("directory", ["DICOMDIR", "dicomdir;1", "index.dir"])
def test_the_files_of_a_medium_are_found_however_they_are_spelt(
    store: Store, tmp_path: Path, listed: list[str], there: str, directory: str
) -> None:
    path = tmp_path / "medium" / there
    path.parent.mkdir(parents=True)
    path.write_bytes(part10(mr()))
    dicomdir(tmp_path / "medium" / directory, listed)
    report = load(tmp_path / "medium" / directory, store)
    assert (report.stored, report.directories, report.not_taken) == (1, 1, [])


def test_a_file_of_a_medium_is_named_by_where_it_lies_on_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "medium" / "images" / "im1.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"text")
    dicomdir(tmp_path / "medium" / "DICOMDIR", ["IMAGES", "IM1"])
    assert load(tmp_path / "medium" / "DICOMDIR", store).not_taken == [("images/im1.dcm", NOT_DICOM)]


def test_a_name_that_may_be_two_files_is_not_guessed(store: Store, tmp_path: Path) -> None:
    for name in ("im1.a", "im1.b"):
        (tmp_path / name).write_bytes(part10(mr()))
    dicomdir(tmp_path / "DICOMDIR", ["IM1"])
    assert load(tmp_path / "DICOMDIR", store).not_read == [("IM1", "the DICOMDIR lists it, and several files fit")]


def test_a_directory_that_lists_no_file_costs_no_file_beside_it(store: Store, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "IM1").write_bytes(part10(mr()))
    dicomdir(medium / "DICOMDIR", [])
    report = load(medium / "DICOMDIR", store)
    assert (report.stored, report.directories, report.not_taken) == (1, 1, [])
    assert report.remarks == [("DICOMDIR", "lists no file: all files beside it are taken")]


def test_an_image_that_is_named_as_a_directory_is_stored(store: Store, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "DICOMDIR").write_bytes(part10(mr()))
    report = load(medium / "DICOMDIR", store)
    assert (report.stored, report.not_taken) == (1, [])


def test_a_directory_that_cannot_be_read_is_named_once_and_costs_no_file_beside_it(
    store: Store, tmp_path: Path
) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "IM1").write_bytes(part10(mr()))
    (medium / "DICOMDIR").write_bytes(b"text")
    report = load(medium / "DICOMDIR", store)
    ((name, reason),) = report.not_taken
    assert (report.stored, name) == (1, "DICOMDIR")
    assert reason.endswith("all files beside it are taken")


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # pydicom's, of what is damaged
def test_a_damaged_dicomdir_costs_no_file_beside_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(b"text")
    dicomdir(tmp_path / "DICOMDIR", ["IM1"])
    whole = (tmp_path / "DICOMDIR").read_bytes()
    start = whole.index(b"\x04\x00\x20\x12")  # of the Directory Record Sequence
    changed = random.Random(1)
    for number in range(300):
        content = bytearray(whole[: len(whole) - number % 40])
        content[changed.randrange(start, len(content))] = changed.randrange(256)
        (tmp_path / "DICOMDIR").write_bytes(content)
        report = load(tmp_path / "DICOMDIR", store)
        assert report.directories or report.not_read


def test_folders_and_files_that_may_not_be_read_are_named(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a/deep", "b", "c"):
        (folder / name).mkdir(parents=True)
        (folder / name / "IM1").write_bytes(part10(mr()))
    dicomdir(folder / "DICOMDIR", ["A", "DEEP", "IM1"])
    (folder / "a").chmod(0)
    (folder / "b").chmod(0o400)  # its names may be read, and its files not
    with held_to_permissions():
        report, listed = load(folder, store), load(folder / "DICOMDIR", store)
        inside = load(folder / "a" / "deep", store)
    denied = "cannot be read: Permission denied"
    assert (report.stored, report.not_read) == (1, [("a", denied), ("b/IM1", denied)])
    assert (listed.directories, listed.not_read) == (1, [("A/DEEP/IM1", denied)])
    assert inside.not_read == [("deep", denied)]


def test_a_dicomdir_names_its_files(store: Store, tmp_path: Path, shared_data: Path) -> None:
    medium = shared_data / "dicom-misc" / "dicomdir"
    report = load(medium / "DICOMDIR", store)
    listed = 31  # PATIENT/STUDY/SERIES/IMAGE records of that directory: 31 IMAGE records
    assert report.stored + len(report.not_taken) == listed
    assert report.stored == len(stored_files(store.spool.parent))
    assert report.stored > 20


def test_a_dicomdir_cannot_name_files_elsewhere(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(part10(mr()))
    (tmp_path / "medium").mkdir()
    dicomdir(tmp_path / "medium" / "DICOMDIR", ["..", "secret"])
    with pydicom.config.disable_value_validation():
        report = load(tmp_path / "medium" / "DICOMDIR", store)
    assert report.stored == 0
    assert report.not_read == [("../secret", "the DICOMDIR lists it, and it is not there")]


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
    study, series = generate_uid(), generate_uid()
    for number in range(3):
        (folder / str(number)).write_bytes(part10(mr(study, series, number=number)))
    seen: list[Path] = []
    report = run(settings, [folder], seen.append)
    assert (report.stored, len(seen)) == (3, 3)
    with database.connect() as connection:
        assert len(connection.execute(InstanceRow.__table__.select()).all()) == 3
        assert [row.instances for row in connection.execute(SeriesRow.__table__.select())] == [3]
    database.dispose()


def test_a_file_of_another_patient_under_a_known_uid_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    ds = mr()
    (tmp_path / "a.dcm").write_bytes(part10(ds))
    ds.PatientID = "OTHER"
    (tmp_path / "b.dcm").write_bytes(part10(ds))
    assert load(tmp_path / "a.dcm", store).stored == 1
    assert load(tmp_path / "b.dcm", store).refused == [
        ("b.dcm", "Its SOP Instance UID is that of another patient's instance")
    ]
