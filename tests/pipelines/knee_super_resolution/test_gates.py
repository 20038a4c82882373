"""What the model was not made for is told from what it was."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pipelines.knee_super_resolution.evaluation import outliers
from pipelines.knee_super_resolution.gates import Gate, consistency_gate, header_gates, pixel_gates
from pipelines.knee_super_resolution.simulation import thin_volumes


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
    return thin_volumes.simulate_knee(2, (64, 96, 96), 1.0, "pd").array[::4]


def test_a_knee_passes_every_gate(knee: np.ndarray) -> None:
    found = (*header_gates(stack(BodyPartExamined="KNEE")), *pixel_gates(knee))  # type: ignore[arg-type]
    assert not [each for each in found if each.flagged]


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("body part", {"BodyPartExamined": "BRAIN"}, "brain"),
        ("body part", {"StudyDescription": "LEFT WRIST"}, "wrist"),
        ("body part", {"ReceiveCoilName": "8HRBRAIN"}, "brain"),
        ("body part", {"SeriesDescription": "weekly QA"}, "phantom"),
        ("body part", {"PatientPosition": "HFS"}, "head first"),
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


def test_a_knee_that_lies_head_first_in_another_coil_is_still_a_knee() -> None:
    assert not gate("body part", BodyPartExamined="KNEE", PatientPosition="HFS", ReceiveCoilName="HEAD").flagged


def test_an_oblique_stack_is_flagged() -> None:
    tilted = stack()
    tilted.affine = np.eye(4)
    tilted.affine[:3, 0] = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    assert next(each for each in header_gates(tilted) if each.name == "orientation").flagged  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def spoiled(knee: np.ndarray) -> dict[str, np.ndarray]:
    return outliers.spoil(knee / np.percentile(knee, 99.9), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("noise only", "content"),
        ("inverted", "grey scale"),
        ("slices that flicker", "slice to slice"),
        ("slices without signal", "content"),
        ("implant with a rim 0", "metal in the image"),
        ("implant, off-resonance 1", "metal in the image"),
        ("ghosts, copies 0", "motion"),
        ("ghosts, moved 1", "motion"),
    ],
)
def test_spoiled_images_are_flagged_by_the_gate_that_looks_for_it(
    spoiled: dict[str, np.ndarray], name: str, gate: str
) -> None:
    (found,) = [each for each in pixel_gates(spoiled[name].astype(np.float32)) if each.name == gate]
    assert found.flagged
    assert found.reason


def test_a_blank_frame_or_zero_filling_is_not_taken_for_ghosts(knee: np.ndarray) -> None:
    framed = knee.copy()
    framed[:, :7] = framed[:, -9:] = 0
    spectrum = np.fft.fft(knee, axis=1)
    spectrum[:, np.abs(np.fft.fftfreq(knee.shape[1])) > 0.3] = 0
    for changed in (framed, np.abs(np.fft.ifft(spectrum, axis=1)).astype(np.float32)):
        assert not [each for each in pixel_gates(changed) if each.name == "motion" and each.flagged]


def test_metal_moves_signal_along_rows_and_loses_only_what_was_in_it(knee: np.ndarray) -> None:
    centre = np.array([48.0, 48.0])
    warped = outliers.warped_by_metal(knee, centre, 6.0, 8.0)
    down, across = np.mgrid[:96, :96]
    inside = np.hypot(down - 48, across - 48) < 6
    rows = warped.sum(axis=2), np.where(inside, 0, knee).sum(axis=2)
    assert rows[0][:, 30:66] == pytest.approx(rows[1][:, 30:66], rel=1e-2)  # far rows lose a little over the edge
    assert warped.max() > 1.5 * knee.max()


def test_the_table_counts_each_kind() -> None:
    inside = [outliers.ScoredSeries("a", "knee", 0.1), outliers.ScoredSeries("b", "knee", 0.6)]
    outside = [outliers.ScoredSeries("c", "noise", 0.4), outliers.ScoredSeries("d", "metal", 1.2)]
    text = outliers.table(inside, outside)
    assert "| knee | 2 |  | 1 | 0 | 0.10 to 0.60 |" in text
    assert "| noise | 1 | 0.500 | 0 | 0 |" in text
    assert "| all outliers | 2 | 0.750 | 1 | 1 |" in text
    assert "Not flagged: c (0.40)." in text


def test_consistency_is_judged_by_the_noise() -> None:
    assert not consistency_gate(1.0, 1.0, learned=True).flagged
    assert consistency_gate(3.0, 1.0, learned=True).flagged
    assert not consistency_gate(3.0, 1.0, learned=False).flagged  # the spline promises nothing
