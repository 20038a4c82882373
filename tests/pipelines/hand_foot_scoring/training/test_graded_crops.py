"""Crops of graded joints, and their mixture with simulated ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.crops import Crops, simulated
from pipelines.hand_foot_scoring.sites import CLASS_OF, HAND_SITES
from pipelines.hand_foot_scoring.training.data import ram_h1200
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.graded_crops import FIRST_PATIENT, cut, mixed, ready_crop
from tests.pipelines.hand_foot_scoring.graded_data import own_films
from tests.pipelines.hand_foot_scoring.ram_data import ram_set


@pytest.fixture(scope="module")
def finder(networks: None) -> Finder:
    return Finder(weights.load_localiser(BUNDLE / LOCALISER), load_shapes(BUNDLE / SHAPE))


def test_each_graded_joint_is_cut_where_it_is_marked_with_its_grades(finder: Finder, tmp_path: Path) -> None:
    left, right = own_films(tmp_path, {"A": [("hand", "L"), ("hand", "R")]})
    found = cut([left, right], finder, 0, 0)
    assert found.remarks == ()
    assert len(found.crops) == 44
    assert set(found.crops.patients) == {FIRST_PATIENT}
    row = found.crops.sites.tolist().index(CLASS_OF["hand", "MCP2"])
    grades = {(cell.site, cell.kind): grade for cell, grade in left.grades.items()}
    assert found.crops.erosion[row] == grades["MCP2", "erosion"]
    assert found.crops.narrowing[row] == grades["MCP2", "narrowing"]
    capitate = found.crops.sites.tolist().index(CLASS_OF["hand", "CAPNAVLUN"])
    assert found.crops.erosion[capitate] == -1  # the site has no such score


def test_a_right_hand_is_cut_as_the_mirror_image_of_a_left_one(finder: Finder, tmp_path: Path) -> None:
    """The same bones drawn mirrored give nearly the same crops: noise and half a pixel apart."""
    left, right = own_films(tmp_path, {"A": [("hand", "L"), ("hand", "R")]})
    crops = cut([left, right], finder, 0, 0).crops.floats(slice(None)).reshape(2, 22, -1)
    alike = [np.corrcoef(crops[0, n], crops[1, n])[0, 1] for n in range(22)]
    assert np.median(alike) > 0.8, alike


def test_joints_that_are_not_marked_are_cut_where_they_are_found(finder: Finder, tmp_path: Path) -> None:
    (marked,) = own_films(tmp_path, {"A": [("hand", "L")]})
    found = cut([replace(marked, sites={})], finder, 0, 0)
    assert len(found.crops) >= 18
    reference = cut([marked], finder, 0, 0).crops
    both = [s for s in found.crops.sites.tolist() if s in reference.sites.tolist()]
    alike = [
        np.corrcoef(
            found.crops.floats(slice(None))[found.crops.sites.tolist().index(s)].ravel(),
            reference.floats(slice(None))[reference.sites.tolist().index(s)].ravel(),
        )[0, 1]
        for s in both
    ]
    assert np.median(alike) > 0.5


def test_crops_to_learn_from_come_in_versions_a_little_apart_and_a_state_is_kept(
    finder: Finder, tmp_path: Path
) -> None:
    (film,) = own_films(tmp_path, {"A": [("hand", "L")]})
    one = replace(film, grades={}, states={"MCP3": "prosthesis"})
    crops = cut([one], finder, 0, 3).crops
    assert crops.sites.tolist() == [CLASS_OF["hand", "MCP3"]] * 3
    assert crops.states.tolist() == [1, 1, 1]
    assert crops.erosion.tolist() == [-1, -1, -1]
    images = crops.floats(slice(None)).reshape(3, -1)
    assert 0.5 < np.corrcoef(images[0], images[1])[0, 1] < 0.999


def test_films_that_cannot_be_used_are_named_with_the_reason(finder: Finder, tmp_path: Path) -> None:
    good, other = own_films(tmp_path, {"A": [("hand", "L")], "B": [("foot", "R")]})
    wrong = replace(other, part="hand", sites={}, place="films.csv, row 3")
    found = cut([good, wrong], finder, 0, 0)
    (remark,) = found.remarks
    assert remark == "1 x no right hand was found on it, but right foot (films.csv, row 3)"
    assert found.reasons == ("1 x no right hand was found on it, but right foot",)  # the metadata name no film
    with pytest.raises(UnreadableData, match="no graded joint could be cut from any film: 1 x no right hand"):
        cut([wrong], finder, 0, 0)


def test_what_was_cut_is_found_again_unless_films_or_localiser_are_others(finder: Finder, tmp_path: Path) -> None:
    (film,) = own_films(tmp_path, {"A": [("hand", "L")]})
    store = tmp_path / "crops.training"
    first = cut([film], finder, 0, 0, "one", store)
    calls: list[int] = []
    again = cut([film], finder, 0, 0, "one", store, calls.append)
    assert not calls
    assert all(np.array_equal(getattr(first.crops, n), getattr(again.crops, n)) for n in Crops.__dataclass_fields__)
    cut([film], finder, 0, 0, "two", store, calls.append)
    assert calls == [1]
    cut([replace(film, grades=dict.fromkeys(film.grades, 0.0))], finder, 0, 0, "two", store, calls.append)
    assert calls == [1, 1]


def test_published_crops_are_used_where_there_is_no_film_and_right_hands_are_mirrored(
    finder: Finder, tmp_path: Path
) -> None:
    folder = ram_set(tmp_path, films=False)
    films = ram_h1200.read(folder).films
    found = cut(films[:2], finder, 0, 3)
    assert len(found.crops) == 2 * len(HAND_SITES)  # in one version only: they cannot be cut otherwise
    path = films[1].crops["MCP2"]
    assert films[1].side == "R"
    assert np.array_equal(ready_crop(path, True), _reversed(path))


def _reversed(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        small = Image.fromarray(np.asarray(image, np.float32)).resize((64, 64), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(small, np.float32)[:, ::-1])


def crops_of(seed: int, patients: int) -> Crops:
    return simulated(seed, patients, even=1, children=0, sites_each=2)


def test_the_mixture_has_the_share_of_real_crops_that_was_asked_for() -> None:
    made, real = crops_of(0, 6), crops_of(1, 1)
    real = replace(real, patients=real.patients + FIRST_PATIENT)
    for share in (0.25, 0.5, 0.75):
        whole = mixed(made, real, share, seed=0)
        assert (whole.patients >= FIRST_PATIENT).mean() == pytest.approx(share, abs=0.02)
        taken = [tuple(image.ravel()[:400]) for image in whole.images[whole.patients >= FIRST_PATIENT]]
        counts = [taken.count(one) for one in set(taken)]
        assert max(counts) - min(counts) <= 1  # each as often as the others
    assert mixed(made, real, 1.0, 0) is real
    assert len(mixed(made, real, 0.0, 0)) == len(made)
