"""What there is to run on: files and folders as they lie around, each thing that is not used named with the reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import UID, GrayscaleSoftcopyPresentationStateStorage

from dicom_sr import phantoms
from dicom_sr.series import read_studies
from dicom_sr.write.encode import EncodingProfile, encode
from node.local.inputs import LocalInputs, jobs_of, read_inputs
from pipelines.example import CREATED
from tests.factories import changed, knee_result, knee_study, radiograph_study


class LeftOut(dict[str, str]):
    """Reason by name of the file."""

    def __call__(self, path: Path, reason: str) -> None:
        self[path.name] = reason


def read_all(folder: Path, left_out: LeftOut, **options: str | Path) -> LocalInputs:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return read_inputs([folder], scratch, left_out, **options)  # type: ignore[arg-type]


def test_a_job_is_about_a_series_or_a_study_as_the_pipeline_works(tmp_path: Path) -> None:
    header = phantoms.study_header(phantoms.Person(), "two series", "TWO")
    for number in (1, 2):
        phantoms.write_knee_mr(tmp_path / "in" / str(number), header, (4, 12, 10), number=number)
    radiograph_study(tmp_path / "in" / "x")
    left_out = LeftOut()
    inputs = read_all(tmp_path / "in", left_out)
    by_series = jobs_of(inputs, "p", "series", left_out)
    by_study = jobs_of(inputs, "p", "study", left_out)
    assert (len(by_series), len(by_study)) == (3, 2)
    assert all(len(job.study.series) == 1 for job in by_series)
    assert {job.name for job in by_series} == {f"p-{job.study.series[0].series_instance_uid}" for job in by_series}
    assert left_out == {}
    assert read_all(tmp_path / "in", left_out) == inputs


def test_the_name_of_a_folder_is_a_lawful_one_whatever_pipeline_and_uid_are_called(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    left_out = LeftOut()
    (job,) = jobs_of(read_all(tmp_path / "in", left_out), "bundle:../spleen", "series", left_out)
    assert "/" not in job.name
    assert ":" not in job.name


def test_pictures_beside_images_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in" / "hand.png")
    shutil.copy(tmp_path / "in" / "hand.png", tmp_path / "in" / "same.png")
    (tmp_path / "in" / "cut.png").write_bytes((tmp_path / "in" / "hand.png").read_bytes()[:40])
    left_out = LeftOut()
    assert len(read_all(tmp_path / "in", left_out).studies) == 1
    assert left_out["hand.png"] == "is a picture, not DICOM; --as DX takes it for a radiograph"
    asked = LeftOut()
    inputs = read_all(tmp_path / "in", asked, as_modality="DX")
    jobs = jobs_of(inputs, "p", "study", asked)
    assert [picture.path.name for job in jobs for picture in job.pictures] == ["hand.png"]
    assert "cannot be read" in asked["cut.png"]
    assert asked["same.png"] == f"is the same picture as {tmp_path / 'in' / 'hand.png'}"
    assert {job.about for job in jobs} > {"hand.png"}


def test_our_own_results_and_series_without_images_are_no_jobs(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    encode(knee_result(study), EncodingProfile(), CREATED, tmp_path / "in" / "results")
    other = dcmread(study.instances[0].path)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    other.SOPInstanceUID, other.SeriesInstanceUID, other.Modality = UID("1.2.3"), UID("1.2.4"), "PR"
    del other.Rows
    other.save_as(tmp_path / "in" / "state.dcm")
    left_out = LeftOut()
    jobs = jobs_of(read_all(tmp_path / "in", left_out), "p", "series", left_out)
    assert [job.study.series[0].series_instance_uid for job in jobs] == [study.series[0].series_instance_uid]
    assert left_out["state.dcm"] == "and its series hold no images"
    assert "and its series are results of Condyle" in left_out.values()
    (whole,) = jobs_of(read_all(tmp_path / "in", left_out), "p", "study", left_out)
    assert {one.modality for one in whole.study.series} == {"MR", "PR"}


def test_the_folder_of_the_results_is_not_looked_into(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    knee_study(tmp_path / "in" / "out" / "old", person=phantoms.Person("SIM-2"))
    left_out = LeftOut()
    inputs = read_all(tmp_path / "in", left_out, results=tmp_path / "in" / "out")
    assert len(inputs.studies) == 1
    assert left_out == {"out": "is the folder of the results, and nothing in it is read"}


def test_an_instance_that_is_there_twice_counts_once_and_another_one_under_its_uid_is_a_problem(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "in")
    first, second, *_ = (instance.path for instance in study.instances)
    shutil.copy(first, tmp_path / "in" / "z-copy.dcm")
    ds = dcmread(second)
    ds.PatientComments = "other"
    ds.save_as(tmp_path / "in" / "z-other.dcm")
    left_out = LeftOut()
    (found,) = read_all(tmp_path / "in", left_out).studies
    assert len(found.instances) == len(study.instances)
    assert left_out["z-copy.dcm"] == f"is a copy of {first}"
    assert left_out["z-other.dcm"] == f"cannot be read beside {second}: both have one SOPInstanceUID and differ"


def test_a_series_uid_of_two_studies_is_known_to_the_jobs_of_both(tmp_path: Path) -> None:
    one = knee_study(tmp_path / "in" / "a")
    other = knee_study(tmp_path / "in" / "b", person=phantoms.Person("SIM-2"))

    def same_series(index: int, ds: Dataset) -> Dataset:
        ds.SeriesInstanceUID = one.series[0].series_instance_uid
        return ds

    changed(other, same_series)
    left_out = LeftOut()
    jobs = jobs_of(read_all(tmp_path / "in", left_out), "p", "series", left_out)
    assert len({job.name for job in jobs}) == 2
    assert {studies for job in jobs for studies in job.other_studies.values()} == {
        (one.study_instance_uid,),
        (other.study_instance_uid,),
    }


@pytest.mark.parametrize("name", ["with blanks", "Käse und 膝", "a\nline"])
def test_names_of_any_kind_are_read(tmp_path: Path, name: str) -> None:
    study = knee_study(tmp_path / "in" / name)
    inputs = read_all(tmp_path / "in", LeftOut())
    assert [one.study_instance_uid for one in inputs.studies] == [study.study_instance_uid]


def test_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    knee_study(tmp_path / "in")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe")
    left_out = LeftOut()
    read_all(tmp_path / "in", left_out)
    assert set(left_out) == {"up", "pipe"}


def test_what_is_read_is_what_the_node_would_read(tmp_path: Path) -> None:
    study = radiograph_study(tmp_path / "in")
    (found,) = read_all(tmp_path / "in", LeftOut()).studies
    assert found == study == read_studies(path for path in (tmp_path / "in").rglob("*") if path.is_file())[0]
