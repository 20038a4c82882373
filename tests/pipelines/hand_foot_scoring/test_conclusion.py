"""The sentences that a radiologist reads first."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from dicom_sr.findings import ImageReference, Result, TablePanel
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.conclusion import change_lines, conclusion
from pipelines.hand_foot_scoring.example import _MadeUpReader
from pipelines.hand_foot_scoring.films import Film, LimbFilm, choose, read_header, readings
from pipelines.hand_foot_scoring.findings import findings
from pipelines.hand_foot_scoring.pages import pages
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reason, certain, progression
from pipelines.hand_foot_scoring.sites import Side


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
    assert "-3.0 over 1 cell scored both times, not more than the smallest detectable difference" in change
    assert doubt.startswith("Cells that seem to have healed, which cannot be: L MCP2 erosion.")


def limb(side: Side = "L", **texts: str) -> LimbFilm:
    """A hand that no network has seen, on a film whose header says `texts`."""
    header = Dataset()
    for keyword, text in texts.items():
        setattr(header, keyword, text)
    array = np.zeros((300, 240), np.float32)
    read = _MadeUpReader([("hand", side)], 1.0).read(array)
    film = Film(ImageReference("1.2"), array, None, read_header(header), read.limbs, read.sight)
    return choose([film])[0][0]


def test_a_limb_of_which_nothing_was_scored_is_named_beside_the_total_of_the_others() -> None:
    scored, noisy = limb("L"), limb("R")
    cells = {**scored.reading.cells, **dict.fromkeys(noisy.reading.cells, NotScored(Reason.NOISE))}
    lines = conclusion([noisy, scored], cells, 0.1, None)
    assert lines[0].startswith("Sharp/van der Heijde score of right hand, left hand: ")
    assert lines[1] == f"No joint of the right hand could be scored. 31 cells: {Reason.NOISE.value}."
    assert not any(line.startswith("No joint") for line in conclusion([scored], cells, 0.1, None))


def test_where_nothing_was_scored_the_reasons_stand_in_place_of_a_total() -> None:
    chosen = limb(Laterality="R")
    assert conclusion([chosen], readings([chosen]), 0.1, None) == (
        "No joint could be scored.",
        "The header says right, the picture shows a left hand: this limb was not counted.",
    )
    alike = limb()
    unlike = dict.fromkeys(alike.reading.cells, NotScored(Reason.UNLIKE))
    assert conclusion([alike], unlike, 0.1, None) == (
        "No joint could be scored.",
        "31 cells: the joint looks unlike the training data.",
    )


def test_a_sum_of_which_nothing_was_scored_is_nowhere_zero() -> None:
    chosen = limb()
    narrowing = {
        cell: reading if cell.kind == "narrowing" else NotScored(Reason.COVERED)
        for cell, reading in chosen.reading.cells.items()
    }
    lines = conclusion([chosen], narrowing, 0.1, None)
    assert "(erosion not scored, narrowing " in lines[0]
    numbers = {m.name for f in findings([chosen], narrowing, 0.1)[0] for m in f.measurements}
    assert not numbers & {codes.SVH_ERO_LIMB, codes.SVH_ERO_TOTAL}
    assert {codes.SVH_JSN_LIMB, codes.SVH_JSN_TOTAL, codes.SVH_TOTAL} <= numbers
    *_, scores = pages("Scores", [chosen], narrowing, lines, 0.1)
    (table,) = scores.panels
    assert isinstance(table, TablePanel)
    assert table.rows[-1][:2] == ("sum", "n/e")


def test_the_page_of_a_limb_that_was_not_counted_does_not_show_the_total_of_others() -> None:
    limbs = [limb("R"), limb("L", Laterality="R")]
    lines = conclusion(limbs, readings(limbs), 0.1, None)
    counted, not_counted, _ = pages("Scores", limbs, readings(limbs), lines, 0.1)
    assert counted.summary == lines[:1]
    assert not_counted.summary == ("The header says right, the picture shows a left hand: this limb was not counted.",)


def test_the_page_of_a_limb_of_which_nothing_was_scored_says_why_and_shows_no_total() -> None:
    limbs = [limb("R"), limb("L")]
    noisy = {cell: NotScored(Reason.NOISE) for cell in limbs[0].reading.cells}
    read = readings(limbs) | noisy
    lines = conclusion(limbs, read, 0.1, None)
    right, left, _ = pages("Scores", limbs, read, lines, 0.1)
    assert right.summary == (
        "No joint could be scored.",
        "31 cells: the picture is too noisy: its grain looks like damage of bones.",
    )
    assert left.summary == lines[:1]


def test_without_a_cell_that_was_scored_both_times_there_is_no_change() -> None:
    one, other = (Cell("L", "hand", site, "erosion") for site in ("MCP2", "MCP3"))
    progress = progression({one: certain(one, 1)}, {other: certain(other, 1)})
    assert change_lines(progress) == [
        "Change since the prior reading: none can be given, no cell was scored both times."
    ]
