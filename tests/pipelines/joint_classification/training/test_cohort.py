"""Folders of real cases: the same head in every format comes out the same, and what is wrong is named."""

import numpy as np

from pipelines.joint_classification.geometry import SIZE_3D
from pipelines.joint_classification.prepare import prepare
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.training.cohort import cohort, fitted, folds, on_screen, unit


def test_masks_lie_on_the_grid_of_their_images() -> None:
    case = metacarpal.simulate(np.random.default_rng(1), "ra", 0, 0.9, motion=1, step=2)
    assert fitted(case.lesion).shape == prepare(case.image).shape == SIZE_3D
    share = fitted(case.lesion).mean() / case.lesion.mean()
    assert 0.6 < share < 1.6
    made = cohort([case])
    np.testing.assert_array_equal(made.lesions[0], fitted(case.lesion))


def test_pictures_on_a_screen_are_softer_and_still_the_same_joint() -> None:
    rng = np.random.default_rng(2)
    cases = [ultrasound.simulate(rng, "ra", 0, 0.7) for _ in range(6)]
    shown = on_screen(cases, 1, share=0.5)
    assert [case.severity for case in shown] == [case.severity for case in cases]
    for before, after in zip(cases, shown, strict=True):
        assert after.image.shape == before.image.shape
        assert np.abs(np.diff(after.image)).mean() < 1.02 * np.abs(np.diff(before.image)).mean()
    read = [case for case in shown if not case.lesion.any()]  # where the lesion lies is not known of what was read back
    assert 0 < len(read) < 6


def test_unit_brings_any_range_to_nought_and_one() -> None:
    image = unit(np.array([[-3.0, 5.0]], np.float32))
    assert image.tolist() == [[0.0, 1.0]]
    assert unit(np.ones((2, 2), np.float32)).max() == 0.0


def test_a_patient_is_on_one_side_of_a_fold_only() -> None:
    patients = np.repeat(np.arange(23), 3)
    tested: list[int] = []
    for train, test in folds(patients, 5, seed=1):
        assert not set(patients[train]) & set(patients[test])
        tested.extend(test)
    assert sorted(tested) == list(range(len(patients)))
