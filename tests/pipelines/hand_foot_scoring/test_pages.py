"""Captures of the example: a picture for each limb, a table of scores, maps of the worst joints, images to look at."""

from __future__ import annotations

from dicom_sr.findings import ImagePanel, Result, TablePanel
from pipelines.hand_foot_scoring.pages import HEATMAPS


def test_every_limb_has_a_picture_with_its_joints_and_a_table(example_result: Result) -> None:
    *pictures, scores = example_result.pages
    assert [page.title.rpartition(": ")[2] for page in pictures] == [
        "right hand",
        "left hand",
        "right foot",
        "left foot",
    ]
    marks = [len(panel.marks) for page in pictures for panel in page.panels if isinstance(panel, ImagePanel)]
    assert marks == [22, 22, 6, 6]
    dashed = [
        m.label
        for p in pictures
        for panel in p.panels
        if isinstance(panel, ImagePanel)
        for m in panel.marks
        if m.dashed
    ]
    assert dashed == ["CMC5", "MTP5"]
    assert len(scores.panels) == 4


def test_the_table_marks_what_was_not_evaluable_and_what_has_no_such_score(example_result: Result) -> None:
    left_hand = example_result.pages[-1].panels[1]
    assert isinstance(left_hand, TablePanel)
    rows = {row[0]: row[1:] for row in left_hand.rows}
    assert rows["CMC5"] == ("-", "n/e")
    assert rows["IP1"][1] == "-"  # the thumb's interphalangeal joint has no narrowing score
    assert "n/e CMC5: A cast, ring or other object covers the joint." in left_hand.caption


def test_maps_are_of_as_many_joints_as_are_shown_each_once(example_result: Result) -> None:
    labels = [heat.label for heat in example_result.heatmaps]
    assert len(labels) == HEATMAPS == len({label.rsplit(" ", 2)[0] for label in labels})


def test_films_with_progression_are_flagged(example_result: Result) -> None:
    assert example_result.flags
    assert all(flag.reason.startswith("Progression: ") for flag in example_result.flags)
