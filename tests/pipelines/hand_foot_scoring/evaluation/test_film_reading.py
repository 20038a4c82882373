"""A picture file is read as the node reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring import films, weights
from pipelines.hand_foot_scoring.evaluation.film_reading import read_file
from pipelines.hand_foot_scoring.reading import Reader, pooled
from pipelines.hand_foot_scoring.simulation.sample import film_of


@pytest.fixture(scope="module")
def reader(networks: None) -> Reader:
    return Reader(weights.load())


def stored(path: Path, age: float | None = None) -> Path:
    """A simulated hand in a file."""
    image = film_of("hand", "R", 3, severity=0.6, age=age).image
    Pillow.fromarray(np.asarray(np.clip(image * 200, 0, 255), np.uint8)).save(path)
    return path


def test_scores_lean_on_other_joints_as_they_are_told_to(reader: Reader, tmp_path: Path) -> None:
    path = stored(tmp_path / "hand.png")
    alone, patient = (read_file(path, reader, pooling) for pooling in ("alone", "patient"))
    assert alone.cells == films.readings(alone.limbs)
    assert patient.cells == pooled(alone.cells, reader.trained.calibration, "patient")
    assert patient.total != alone.total
    assert patient.scored == alone.scored > 20


def test_a_picture_that_is_refused_has_no_cells(reader: Reader, tmp_path: Path) -> None:
    child = read_file(stored(tmp_path / "child.png", age=9.0), reader, "patient")
    assert "growth plates" in child.refusal
    assert not child.cells
    assert child.limbs, "what it was taken for is said"
