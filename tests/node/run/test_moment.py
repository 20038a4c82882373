from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from pydicom import Dataset

from dicom_sr.findings import Model, Result
from node.run.moment import moment_of
from pipelines.context import ClinicalContext
from tests.factories import changed, knee_study

MODEL = Model("m", "1", "", "")


def test_objects_hold_the_time_of_the_images(tmp_path: Path) -> None:
    study = knee_study(tmp_path)
    assert moment_of(Result(MODEL, "M", study.series), None) == datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def test_images_that_name_no_day_have_no_time(tmp_path: Path) -> None:
    def undated(index: int, ds: Dataset) -> Dataset:
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(ds, keyword, "")
        return ds

    study = changed(knee_study(tmp_path), undated)
    assert moment_of(Result(MODEL, "M", study.series), None) is None


def test_a_result_without_images_has_the_day_that_was_asked_for() -> None:
    context = ClinicalContext(date(2026, 3, 1), None, "U")
    assert moment_of(Result(MODEL, "M", ()), context) == datetime(2026, 3, 1, tzinfo=UTC)
    assert moment_of(Result(MODEL, "M", ()), None) is None
