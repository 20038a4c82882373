"""A report as text says what the report says, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read import report_text
from dicom_sr.read.report_text import HOW, ReportLine, ReportText, report_text_in
from tests.dicom_sr.example_digests import written_in


@pytest.fixture(scope="module")
def texts(examples_folder: Path) -> dict[str, ReportText]:
    """The first report of each example, by the example's name."""
    first = {
        name: next(one.path for one in objects if one.kind == "report")
        for name, objects in written_in(examples_folder).items()
        if any(one.kind == "report" for one in objects)
    }
    return {name: report_text_in(path.read_bytes()) for name, path in first.items()}


@pytest.mark.parametrize(
    ("example", "title", "told"),
    [
        ("hand_foot_scoring", "Imaging Measurement Report", ReportLine(2, "Erosion score", "0.75 (0 to 5)")),
        ("joint_classification", "Imaging Measurement Report", ReportLine(1, "Joint classification L MCP2")),
        ("knee_super_resolution", "Imaging Measurement Report", ReportLine(0, HOW)),
        ("knee_oa_risk", "Knee osteoarthritis risk report", ReportLine(0, HOW)),
        ("not_run", "Imaging Measurement Report", ReportLine(0, HOW)),
    ],
)
def test_the_report_of_each_pipeline_can_be_read(
    texts: dict[str, ReportText], example: str, title: str, told: ReportLine
) -> None:
    text = texts[example]
    assert (text.title, text.is_whole) == (title, True)
    assert told in text.lines
    assert text.lines[0].value  # a conclusion or a comment comes first
    headings = [(line, after) for line, after in zip(text.lines, text.lines[1:], strict=False) if not line.value]
    assert all(after.level == line.level + 1 for line, after in headings)  # none is empty


def test_a_site_is_told_in_one_line_and_the_algorithm_once(texts: dict[str, ReportText]) -> None:
    lines = texts["hand_foot_scoring"].lines
    assert ReportLine(2, "Finding Site", "Thumb, Right, First metacarpophalangeal joint") in lines
    assert [line.value for line in lines if line.name == "Algorithm Name"] == ["hand_foot_scoring"]


def test_a_report_without_end_is_cut_and_says_so(examples_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = written_in(examples_folder)["joint_classification"]
    content = next(one.path for one in objects if one.kind == "report").read_bytes()
    monkeypatch.setattr(report_text, "MOST_LINES", 7)
    text = report_text_in(content)
    assert (len(text.lines), text.is_whole) == (7, False)


def test_what_is_no_report_is_refused_and_names_nobody(examples_folder: Path) -> None:
    objects = written_in(examples_folder)["joint_classification"]
    picture = next(one.path for one in objects if one.kind == "secondary_capture")
    with pytest.raises(UnsuitableInput, match="it is no structured report"):
        report_text_in(picture.read_bytes())
    name = str(pydicom.dcmread(picture).PatientName)
    with pytest.raises(UnsuitableInput) as refused:
        report_text_in(picture.read_bytes()[200:])
    assert name not in str(refused.value)
    assert "Thumb" not in repr(ReportLine(0, "Site", "Thumb"))
