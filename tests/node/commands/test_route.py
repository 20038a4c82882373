from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydicom import Dataset

from node.commands.exit_codes import NOT_RIGHT
from node.commands.route import route
from tests.node.receive.harness import mr, part10

CONFIGURATION = """
destinations: {out: {kind: folder, path: out}}
routes:
  knee: {when: {Modality: MR}, pipeline: knee_super_resolution, destinations: [out]}
"""


def test_a_series_uid_over_two_studies_is_named_in_the_trace_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION)
    folder = tmp_path / "in"
    folder.mkdir()
    for number, study in enumerate(("1.2.1", "1.2.2")):
        (folder / f"{number}.dcm").write_bytes(part10(mr(study, "1.2.9", number=number)))
    assert route([folder], config, calling_ae_title="", as_json=True) == 0
    traces = {trace["study_instance_uid"]: trace for trace in json.loads(capsys.readouterr().out)}
    for study, other in (("1.2.1", "1.2.2"), ("1.2.2", "1.2.1")):
        (clauses,) = [series["clauses"] for series in traces[study]["series"]]
        assert {one["key"]: one["found"] for one in clauses}["series of one study"] == f"no, also of {other}"
        assert traces[study]["why"].endswith("of other studies too")


def test_links_and_pipes_are_named_and_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION)
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "a.dcm").write_bytes(part10(mr()))
    (folder / "a.dcm").symlink_to(tmp_path / "a.dcm")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "sub" / "pipe")
    (folder / "M\udcfcller").touch()
    assert route([folder], config, calling_ae_title="", as_json=False) == NOT_RIGHT
    assert capsys.readouterr().err.splitlines() == [
        f"left out: {folder}/a.dcm is a link, and links are not followed",
        f"left out: {folder}/up is a link, and links are not followed",
        f"left out: {folder}/sub/pipe is a pipe, and only files are read",
        rf"left out: {folder}/M\xfcller is no DICOM instance: it has no SOPInstanceUID",
        f"{folder}: no DICOM files found",
    ]
    assert route([folder / "sub" / "pipe"], config, calling_ae_title="", as_json=False) == NOT_RIGHT
    assert route([folder / "a.dcm"], config, calling_ae_title="", as_json=False) == 0  # a link that is named itself


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_decided_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.study.headers.MAXIMUM_ITEMS", 3)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION)
    folder = tmp_path / "in"
    folder.mkdir()
    many = mr("1.2.1", "1.2.11", number=1)
    many.ReferencedStudySequence = [Dataset() for _ in range(4)]
    (folder / "a.dcm").write_bytes(part10(many))
    (folder / "b.txt").write_text("no image")
    (folder / "c.dcm").write_bytes(part10(mr("1.2.2", "1.2.22", number=2)))
    assert route([folder], config, calling_ae_title="", as_json=True) == NOT_RIGHT
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"left out: {folder}/b.txt is no DICOM instance: it has no SOPInstanceUID",
        f"left out: {folder}/a.dcm cannot be read: its header has more than 3 items of sequences, more than are read",
    ]
    whys = {trace["study_instance_uid"]: trace["why"] for trace in json.loads(said.out)}
    assert whys["1.2.2"] == "every clause holds"
    assert "more than 3 items" in whys["1.2.1"]


def test_what_is_no_image_is_a_problem_only_where_it_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIGURATION)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(part10(mr()))
    (folder / "notes.txt").write_text("no image")
    assert route([folder], config, calling_ae_title="", as_json=True) == 0
    assert route([folder / "a.dcm", folder / "notes.txt"], config, calling_ae_title="", as_json=True) == NOT_RIGHT


@pytest.mark.parametrize("as_json", [False, True])
def test_a_folder_without_dicom_files_is_answered_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    (tmp_path / "config.yaml").write_text("node: {}\n")
    (tmp_path / "empty").mkdir()
    assert route([tmp_path / "empty"], tmp_path / "config.yaml", calling_ae_title="", as_json=as_json) == NOT_RIGHT
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{tmp_path / 'empty'}: no DICOM files found\n")


def test_a_destination_with_a_condition_is_said_to_be_decided_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    some = "{to: out, when: {measurement.QA-PSNR: {max: 30}}}"
    config.write_text(CONFIGURATION.replace("destinations: [out]", f"destinations: [{some}]"))
    (tmp_path / "a.dcm").write_bytes(part10(mr()))
    assert route([tmp_path / "a.dcm"], config, calling_ae_title="", as_json=False) == 0
    printed = capsys.readouterr().out
    assert "to out, decided when there is a result:" in printed
    assert "measurement.QA-PSNR: at most 30" in printed
