"""The mixture of rendered and painted patients that the heads learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.crops import STORED
from pipelines.hand_foot_scoring.simulation.marked import marked
from pipelines.hand_foot_scoring.training.mixture import painted_patients, simulated_patients


def test_without_films_all_patients_are_rendered() -> None:
    assert set(simulated_patients(0, 2, None, even=0.5, children=0).patients) == {0, 1}


def test_without_a_marked_picture_nothing_can_be_painted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no marked picture of a healthy hand"):
        painted_patients(tmp_path, 0, 1, 0.5)


def test_some_of_the_patients_are_painted_where_there_are_films(shared_data: Path) -> None:
    films = shared_data
    assert any(picture.picture(films) for picture in marked("training"))
    crops = simulated_patients(0, 2, films, even=1.0, children=0)
    assert crops.images.shape[1:] == (STORED, STORED)
    rendered, painted = (crops.patients == patient for patient in (0, 1))
    assert rendered.sum() == 56
    assert painted.sum() >= 50  # a joint of an amputated finger has no crop
    assert np.unique(crops.erosion[painted]).size > 4
