"""The division of films by patient."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import (
    SETS,
    GradedFilm,
    SetName,
    divided,
    drawn_set,
    without_overlap,
)


def film(patient: str, asked: SetName | None = None, place: str = "row 2") -> GradedFilm:
    return GradedFilm(Path(f"{patient}.png"), patient, "hand", "L", {}, place, asked_set=asked)


PATIENTS = [f"P{n}" for n in range(400)]


def test_no_patient_is_in_two_sets_and_the_shares_are_about_those_asked_for() -> None:
    films = [film(patient) for patient in PATIENTS for _ in range(3)]
    sets = divided(films, seed=3, shares=(0.6, 0.1, 0.3))
    assert sum(len(members) for members in sets.values()) == len(films)
    patients = {name: {one.patient for one in members} for name, members in sets.items()}
    for name in SETS:
        assert all(not patients[name] & patients[other] for other in SETS if other != name)
    assert len(patients["training"]) == pytest.approx(240, abs=30)  # 3 standard deviations of a binomial share
    assert len(patients["calibration"]) == pytest.approx(40, abs=18)


def test_a_patient_stays_in_the_set_when_others_are_added_and_another_seed_divides_otherwise() -> None:
    few, many = divided([film(p) for p in PATIENTS[:50]], 0), divided([film(p) for p in PATIENTS], 0)
    for name in SETS:
        assert {one.patient for one in few[name]} <= {one.patient for one in many[name]}
    assert [drawn_set(p, 0) for p in PATIENTS] != [drawn_set(p, 1) for p in PATIENTS]


def test_the_data_may_name_the_set_of_a_patient_once_for_all_films() -> None:
    sets = divided([film("A", "test"), film("A"), film("B", "calibration")], 0)
    assert [one.patient for one in sets["test"]] == ["A", "A"]
    assert [one.patient for one in sets["calibration"]] == ["B"]


def test_a_patient_in_two_sets_is_an_error_that_names_both_rows() -> None:
    with pytest.raises(UnreadableData, match=r"row 9: patient 'A' .* 'training' here and in 'test' in row 2"):
        divided([film("A", "test"), film("A", "training", "row 9")], 0)


def test_of_a_published_division_the_test_set_stays_and_what_is_learned_from_gives_way() -> None:
    films = [film("A", "training"), film("A", "test"), film("B", "training"), film("C", "calibration")]
    kept, twice = without_overlap([*films, film("C", "training")])
    assert list(kept) == [films[1], films[2], films[3]]
    assert twice == ("A", "C")
