"""Rows, their intervals and paired gains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.knee_super_resolution.evaluation.rows import Row, gains, interval, markdown, rows_of, write_rows


def row(volume: str, method: str, psnr_db: float) -> Row:
    return Row(volume, 0, 2, method, 0.9, psnr_db, 10 ** (-psnr_db / 20), 0.5, 1.0)


def test_gains_are_paired_by_volume() -> None:
    rows = [row("a", "tricubic", 30), row("a", "learned", 31), row("b", "tricubic", 40), row("b", "learned", 43)]
    (cell, _), *_ = gains(rows, "tricubic").values()
    assert cell.mean == pytest.approx(2.0)
    assert (cell.low, cell.high) == (1.0, 3.0)


def test_the_interval_holds_the_mean() -> None:
    values = list(np.random.default_rng(0).normal(5, 1, 50))
    low, high = interval(values, [str(number) for number in range(50)])
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(4 * np.std(values) / np.sqrt(50), rel=0.15)


def test_several_rows_of_a_subject_do_not_make_the_interval_narrower() -> None:
    values, subjects = [1.0, 2.0, 4.0], ["a", "b", "c"]
    assert interval(values * 10, subjects * 10) == pytest.approx(interval(values, subjects))
    assert interval([1.0, 3.0], ["a", "a"]) == (2.0, 2.0)  # one subject tells nothing of others


def test_rows_come_back_from_the_file_that_the_evaluation_writes(tmp_path: Path) -> None:
    rows = [row("a", "tricubic", 30), row("b", "learned", 31)]
    write_rows(tmp_path / "rows.json", rows)
    assert rows_of(tmp_path / "rows.json") == rows


def test_the_table_has_a_line_for_each_factor_and_method() -> None:
    lines = markdown([row("a", "tricubic", 30), row("a", "learned", 31), row("b", "learned", 33)]).splitlines()
    assert len(lines) == 2 + 2
    assert lines[3].startswith("| 2 | learned | 0.9000")
    assert "32.00" in lines[3]
    assert lines[3].endswith("| 2 |")
