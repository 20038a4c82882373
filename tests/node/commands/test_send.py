from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.send import send

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "capture": (SecondaryCaptureImageStorage, {}),
    "report": (ComprehensiveSRStorage, {}),
    "report_3d": (Comprehensive3DSRStorage, {}),
    "state": (GrayscaleSoftcopyPresentationStateStorage, {}),
    "binary": (SegmentationStorage, {"SegmentationType": "BINARY"}),
    "fractional": (SegmentationStorage, {"SegmentationType": "FRACTIONAL"}),
    "acquired": (MRImageStorage, {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}),
    "derived": (MRImageStorage, {"ImageType": ["DERIVED", "PRIMARY", "M"]}),
}


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A folder with a file of every kind above, under its name."""
    folder = tmp_path / "objects"
    folder.mkdir()
    for name, (sop_class, more) in KINDS.items():
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = generate_uid(), generate_uid(), name
        for keyword, value in more.items():
            setattr(ds, keyword, value)
        dcmwrite(folder / name, ds, enforce_file_format=True)
    return folder


def configured(folder: Path, **profile: Any) -> Path:
    path = folder / "config.yaml"
    results = {"kind": "folder", "path": "results", "profile": profile}
    path.write_text(yaml.safe_dump({"destinations": {"results": results}}))
    return path


def written(folder: Path, objects: Path) -> set[str]:
    names = {path.read_bytes(): path.name for path in objects.iterdir()}
    return {names[path.read_bytes()] for path in (folder / "results").rglob("*.dcm")}


def test_a_rejection_note_is_sent_though_no_profile_names_it(tmp_path: Path, objects: Path) -> None:
    for path in objects.iterdir():
        path.unlink()
    ds, title = Dataset(), Dataset()
    title.CodeValue = "113037"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = KeyObjectSelectionDocumentStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.ConceptNameCodeSequence = generate_uid(), generate_uid(), [title]
    dcmwrite(objects / "note", ds, enforce_file_format=True)
    assert send(objects, "results", configured(tmp_path, kinds=["report"])) == OK
    assert written(tmp_path, objects) == {"note"}


def test_results_of_kinds_that_the_destination_does_not_get_are_left_out_and_named(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = {"kinds": ["secondary_capture", "report", "segmentation_binary"], "measurement_report": "comprehensive"}
    assert send(objects, "results", configured(tmp_path, **profile)) == OK
    said = capsys.readouterr()
    assert written(tmp_path, objects) == {"capture", "report", "binary", "acquired"}
    assert "4 of 4 delivered to results, 4 left out" in said.out
    lines = " ".join(said.err.split())
    assert "derived: is of kind derived_series, which is not in kinds: destinations.results.profile" in lines
    assert "report_3d: is a Comprehensive 3D SR, and measurement_report is comprehensive" in lines


def test_a_destination_without_a_profile_of_its_own_gets_everything(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(objects, "results", configured(tmp_path)) == OK
    assert written(tmp_path, objects) == set(KINDS)
    assert f"{len(KINDS)} of {len(KINDS)} delivered to results\n" in capsys.readouterr().out


def test_where_nothing_is_left_to_send_that_is_said(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(objects / "state", "results", configured(tmp_path, kinds=["report"])) == NOT_RIGHT
    assert "nothing that the destination takes" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_sent(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (objects / "capture").read_bytes()
    nested = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    (objects / "damaged").write_bytes(whole + nested)
    assert send(objects, "results", configured(tmp_path)) == NOT_RIGHT
    said = capsys.readouterr()
    assert f"{len(KINDS)} of {len(KINDS)} delivered to results, 1 not read" in said.out
    assert f"left out: {objects}/damaged" in said.err
    assert "cannot be read" in said.err
