"""Comments of peers: what is kept of them, and that it names nobody."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from node.send.error_comment import LONGEST, NOT_KEPT, fit_to_keep


def written(path: Path, name: str = "Doe-Smith^John^A", born: str = "19700102") -> Path:
    """An object of a patient."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.AccessionNumber = name, "PAT-0815", born, "A17"
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return path


def as_read(text: str) -> str:
    """A text that a peer wrote in UTF-8, as pydicom reads it from a command set."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    "comment",
    [
        "DOE^JOHN is not known",
        "no patient John",
        "Patient doe, j. is closed",
        "johndoesmith",
        "DOESMITHJOHN?",
        "Patient ID PAT-0815 is merged",
        "id=pat0815",
        "0000PAT 0815",
        "order A-17 is not there",
        "born 1970-01-02",
        "born 02.01.1970",
        "born 1/2/1970",
        "x" * 100 + " John",  # beyond what would be kept
        "Jöhn",
    ],
)
def test_a_comment_that_names_the_patient_is_not_kept(tmp_path: Path, comment: str) -> None:
    assert fit_to_keep(as_read(comment), written(tmp_path / "a.dcm")) == NOT_KEPT


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("Müller^Jörg", as_read("MULLER")),
        ("Müller^Jörg", as_read("Müller, Jörg")),
        ("Müller^Jörg", "M\xfcller"),
        ("Yamada^Tarou=山田^太郎", as_read("患者山田太郎は不明")),
        ("=山田^太郎", "山田".encode("shift_jis").decode("latin-1")),
        ("=山田^太郎", "山田".encode("iso2022_jp").decode("latin-1")),
        ("李^明", as_read("李")),
    ],
)
def test_names_are_known_in_other_scripts_and_without_accents(tmp_path: Path, name: str, comment: str) -> None:
    assert fit_to_keep(comment, written(tmp_path / "a.dcm", name)) == NOT_KEPT


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("", ""),
        ("   ", ""),
        ("a database error, 17 of 1969 done", "a database error, 17 of 1969 done"),
        (as_read("Datensatz ungültig"), "Datensatz ungültig"),
        ("Datensatz ung\xfcltig", "Datensatz ungültig"),  # Latin-1
        ("does not fit", "does not fit"),
        ("two\r\nlines\x1b[2J", r"two lines\x1b[2J"),
    ],
)
def test_another_is_kept_as_the_peer_meant_it(tmp_path: Path, comment: str, kept: str) -> None:
    assert fit_to_keep(comment, written(tmp_path / "a.dcm")) == kept


def test_no_more_is_kept_than_its_attribute_holds(tmp_path: Path) -> None:
    assert fit_to_keep("x" * 60_000, written(tmp_path / "a.dcm")) == "x" * LONGEST


def test_an_object_without_these_attributes_has_its_comment(tmp_path: Path) -> None:
    assert fit_to_keep("no room", written(tmp_path / "a.dcm", name="", born="")) == "no room"


def test_where_the_object_cannot_be_read_nothing_is_kept(tmp_path: Path) -> None:
    assert fit_to_keep("no room", tmp_path / "gone.dcm") == NOT_KEPT


def test_an_object_that_would_have_to_be_inflated_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dcm")
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    assert fit_to_keep("out of resources", path) == NOT_KEPT
