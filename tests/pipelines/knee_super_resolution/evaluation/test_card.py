"""What the card says of an evaluation and of the bundle."""

from __future__ import annotations

from pipelines.knee_super_resolution.evaluation import card
from pipelines.knee_super_resolution.evaluation.rows import Row


def row(method: str, psnr_db: float) -> Row:
    return Row("a", 0, 2, method, 0.9, psnr_db, 10 ** (-psnr_db / 20), 0.5, 1.0, coverage_90=0.91)


def test_gains_and_coverage_are_those_of_the_rows() -> None:
    text = card.evaluation_text([row("tricubic", 30), row("learned", 31)])
    assert "| 2 | tricubic | +1.00" in text
    assert "| 2 | 0.910 (0.910-0.910) |" in text


def test_costs_training_and_rivals_are_told_from_the_bundle() -> None:
    assert card.costs_text().count("\n") == 5  # a heading, a rule and four factors
    assert card.training_text().startswith("- `model`: trained on 22 simulated knees")
    assert card.training_text().count("\n") == 4  # a line for each of the four DeepResolve networks
    assert "256 atoms" in card.rivals_text()
