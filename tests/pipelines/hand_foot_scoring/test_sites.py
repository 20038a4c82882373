"""Sites and classes."""

from __future__ import annotations

from pipelines.hand_foot_scoring.scoring import CELLS
from pipelines.hand_foot_scoring.sites import CLASS_OF


def test_every_cell_has_a_class_in_the_network() -> None:
    assert {(cell.limb, cell.site) for cell in CELLS} == set(CLASS_OF)
