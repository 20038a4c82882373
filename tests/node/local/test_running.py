"""A pipeline on files: what comes of it, and that what befalls one series costs no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from dicom_sr import phantoms
from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Study
from node.config import Configuration, FolderDestination
from node.local.result import LocalResult, LocalResults
from node.local.running import PROFILE, LocalPipeline
from node.run.hand_over import encoding
from tests.factories import as_written, changed, knee_study
from tests.node.local.odd_pipelines import LOADS, PRINTED

PERSON = phantoms.Person("ID-4711", "Doe^Jane", "F", "19600504")


def one(found: LocalResult | LocalResults) -> LocalResult:
    assert isinstance(found, LocalResult)
    return found


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return knee_study(tmp_path / "in", person=PERSON)


def test_the_result_has_numbers_pictures_and_objects(tmp_path: Path, study: Study) -> None:
    result = one(LocalPipeline("odd", threshold=1.5)(tmp_path / "in"))
    stored = [dcmread(instance.path).pixel_array for instance in study.instances]
    assert (result.state, result.reason) == ("done", "")
    assert result.measurement_rows[0]["value"] == pytest.approx(np.mean(stored))
    assert {item.kind for item in result.objects} >= {"report", "secondary_capture"}
    (capture,) = result.captures
    assert (capture.mode, capture.width > 300) == ("RGB", True)
    summary = result.summary
    assert summary["study_instance_uid"] == study.study_instance_uid
    assert summary["series_instance_uids"] == [study.series[0].series_instance_uid]
    assert summary["sop_instance_uids"] == [instance.sop_instance_uid for instance in study.instances]
    assert summary["settings"] == {"behaviour": "find", "threshold": 1.5}
    assert (summary["pipeline"], summary["version"], summary["device"]) == ("odd", "1.0", "cpu")
    assert list(summary["findings"]) == ["Mean 1"]
    assert summary["conclusion"] == ["A mean."]


def test_the_same_images_give_the_same_bytes_as_in_the_folder_that_a_node_delivers_to(
    tmp_path: Path, study: Study
) -> None:
    folder = FolderDestination(kind="folder", path=tmp_path / "out")
    _, profile = encoding(Configuration(), folder)
    assert {**vars(profile), "not_run_reports": False} == vars(PROFILE)
    first, second = (one(LocalPipeline("odd")(tmp_path / "in")) for _ in range(2))
    assert [item.sha256 for item in first.objects] == [item.sha256 for item in second.objects]
    assert json.dumps(first.summary) == json.dumps(second.summary)


def test_a_pipeline_is_loaded_once_and_several_series_are_a_list_in_their_order(tmp_path: Path) -> None:
    header = phantoms.study_header(PERSON, "three", "THREE")
    for number in (1, 2, 3):
        phantoms.write_knee_mr(tmp_path / "in" / str(number), header, (4 + number, 24, 20), number=number)
    LOADS.clear()
    found = LocalPipeline("odd")(tmp_path / "in")
    assert isinstance(found, LocalResults)
    assert [len(result.summary["sop_instance_uids"]) for result in found] == [5, 6, 7]
    assert len(LOADS) == 1
    assert (found.state, found.reason, len(found.captures), len(found[1:])) == ("done", "", 3, 2)
    with pytest.raises(ValueError, match="there are 3 results: take one"):
        _ = found.summary


@pytest.mark.parametrize("behaviour", ["raise", "panic", "no_load", "no_objects"])
def test_a_pipeline_that_breaks_fails_its_job_and_no_other_and_names_no_patient(tmp_path: Path, behaviour: str) -> None:
    knee_study(tmp_path / "in" / "1", person=PERSON)
    knee_study(tmp_path / "in" / "2", person=phantoms.Person("SIM-2"))
    found = LocalPipeline("odd", behaviour=behaviour)(tmp_path / "in")
    assert [result.state for result in found] == ["failed", "failed"]
    first, second = found
    said = first.reason + first.traceback + json.dumps(first.summary)
    assert first.reason
    assert "Doe" not in said
    assert "ID-4711" not in said
    if behaviour == "raise":
        assert first.reason == "the pipeline broke while it ran (ValueError); the traceback says where"
        assert "odd_pipelines.py" in first.traceback
        assert "cannot use *** with ***" in first.traceback
    assert list(first.summary) == list(second.summary)
    assert (first.objects, first.captures, first.volumes, first.measurement_rows) == ((), [], [], [])


def test_a_series_that_the_pipeline_refuses_is_unsuitable_and_the_next_one_is_done(tmp_path: Path) -> None:
    knee_study(tmp_path / "in" / "small", person=PERSON)
    header = phantoms.study_header(PERSON, "large", "LARGE")
    phantoms.write_knee_mr(tmp_path / "in" / "large", header, (12, 24, 20))
    found = LocalPipeline("odd", behaviour="need_ten")(tmp_path / "in")
    assert sorted((one.state, one.reason) for one in found) == [
        ("done", ""),
        ("unsuitable", "needs ten images of ***, found fewer"),
    ]
    assert isinstance(found, LocalResults)
    assert found.state == "unsuitable"


def test_pixels_that_cannot_be_decoded_are_unsuitable(tmp_path: Path, study: Study) -> None:
    path = study.instances[2].path
    path.write_bytes(path.read_bytes()[:-300])
    result = one(LocalPipeline("odd")(tmp_path / "in"))
    assert result.state == "unsuitable"
    assert "cut off" in result.reason


def test_images_of_two_patients_under_one_study_are_refused_and_name_nobody(tmp_path: Path, study: Study) -> None:
    def mixed(index: int, ds: Dataset) -> Dataset:
        ds.PatientID = "ID-0815" if index else ds.PatientID
        return ds

    changed(study, mixed)
    result = one(LocalPipeline("odd")(tmp_path / "in"))
    assert result.state == "unsuitable"
    assert "the images are of 2 patients, for PatientID differs" in result.reason
    assert "ID-" not in result.reason


def test_another_name_under_the_same_patient_id_is_said_in_the_result(tmp_path: Path, study: Study) -> None:
    def renamed(index: int, ds: Dataset) -> Dataset:
        ds.PatientName = "Roe^Jane" if index else ds.PatientName
        return ds

    changed(study, renamed)
    result = one(LocalPipeline("odd")(tmp_path / "in"))
    assert "The images name the patient in more than one way, under one patient ID." in result.summary["limits"]


def test_a_header_that_is_not_what_it_should_be_costs_its_job_only(tmp_path: Path, study: Study) -> None:
    ds = dcmread(study.instances[0].path)
    as_written(ds, "PixelSpacing", "wide\\high")
    ds.save_as(study.instances[0].path)
    result = one(LocalPipeline("odd")(tmp_path / "in"))
    assert result.state == "unsuitable"
    assert "PixelSpacing" in result.reason


def test_a_number_that_json_has_no_form_for_is_none(tmp_path: Path, study: Study) -> None:
    result = one(LocalPipeline("odd", behaviour="infinite")(tmp_path / "in"))
    json.dumps(result.summary, allow_nan=False)


def test_segments_are_volumes_in_the_patient(tmp_path: Path, study: Study) -> None:
    result = one(LocalPipeline("odd", behaviour="segment", threshold=300)(tmp_path / "in"))
    (volume,) = result.volumes
    assert volume.name == "segment_bright_tissue"
    assert volume.array.dtype == np.bool_
    assert 0 < volume.array.mean() < 1


def test_a_result_of_pictures_says_that_they_were_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture = phantoms.hand(900, 720) / 4095 * 255
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "in" / "hand.png")
    pipeline = LocalPipeline("hand_foot_scoring", heatmaps=False)
    result = one(pipeline(tmp_path / "in", as_modality="DX"))
    assert result.summary["pictures"] == [{"file": "hand.png", "format": "PNG"}]
    assert result.summary["about"] == "hand.png"
    if result.state == "done":
        assert any("pictures (PNG), not DICOM" in line for line in result.summary["limits"])
    again = one(pipeline(tmp_path / "in" / "hand.png", as_modality="DX"))
    assert [item.sha256 for item in again.objects] == [item.sha256 for item in result.objects]
    with pytest.raises(ValueError, match="pictures can be taken for DX only"):
        pipeline(tmp_path / "in", as_modality="MR")


def test_a_pipeline_that_reads_the_record_says_that_none_was_given(tmp_path: Path, study: Study) -> None:
    result = one(LocalPipeline("knee_oa_risk")(tmp_path / "in"))
    assert result.state == "unsuitable"
    assert "--record FILE" in result.reason


def test_where_there_is_nothing_to_run_on_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="give at least one file or folder"):
        LocalPipeline("odd")()
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        LocalPipeline("odd")(tmp_path / "in")
    (tmp_path / "in").mkdir()
    with pytest.raises(UnsuitableInput, match=r"no images found that a pipeline can be run on$"):
        LocalPipeline("odd")(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    with pytest.raises(UnsuitableInput, match=r"no images found .*notes\.txt is no DICOM"):
        LocalPipeline("odd")(str(tmp_path / "in"))


def test_what_a_pipeline_prints_does_no_harm(tmp_path: Path, study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    assert one(LocalPipeline("odd", behaviour="print")(tmp_path / "in")).state == "done"
    assert PRINTED in capfd.readouterr().out
