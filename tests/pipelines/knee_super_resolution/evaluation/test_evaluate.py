"""The evaluation's rows, intervals and files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.evaluation import card, evaluate
from pipelines.knee_super_resolution.evaluation.evaluate import Row, bootstrap, gains, main
from pipelines.knee_super_resolution.evaluation.lesions import injected, judge_lesions
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training import baselines
from pipelines.knee_super_resolution.training.baselines import Task
from pipelines.knee_super_resolution.training.volumes import ThinVolume, read_volumes

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("volumes")
    array = simulate_clutter(1, (30, 36, 32), 100)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 0.8, 1.0])), made / "one.nii.gz")
    return made


def test_the_command_writes_a_row_for_every_axis_factor_and_method(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    arguments = ["--data", str(folder), "--factors", "2,3", "--methods", "tci,fourier", "--json", str(out)]
    assert main(arguments) == 0
    rows = json.loads(out.read_text())
    assert len(rows) == 3 * 2 * 2
    assert {"volume", "axis", "factor", "method", "ssim", "psnr_db", "rmse", "highband_error", "seconds"} <= set(
        rows[0]
    )
    assert {row["method"] for row in rows} == {"tci", "fourier"}
    assert all(20 < row["psnr_db"] < 60 for row in rows)
    assert all(0 < row["ssim"] <= 1 for row in rows)
    for row in rows:
        assert row["psnr_db"] == pytest.approx(-20 * np.log10(row["rmse"]))


def test_an_unknown_method_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "--methods", "magic"]) == 2
    assert "magic" in capsys.readouterr().out


def test_a_folder_without_thin_volumes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 1
    assert "no volume" in capsys.readouterr().out


def test_spacing_and_subject_come_from_the_file(folder: Path) -> None:
    (volume,) = read_volumes(folder)
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))
    assert (volume.name, volume.subject, volume.thin_axes) == ("one", "one", (0, 1, 2))
    assert volume.array.shape == (32, 36, 30)  # SimpleITK's order: the last file axis first


def row(volume: str, method: str, psnr_db: float) -> Row:
    return Row(volume, 0, 2, method, 0.9, psnr_db, 10 ** (-psnr_db / 20), 0.5, 1.0)


def test_gains_are_paired_by_volume() -> None:
    rows = [row("a", "tci", 30), row("a", "condyle", 31), row("b", "tci", 40), row("b", "condyle", 43)]
    (cell, _), *_ = gains(rows, "tci").values()
    assert cell.mean == pytest.approx(2.0)
    assert (cell.low, cell.high) == (1.0, 3.0)


def test_the_interval_holds_the_mean() -> None:
    values = list(np.random.default_rng(0).normal(5, 1, 50))
    low, high = bootstrap(values)
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(4 * np.std(values) / np.sqrt(50), rel=0.15)


def test_the_card_is_written_between_its_marks_and_keeps_the_rest(tmp_path: Path) -> None:
    written = tmp_path / "README.md"
    written.write_text("# Card\n\n<!-- evaluation: begin -->\nold\n<!-- evaluation: end -->\n\nAfter.\n")
    card.write_section(written, "evaluation", card.evaluation_text([row("a", "tci", 30), row("a", "condyle", 31)]))
    text = written.read_text()
    assert text.startswith("# Card")
    assert text.rstrip().endswith("After.")
    assert "old" not in text
    assert "+1.00" in text


# ---- baselines
def edge_task(factor: int = 3) -> tuple[Task, np.ndarray]:
    """A tilted edge, where what is thin in the plane tells what is thin across it."""
    d, h, w = np.meshgrid(np.arange(37), np.arange(40), np.arange(24), indexing="ij")
    array = (0.2 + 0.6 / (1 + np.exp(-(h - 20 + 0.8 * (d - 18)) / 0.8)) + 0 * w).astype(np.float32)
    return evaluate.degraded(ThinVolume("edge", "edge", array, (1.0, 1.0, 1.0)), 0, factor)


def error(result: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((result - truth) ** 2)))


def test_self_super_resolution_beats_the_spline_on_a_tilted_edge() -> None:
    task, truth = edge_task()
    assert error(baselines.selfsr(task, steps=25, batch=4, size=20), truth) < error(baselines.tci(task), truth)


def test_sparse_coding_learns_to_sharpen_an_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = ThinVolume("c", "c", simulate_clutter(2, (40, 40, 40), 150), (1.0, 1.0, 1.0))
    baselines.save_dictionary(baselines.train_dictionary([volume], 3, seed=0, patches=800), 3, tmp_path)
    learned = baselines.load_dictionary(3, tmp_path)
    monkeypatch.setattr(baselines, "load_dictionary", lambda factor: learned)
    task, truth = edge_task()
    assert error(baselines.scsr(task), truth) < error(baselines.tci(task), truth)


def test_back_projection_gives_back_the_thick_slices() -> None:
    task, _ = edge_task()
    from pipelines.knee_super_resolution.degradation import along_slices, forward_matrix

    projected = baselines.back_projected(task, np.zeros((task.count, 40, 24), np.float32))
    again = along_slices(forward_matrix(task.fine, task.coarse, SliceProfile("fir")), projected)
    assert error(again, task.thick) < 5e-3


# ---- small lesions
def test_foci_are_no_larger_than_a_thick_slice_and_where_the_labels_say() -> None:
    volume = ThinVolume("flat", "flat", np.full((48, 48, 48), 0.4, np.float32), (1.0, 1.0, 1.0))
    changed, labels = injected(volume, 0, 4, np.random.default_rng(0), count=5)
    assert labels.max() == 5
    for number in range(1, 6):
        where = np.argwhere(labels == number)
        assert np.ptp(where[:, 0]) + 1 <= 4 + 1  # a sphere across 4 slices may touch a fifth
        assert (np.abs(changed.array - 0.4)[labels == number] > 0.05).all()
    assert np.abs(changed.array - 0.4)[labels == 0].max() < 0.25  # soft edges only


def test_foci_on_a_plain_ground_are_seen_and_nothing_is_made_up() -> None:
    volume = ThinVolume("flat", "flat", np.full((48, 48, 48), 0.4, np.float32), (1.0, 1.0, 1.0))
    random = np.random.default_rng(4)
    noisy = ThinVolume(
        "n", "n", volume.array + random.normal(0, 0.01, volume.array.shape).astype(np.float32), (1, 1, 1)
    )
    (judged,) = judge_lesions(noisy, 0, 2, ["tci"])
    assert judged.foci == judged.seen
    assert judged.foci > 10
    assert judged.false_structure < 1.0


def test_foci_that_the_truth_hides_do_not_count() -> None:
    stripes = np.where(np.arange(48)[None, None, :] % 6 < 3, 0.1, 0.9) * np.ones((48, 48, 48))
    volume = ThinVolume("stripes", "stripes", stripes.astype(np.float32), (1.0, 1.0, 1.0))
    _, labels = injected(volume, 0, 2, np.random.default_rng([0, 0, 2]))
    (judged,) = judge_lesions(volume, 0, 2, ["tci"])
    assert 0 <= judged.seen <= judged.foci < labels.max() // 2
