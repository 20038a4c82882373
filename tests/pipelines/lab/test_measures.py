"""Measures, against what they mean written out, and against the same bootstrap in one line."""

import itertools

import numpy as np
import pytest

from pipelines.lab import measures

RNG = np.random.default_rng(4)


def test_a_reliability_has_a_row_for_each_bin_with_cases() -> None:
    confidence = np.array([0.55, 0.57, 0.95, 1.0])
    right = np.array([True, False, True, True])
    first, second = measures.reliability(confidence, right, 10)
    assert first == pytest.approx((0.56, 0.5, 2))
    assert second == pytest.approx((0.975, 1.0, 2))


def test_the_calibration_error_weighs_each_bin_by_its_cases() -> None:
    confidence = np.array([0.55, 0.57, 0.95, 1.0])
    right = np.array([True, False, True, True])
    assert measures.expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.06 + 0.5 * 0.025)


def test_who_is_as_often_right_as_sure_has_next_to_no_calibration_error() -> None:
    confidence = RNG.uniform(0.4, 1, 100_000)
    assert measures.expected_calibration_error(confidence, RNG.random(100_000) < confidence, 15) < 0.005


def test_confidence_is_that_of_the_likeliest_class() -> None:
    confidence, right = measures.likeliest(np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 1]))
    assert confidence.tolist() == [0.8, 0.7]
    assert right.tolist() == [True, False]


def test_kappa_weighs_a_disagreement_by_its_square() -> None:
    truth, grade = RNG.integers(0, 5, 200).astype(float), RNG.integers(0, 5, 200) + RNG.uniform(-0.4, 0.4, 200)
    whole = np.rint(grade)
    by_chance = np.mean([(one - other) ** 2 for one, other in itertools.product(truth, whole)])
    expected = 1 - np.mean((truth - whole) ** 2) / by_chance
    assert measures.quadratic_weighted_kappa(truth, grade, 4) == pytest.approx(expected)
    assert measures.quadratic_weighted_kappa(truth, truth, 4) == pytest.approx(1.0)


def test_kappa_knows_no_grade_beyond_the_scale_and_nothing_of_a_single_grade() -> None:
    truth = np.array([0.0, 4.0, 2.0])
    assert measures.quadratic_weighted_kappa(truth, np.array([-1.0, 5.0, 2.0]), 4) == pytest.approx(1.0)
    assert np.isnan(measures.quadratic_weighted_kappa(np.zeros(3), np.zeros(3), 4))


def test_balanced_accuracy_counts_rare_grades_as_much_as_common_ones() -> None:
    truth = np.array([0.0] * 8 + [3.0] * 2)
    assert measures.balanced_accuracy(truth, np.array([0.2] * 8 + [3.0, 1.0])) == pytest.approx(0.75)


def test_the_area_between_two_groups_counts_ties_half() -> None:
    inside, outside = [1.0, 2.0, 2.0], [2.0, 3.0]
    pairs = [1.0, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert measures.auroc_between(inside, outside) == pytest.approx(np.mean(pairs))


def test_a_sample_has_whole_patients_and_as_many_as_there_are() -> None:
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    for rows in measures.resamples(groups, 20, seed=1):
        drawn = groups[rows]
        assert sum((drawn == name).sum() / (groups == name).sum() for name in "abc") == 3
        for name in set(drawn):
            counts = np.bincount(rows, minlength=6)[groups == name]
            assert len(set(counts)) == 1


def test_the_interval_of_a_mean_is_that_of_its_resampled_means() -> None:
    values = RNG.normal(3, 1, 50)
    means = values[np.random.default_rng(0).integers(50, size=(2000, 50))].mean(1)
    found = measures.bootstrap(lambda rows: {"mean": float(values[rows].mean())}, np.arange(50), 2000)
    assert found["mean"] == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))))


def test_samples_that_cannot_be_measured_are_left_out() -> None:
    labels = np.array([0, 0, 0, 1])

    def measure(rows: measures.Rows) -> dict[str, float] | None:
        return {"share": float(labels[rows].mean())} if len(np.unique(labels[rows])) == 2 else None

    low, high = measures.bootstrap(measure, np.arange(4), 100)["share"]
    assert 0 < low <= high < 1
    with pytest.raises(ValueError, match="too few cases"):
        measures.bootstrap(lambda rows: None, np.arange(4), 5)
