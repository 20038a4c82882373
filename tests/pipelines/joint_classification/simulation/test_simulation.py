"""Simulated joints: the same seed gives the same case, and the truth says what the class says."""

import numpy as np
import pytest

from pipelines.joint_classification.simulation import CLASSES, metacarpal, ultrasound


@pytest.mark.parametrize("simulator", [ultrasound, metacarpal])
def test_a_seed_makes_the_same_case_again(simulator):
    first, second = (simulator.simulate(np.random.default_rng(5), "ra", 0, 0.6) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.lesion, second.lesion)


@pytest.mark.parametrize("condition", CLASSES)
def test_an_ultrasound_case_is_a_grey_picture_with_a_lesion_only_where_there_is_disease(condition):
    rng = np.random.default_rng(11)
    cases = [ultrasound.simulate(rng, condition, 0, 0.8) for _ in range(6)]
    for case in cases:
        assert case.image.shape == case.lesion.shape == (ultrasound.HEIGHT, ultrasound.WIDTH)
        assert 0.0 <= case.image.min() < case.image.max() <= 1.0
    assert any(case.lesion.any() for case in cases) is (condition != "healthy")
    assert all(case.severity == 0.0 for case in cases) is (condition == "healthy")


def test_severe_rheumatoid_arthritis_takes_more_room_than_early_disease():
    early, severe = (
        np.mean([ultrasound.simulate(np.random.default_rng(seed), "ra", 0, severity).lesion.sum() for seed in range(8)])
        for severity in (0.1, 0.9)
    )
    assert severe > 2 * early


def test_an_erosion_takes_bone_away_and_a_proliferation_adds_some():
    def outside_of_bone(condition: str) -> float:
        case = metacarpal.simulate(np.random.default_rng(3), condition, 0, 0.9, motion=1, step=2)
        return float(case.image[case.lesion].mean())

    # where bone was eaten there is soft tissue now; where it grew there is bone
    assert outside_of_bone("ra") < 0.5 * outside_of_bone("psa")


@pytest.mark.parametrize("kind", ultrasound.UNKNOWN_KINDS)
def test_an_unknown_belongs_to_no_class(kind):
    case = ultrasound.simulate_unknown(np.random.default_rng(2), kind, 7)
    assert case.condition is None
    assert case.kind == kind
    assert not case.lesion.any()
    assert np.isfinite(case.image).all()


def test_the_mask_of_a_scan_is_one_filled_bone():
    case = metacarpal.simulate(np.random.default_rng(4), "healthy", 0, motion=1, step=2)
    mask = metacarpal.bone_mask(case.image)
    middle = mask.shape[0] // 2
    assert mask[middle, mask.shape[1] // 2, mask.shape[2] // 2]  # trabecular holes are filled
    assert not mask[middle, 0, 0]
    assert 0.1 < mask.mean() < 0.6


def test_motion_of_a_high_grade_disturbs_the_soft_tissue_around_the_bone():
    def unrest(grade: int) -> float:
        case = metacarpal.simulate(np.random.default_rng(6), "healthy", 0, motion=grade, step=2)
        return float(case.image[:, :6, :6].std())

    assert unrest(5) > 2 * unrest(1)


def test_the_cases_of_a_patient_share_a_class():
    cases = ultrasound.patients(seed=1, number=12)
    for patient in {case.patient for case in cases}:
        assert len({case.condition for case in cases if case.patient == patient}) == 1


def test_bone_that_psoriatic_arthritis_adds_stands_out_of_the_head_by_its_severity():
    def added_mm3(severity, seed):
        case = metacarpal.simulate(np.random.default_rng(seed), "psa", 0, severity, motion=1, step=2)
        return float(case.lesion.sum()) * float(np.prod(case.spacing_mm))

    little, much = ([added_mm3(severity, seed) for seed in range(6)] for severity in (0.1, 0.9))
    assert min(little) > 0.5
    assert min(much) > 5.0  # a spur of 1.5 mm height on a foot of 2 mm has some 3 mm3; none is buried in the bone
    assert np.mean(much) > 4 * np.mean(little)


def test_lesions_begin_at_the_surface_of_the_head():
    grid = metacarpal._grid(1)
    d, h, w = grid
    ball = np.sqrt((d - 6.0) ** 2 + h**2 + w**2) - 4.0
    assert metacarpal._reach(ball, grid, (6.0, 0.0, 0.0), (0.0, 0.0, 1.0)) == pytest.approx(4.0, abs=0.06)
    assert metacarpal._reach(ball, grid, (8.0, 0.0, 0.0), (0.0, 1.0, 0.0)) == pytest.approx(np.sqrt(12.0), abs=0.06)
