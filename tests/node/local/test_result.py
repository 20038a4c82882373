"""A result shows itself, and saves itself as `condyle run` would have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_sr import phantoms
from node.local.result import LocalResult, LocalResults
from node.local.running import LocalPipeline
from tests.factories import knee_study

PERSON = phantoms.Person("ID-4711", "Doe^Jane")


@pytest.fixture
def result(tmp_path: Path) -> LocalResult:
    knee_study(tmp_path / "in", person=PERSON)
    found = LocalPipeline("odd", behaviour="segment")(tmp_path / "in")
    assert isinstance(found, LocalResult)
    return found


@pytest.fixture
def results(tmp_path: Path) -> LocalResults:
    for name in ("1", "2"):
        knee_study(tmp_path / "several" / name, person=phantoms.Person(f"SIM-{name}"))
    found = LocalPipeline("odd")(tmp_path / "several")
    assert isinstance(found, LocalResults)
    return found


def test_a_result_is_saved_with_everything(tmp_path: Path, result: LocalResult) -> None:
    folder = result.save(tmp_path / "out")
    assert folder == tmp_path / "out" / result.name
    summary = json.loads((folder / "summary.json").read_text())
    assert {key: summary[key] for key in result.summary} == result.summary
    assert len(summary["objects"]) == len(result.objects)
    for item in summary["objects"]:
        assert dcmread(folder / item["file"]).SOPInstanceUID == item["sop_instance_uid"]
    assert summary["nifti"] == ["nifti/segment_bright_tissue.nii.gz"]
    assert (tmp_path / "out" / "index.html").exists()
    assert not [name for name in ("Doe", "ID-4711") if name in (folder / "summary.json").read_text()]


def test_what_is_not_wanted_is_not_written(tmp_path: Path, result: LocalResult) -> None:
    folder = result.save(tmp_path / "out", nifti=False, preview=False)
    assert sorted(path.name for path in folder.iterdir()) == ["captures", "objects", "summary.json"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [folder.name]


def test_several_results_are_saved_all_or_none(tmp_path: Path, results: LocalResults) -> None:
    results[1].save(tmp_path / "out", preview=False)
    with pytest.raises(FileExistsError):
        results.save(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [results[1].name]
    made = results.save(tmp_path / "out", overwrite=True)
    assert [folder.name for folder in made] == [result.name for result in results]


def test_a_notebook_shows_state_conclusion_and_captures(result: LocalResult, results: LocalResults) -> None:
    shown = result._repr_html_()
    assert "done" in shown
    assert "A mean." in shown
    assert shown.count("data:image/png;base64,") == len(result.captures) == 1
    assert (result._repr_png_() or b"").startswith(b"\x89PNG")
    assert results._repr_html_().count("<section>") == 2


def test_a_repr_names_no_patient(result: LocalResult, results: LocalResults) -> None:
    assert "Doe" not in repr(result)
    assert "ID-4711" not in repr(result)
    assert repr(results).startswith(f"LocalResults([LocalResult(state='done', name={results[0].name!r})")


def test_one_result_can_be_gone_through_as_several_can(result: LocalResult, results: LocalResults) -> None:
    assert list(result) == [result]
    assert [one.name for one in results] == [summary["folder"] for summary in results.summaries]
    assert len(results.measurement_rows) == sum(len(one.measurement_rows) for one in results)
    assert results.volumes == []


def test_the_files_of_a_result_go_with_it(tmp_path: Path) -> None:
    knee_study(tmp_path / "in", person=PERSON)
    found = LocalPipeline("odd")(tmp_path / "in")
    paths = [item.path for one in found for item in one.objects]
    assert all(path.exists() for path in paths)
    del found
    assert not any(path.exists() for path in paths)
