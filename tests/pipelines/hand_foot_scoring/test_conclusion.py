"""The sentences that a radiologist reads first."""

from __future__ import annotations

from dicom_sr.findings import Result
from pipelines.hand_foot_scoring.conclusion import change_lines, conclusion
from pipelines.hand_foot_scoring.scoring import Cell, certain, progression


def test_the_conclusion_states_the_total_what_is_missing_and_the_change(example_result: Result) -> None:
    total, sens, missing, change = example_result.conclusion
    assert total.startswith("Sharp/van der Heijde score of right hand, left hand, right foot, left foot: ")
    assert "of 448" in total
    assert sens.endswith("of 83 scored cells.")
    assert missing.startswith("3 of 86 cells could not be scored: the total lies between ")
    assert "over 83 cells scored both times, more than the smallest detectable difference of 5.0." in change


def test_without_any_score_there_is_no_total() -> None:
    assert conclusion((), {}, 0.0, None) == ("No joint could be scored.",)


def test_a_small_change_is_no_more_than_the_error_and_healing_is_doubted() -> None:
    cell = Cell("L", "hand", "MCP2", "erosion")
    change, doubt = change_lines(progression({cell: certain(cell, 4)}, {cell: certain(cell, 1)}))
    assert "-3.0 over 1 cells scored both times, not more than the smallest detectable difference" in change
    assert doubt.startswith("Cells that seem to have healed, which cannot be: L MCP2 erosion.")
