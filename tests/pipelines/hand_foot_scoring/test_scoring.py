"""The rules of the score, worked out by hand."""

from __future__ import annotations

import pytest

from pipelines.hand_foot_scoring.scoring import (
    CELLS,
    Cell,
    NotPresent,
    NotScored,
    Reading,
    Reason,
    Scored,
    certain,
    progression,
    sens,
    total,
)

# the columns of the RA2-DREAM tables of one hand and one foot, typed from the challenge's own naming
HAND_COLUMNS = {
    "mcp_E__ip",
    *(f"mcp_{k}__{n}" for k in "EJ" for n in range(1, 6)),
    *(f"pip_{k}__{n}" for k in "EJ" for n in range(2, 6)),
    *(f"wrist_E__{n}" for n in ("mc1", "mul", "nav", "lunate", "ulna", "radius")),
    *(f"wrist_J__{n}" for n in ("cmc3", "cmc4", "cmc5", "mna", "capnlun", "radcar")),
}
FOOT_COLUMNS = {f"mtp_{k}__{n}" for k in "EJ" for n in ("ip", "1", "2", "3", "4", "5")}


def all_at(grade: int) -> dict[Cell, Reading]:
    return {cell: certain(cell, min(grade, cell.maximum)) for cell in CELLS}


def test_there_are_86_cells_with_the_published_numbers_per_limb() -> None:
    count = {
        (side, limb, kind): sum((c.side, c.limb, c.kind) == (side, limb, kind) for c in CELLS)
        for side in "LR"
        for limb in ("hand", "foot")
        for kind in ("erosion", "narrowing")
    }
    for side in "LR":
        assert [count[side, "hand", "erosion"], count[side, "hand", "narrowing"]] == [16, 15]
        assert [count[side, "foot", "erosion"], count[side, "foot", "narrowing"]] == [6, 6]
    assert len(CELLS) == len(set(CELLS)) == 86


def test_the_maxima_are_280_168_and_448() -> None:
    erosion = total(all_at(10), [c for c in CELLS if c.kind == "erosion"])
    narrowing = total(all_at(10), [c for c in CELLS if c.kind == "narrowing"])
    assert (erosion.raw, narrowing.raw, total(all_at(10)).raw) == (280.0, 168.0, 448.0)


def test_every_cell_has_its_column_in_the_challenge_tables() -> None:
    expected = {f"{side}H_{name}" for side in "LR" for name in HAND_COLUMNS}
    expected |= {f"{side}F_{name}" for side in "LR" for name in FOOT_COLUMNS}
    assert {cell.column for cell in CELLS} == expected


def test_a_cell_that_could_not_be_read_is_never_counted_as_zero() -> None:
    readings = all_at(1)  # 86 cells of grade 1
    blind = Cell("R", "foot", "MTP1", "erosion")  # at most 10
    readings[blind] = NotScored(Reason.PROSTHESIS)
    found = total(readings)
    assert found.raw == 85
    low, high = found.bounds
    assert (low, high) == (85, 95)
    assert found.prorated == pytest.approx(85 * 448 / 438)
    assert not found.complete


def test_a_missing_reading_widens_the_bounds_and_a_joint_that_is_not_there_does_not() -> None:
    readings = all_at(0)
    gone, unread = Cell("L", "hand", "PIP3", "erosion"), Cell("L", "hand", "PIP3", "narrowing")
    readings[gone] = NotPresent()
    del readings[unread]
    assert total(readings).bounds == (0.0, 4.0)
    assert total(readings).scored == 84


def test_a_total_without_any_reading_has_no_prorated_value() -> None:
    assert total({}).prorated is None
    assert total({}).bounds == (0.0, 448.0)


def test_the_score_is_the_weighted_mean_and_not_the_likeliest_grade() -> None:
    reading = Scored((0.5, 0.0, 0.3, 0.2, 0.0))
    assert reading.expected == pytest.approx(0.3 * 2 + 0.2 * 3)
    assert reading.grade == 0
    assert reading.standard_deviation == pytest.approx((0.3 * 4 + 0.2 * 9 - 1.2**2) ** 0.5)


def test_a_half_grade_of_two_readers_lies_between_two_grades() -> None:
    cell = Cell("L", "hand", "MCP2", "erosion")
    assert certain(cell, 2.5).probabilities == (0, 0, 0.5, 0.5, 0, 0)
    assert certain(cell, 5).expected == 5
    with pytest.raises(ValueError, match="0 to 5"):
        certain(cell, 6)


def test_the_interval_widens_when_errors_go_together() -> None:
    doubtful = {cell: Scored((0.5, 0.5) + (0.0,) * (cell.maximum - 1)) for cell in CELLS}
    alone, together = total(doubtful), total(doubtful, correlation=1.0)
    assert alone.standard_deviation == pytest.approx(0.5 * 86**0.5)
    assert together.standard_deviation == pytest.approx(0.5 * 86)
    assert together.interval[0] < alone.interval[0] < 43 < alone.interval[1] < together.interval[1]


def test_sens_counts_damaged_cells_whatever_their_grade() -> None:
    readings = all_at(0)
    readings[Cell("L", "foot", "MTP5", "erosion")] = certain(Cell("L", "foot", "MTP5", "erosion"), 9)
    readings[Cell("L", "foot", "MTP5", "narrowing")] = certain(Cell("L", "foot", "MTP5", "narrowing"), 1)
    readings[Cell("R", "foot", "MTP5", "narrowing")] = NotScored(Reason.CROPPED)
    assert sens(readings) == (2, 85)
    assert sens(all_at(10)) == (86, 86)


def test_a_change_counts_only_cells_scored_both_times_and_above_five_units() -> None:
    before, now = all_at(0), all_at(0)
    for site in ("MCP1", "MCP2", "MCP3", "MCP4", "MCP5"):
        now[Cell("R", "hand", site, "erosion")] = certain(Cell("R", "hand", site, "erosion"), 1)
    found = progression(before, now)
    assert found.total.difference == 5.0
    assert not found.beyond_error  # not more than the smallest detectable difference
    now[Cell("R", "hand", "PIP2", "erosion")] = certain(Cell("R", "hand", "PIP2", "erosion"), 1)
    before[Cell("L", "hand", "PIP2", "erosion")] = NotScored(Reason.COVERED)
    found = progression(before, now)
    assert found.beyond_error
    assert (len(found.cells), found.left_out) == (85, 1)
    assert len(found.progressed) == 6


def test_an_erosion_that_seems_to_have_healed_is_pointed_out() -> None:
    cell = Cell("L", "hand", "MCP3", "erosion")
    before, now = all_at(0), all_at(0)
    before[cell] = certain(cell, 4)
    now[cell] = certain(cell, 1)
    assert progression(before, now).impossible == (cell,)
    now[cell] = certain(cell, 3)
    assert progression(before, now).impossible == ()
