"""Charts of an evaluation: what is drawn lies at its value."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_sr.capture.drawing import ACCENT, STRIPE, WARNING
from pipelines.hand_foot_scoring.evaluation.charts import Chart, bland_altman, confusion_tables, reliability_chart
from pipelines.hand_foot_scoring.evaluation.graded import LimitsOfAgreement, StudyTotal


def near(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 40) -> np.ndarray:
    return np.asarray(np.abs(picture.astype(int) - colour).max(axis=-1) < tolerance)


def test_a_point_lies_where_its_values_say() -> None:
    chart = Chart((400, 300), "", ("x", "y"), (0.0, 10.0), (-1.0, 1.0))
    chart.dot(5.0, 0.5, ACCENT)
    x, y = (value / 2 for value in chart.at(5.0, 0.5))
    rows, columns = np.nonzero(near(np.asarray(chart.done()), ACCENT))
    assert (columns.mean(), rows.mean()) == pytest.approx((x, y), abs=1)
    left, low = chart.at(0.0, -1.0)
    right, high = chart.at(10.0, 1.0)
    assert x == pytest.approx((left + right) / 4)
    assert y == pytest.approx((low + 3 * (high - low) / 4) / 2)


def total(read: float, reference: float) -> StudyTotal:
    return StudyTotal("A", 31, 140, read, reference, 4.0)


@pytest.mark.parametrize("count", [1, 2, 90])
def test_totals_are_drawn_with_their_bias_also_where_there_is_one_only(count: int) -> None:
    sums = [total(10 + n, 8) for n in range(count)]
    picture = np.asarray(bland_altman(sums, LimitsOfAgreement.of([one.difference for one in sums])))
    assert picture.shape == (600, 900, 3)
    lines = (near(picture, WARNING).mean(axis=1) > 0.5).sum()
    assert lines > 0  # the bias
    assert near(picture, ACCENT).sum() > 20


def test_the_diagonal_of_a_reliability_chart_is_where_confidence_is_what_comes_true() -> None:
    picture = np.asarray(reliability_chart("narrowing", [(0.5, 0.5, 10), (0.9, 0.9, 90)], 0.0))
    assert picture.shape == (540, 560, 3)
    assert near(picture, ACCENT).sum() > 100


def test_a_table_of_confusion_colours_the_cells_that_have_any() -> None:
    counts = np.zeros((6, 6), np.int64)
    counts[0, 0], counts[3, 2] = 7, 1
    picture = np.asarray(confusion_tables("hand_erosion", {"MCP": counts, "wrist": counts}))
    empty = near(picture, STRIPE, 4).sum()
    one = np.zeros((6, 6), np.int64)
    fuller = np.asarray(confusion_tables("hand_erosion", {"MCP": one, "wrist": one}))
    assert near(fuller, STRIPE, 4).sum() - empty == pytest.approx(2 * 2 * 53 * 53, rel=0.1)  # two cells in two tables
