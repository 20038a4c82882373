"""The numbers of a result as rows, and as a data frame where pandas is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from dicom_sr.findings import Finding, Measurement, Model, NotEvaluable, Result, Site
from node.local.measurements import COLUMNS, as_data_frame, rows
from tests.factories import knee_study
from tests.needs import missing


@pytest.fixture
def result(tmp_path: Path) -> Result:
    study = knee_study(tmp_path)
    numbers = (
        Measurement(codes.SCT.Length, 12.5, codes.UCUM.Millimeter, interval=(11.0, 14.0), interval_level=0.95),
        Measurement(codes.SCT.Width, 3.0, codes.UCUM.Millimeter, standard_deviation=0.5),
    )
    finding = Finding("Bone 1", codes.SCT.Bone, Site(codes.SCT.Knee, "L"), measurements=numbers)
    unseen = NotEvaluable("Bone 2", codes.SCT.Bone, codes.SCT.Bone, "it is not on the images", Site(codes.SCT.Knee))
    return Result(Model("m", "1", "", ""), "M", study.series, findings=(finding,), not_evaluable=(unseen,))


def test_each_measurement_is_a_row_with_where_and_how_sure(result: Result) -> None:
    first, second, _ = rows(result)
    assert tuple(first) == COLUMNS
    (series,) = result.evidence
    assert first["series_instance_uid"] == series.series_instance_uid
    assert [first[key] for key in ("tracking_id", "finding", "site", "laterality")] == ["Bone 1", "Bone", "Knee", "L"]
    assert [first[key] for key in ("measurement", "value", "unit")] == ["Length", 12.5, "mm"]
    assert [first[key] for key in ("interval_low", "interval_high", "interval_level")] == [11.0, 14.0, 0.95]
    assert (second["standard_deviation"], second["interval_low"], second["interval_level"]) == (0.5, None, None)


def test_what_could_not_be_evaluated_is_a_row_without_a_number(result: Result) -> None:
    *_, last = rows(result)
    assert (last["tracking_id"], last["value"], last["reason"]) == ("Bone 2", None, "it is not on the images")


def test_the_data_frame_has_a_row_for_each_and_its_columns_even_when_empty(result: Result) -> None:
    try:
        import pandas
    except ImportError:
        missing("pandas is not installed")
    frame = as_data_frame(rows(result))
    assert list(frame.columns) == list(as_data_frame([]).columns) == list(COLUMNS)
    assert frame["value"].tolist()[:2] == [12.5, 3.0]
    assert pandas.isna(frame["value"].iloc[2])


def test_without_pandas_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install pandas; measurement_rows has the same"):
        as_data_frame([])
