from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicom_sr.findings import Result
from dicom_sr.profile import EncodingProfile
from pipelines.example import Example
from tests.dicom_sr import validation, validators

pytestmark = [pytest.mark.validators, pytest.mark.dcmtk, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("validation")


@pytest.fixture(scope="module")
def examples(folder: Path) -> dict[str, Example]:
    return validation.small_examples(folder)


@pytest.fixture(scope="module")
def rows(folder: Path, examples: dict[str, Example]) -> list[validation.Row]:
    return validation.validate(folder, examples, everything=False)


def test_no_validator_finds_an_error_in_any_object_of_any_pipeline(rows: list[validation.Row]) -> None:
    found = [
        f"{r.example} {r.kind} {tool}: {p}" for r in rows for tool, problems in r.problems.items() for p in problems
    ]
    assert found == []


def test_no_validator_finds_an_error_in_a_report_in_the_form_for_ohif(
    tmp_path: Path, examples: dict[str, Example]
) -> None:
    form = EncodingProfile(kinds=("report",), viewer="ohif")
    some = {name: examples[name] for name in ("joint_classification", "every_kind")}
    rows = validation.validate(tmp_path, some, everything=False, profile=form)
    of_one_file = {*validation.TOOLS} - {"dcentvfy"}  # which looks for the sources
    found = [(tool, p) for row in rows for tool, problems in row.problems.items() for p in problems]
    assert {tool for row in rows for tool in row.problems} >= of_one_file
    assert [one for one in found if one[0] in of_one_file] == []


def test_every_tool_checked_every_kind_of_object_that_it_is_for(rows: list[validation.Row]) -> None:
    checked = {tool: {row.kind for row in rows if tool in row.problems} for tool in validation.TOOLS}
    templates = {"Comprehensive 3D SR Storage", "Comprehensive SR Storage", "Comprehensive SR Storage, assessment"}
    key_objects = "Key Object Selection Document Storage"
    reports = {*templates, "Enhanced SR Storage", key_objects, f"{key_objects}, rejection note"}
    on_a_grid = {"Segmentation Storage", "Label Map Segmentation Storage", "Parametric Map Storage"}
    pictures = {"MR Image Storage", "Secondary Capture Image Storage", "Grayscale Softcopy Presentation State Storage"}
    others = {"Color Softcopy Presentation State Storage", "Encapsulated PDF Storage"}
    everything = reports | on_a_grid | pictures | others
    assert checked == {
        "dciodvfy": everything,
        "dcentvfy": everything,
        "PixelMed": reports,
        "dcmqi": templates | on_a_grid,
        "DCMTK": reports | pictures,
        "highdicom": everything,
    }
    assert {row.example for row in rows} == {
        *("knee_super_resolution", "hand_foot_scoring", "joint_classification", "knee_oa_risk", "not_run", "every_kind")
    }


def test_the_scores_that_are_checked_are_of_a_hand_and_of_a_foot(examples: dict[str, Example]) -> None:
    result = examples["hand_foot_scoring"].result
    assert isinstance(result, Result)
    regions = {f.site.region.meaning for f in result.findings if f.site}
    assert regions >= {"Hand", "Finger Joint", "Wrist joint", "Foot", "Toe"}


def test_the_page_of_the_table_is_up_to_date(rows: list[validation.Row]) -> None:
    lines = [line for line in validation.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [line[:3] for line in cells] == [[r.example, r.kind, str(r.count)] for r in rows], "see validation.py's top"
    for line, row in zip(cells, rows, strict=True):
        for tool, on_page, found in zip(validation.TOOLS, line[3:], validation.cells(row), strict=True):
            # PixelMed is not given all objects here, but all of them by the command that writes the page
            assert on_page == found or (tool, found) == ("PixelMed", "–"), (row.example, row.kind, tool)


# ---- the checks themselves must be seen to fail
@pytest.fixture
def broken(tmp_path: Path) -> Path:
    from tests.factories import knee_study

    path = knee_study(tmp_path).instances[0].path
    ds = pydicom.dcmread(path)
    ds.ImageType = ["DERIVED", "SECONDARY"]  # value 3 is mandatory in MR, and dciodvfy's exit code is 0 without it
    ds.save_as(path)
    return path


def test_dciodvfy_is_seen_to_find_an_error(broken: Path) -> None:
    errors, _ = validators.dciodvfy(broken)
    assert errors


def test_dcentvfy_is_seen_to_find_a_difference(tmp_path: Path) -> None:
    from tests.factories import knee_study

    paths = [i.path for i in knee_study(tmp_path).instances]
    ds = pydicom.dcmread(paths[0])
    ds.PatientSex = "F"
    ds.save_as(paths[0])
    errors, _ = validators.dcentvfy(paths)
    assert errors


def test_what_pixelmed_complains_of_on_standard_error_is_not_taken_for_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "echo Report: a.dcm; echo Found EnhancedSR IOD; echo \"ERROR:  'no such function'\" >&2"
    monkeypatch.setattr(validators, "_JAVA", ("sh", "-c", told))
    with pytest.raises(RuntimeError, match="no such function"):
        validators.pixelmed([Path("a.dcm")])
