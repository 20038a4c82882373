"""What the model was not made for is told from what it was."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pipelines.knee_super_resolution import gates, outliers, simulate
from pipelines.knee_super_resolution.gates import Gate, consistency_gate, header_gates, overall, pixel_gates


def stack(**values: object) -> SimpleNamespace:
    header = Dataset()
    for keyword, value in ({"ScanningSequence": "SE", "MagneticFieldStrength": "3"} | values).items():
        setattr(header, keyword, value)
    return SimpleNamespace(header=header, affine=np.eye(4))


def gate(name: str, **values: object) -> Gate:
    (found,) = [each for each in header_gates(stack(**values)) if each.name == name]  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def knee() -> np.ndarray:
    return simulate.simulate_knee(2, (64, 96, 96), 1.0, "pd").array[::4]


def test_a_knee_passes_every_gate(knee: np.ndarray) -> None:
    found = (*header_gates(stack(BodyPartExamined="KNEE")), *pixel_gates(knee))  # type: ignore[arg-type]
    assert not [each for each in found if each.flagged]


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("body part", {"BodyPartExamined": "BRAIN"}, "brain"),
        ("body part", {"StudyDescription": "LEFT WRIST"}, "wrist"),
        ("field strength", {"MagneticFieldStrength": "0.35"}, "0.35 T"),
        ("field strength", {"MagneticFieldStrength": "70000"}, "7 T"),
        ("sequence", {"ScanningSequence": "EP"}, "echo-planar"),
        ("sequence", {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "phase"),
        ("metal", {"SeriesDescription": "COR STIR SEMAC"}, "semac"),
    ],
)
def test_the_header_is_flagged_with_a_reason(name: str, values: dict[str, object], word: str) -> None:
    found = gate(name, **values)
    assert found.flagged
    assert word in found.reason


def test_a_german_knee_is_a_knee() -> None:
    assert not gate("body part", StudyDescription="MRT Knie rechts").flagged


def test_an_oblique_stack_is_flagged() -> None:
    tilted = stack()
    tilted.affine = np.eye(4)
    tilted.affine[:3, 0] = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    assert next(each for each in header_gates(tilted) if each.name == "orientation").flagged  # type: ignore[arg-type]


@pytest.mark.parametrize("spoiled", ["noise", "inverted", "flickering slices", "empty"])
def test_spoiled_images_score_above_every_knee(knee: np.ndarray, spoiled: str) -> None:
    bad = outliers.spoil(knee, np.random.default_rng(0))[spoiled]
    assert overall(pixel_gates(bad)) > gates.FLAG > overall(pixel_gates(knee))


def test_consistency_is_judged_by_the_noise() -> None:
    assert not consistency_gate(1.0, 1.0, learned=True).flagged
    assert consistency_gate(3.0, 1.0, learned=True).flagged
    assert not consistency_gate(3.0, 1.0, learned=False).flagged  # the spline promises nothing


def test_auroc_counts_ties_half() -> None:
    assert outliers.auroc([0.1, 0.2], [0.2, 0.9]) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
