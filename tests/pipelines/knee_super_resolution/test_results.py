"""What is said of a reconstruction: figures, derived slices, lines and pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import read_studies
from pipelines.knee_super_resolution import codes, metrics, results
from pipelines.knee_super_resolution.classical import tricubic
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.results import Reconstruction


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Reconstruction:
    """Eight slices every 4 mm, by a spline to slices every 1 mm."""
    header = study_header(Person(), "knee", "Simulated knee")
    paths = write_knee_mr(tmp_path_factory.mktemp("knee"), header, (8, 48, 44), (4.0, 1.25, 1.25))
    (stack,) = stacks(read_studies(paths)[0].only_series("MR"))
    source = read_stack(stack, stored=True)
    array = np.asarray(source.array, np.float32)
    coarse, fine = results.positions_mm(stack), np.arange(29.0)
    thin = tricubic(array, coarse, fine)
    return Reconstruction(stack, source, fine, thin, SliceProfile("boxcar", 0.75), "a spline", metrics.scale_of(array))


def with_spread(made: Reconstruction, value: float) -> Reconstruction:
    return replace(made, standard_deviation=np.full_like(made.array, value))


def test_geometry_is_counted_from_the_positions(made: Reconstruction) -> None:
    assert results.positions_mm(made.stack) == pytest.approx(4.0 * np.arange(8))
    assert (made.step_mm, made.ratio) == pytest.approx((1.0, 4.0))
    assert made.volume.spacing_mm == pytest.approx((1.0, 1.25, 1.25))
    assert not made.learned
    assert with_spread(made, 1.0).learned


def test_each_new_slice_rests_on_the_acquired_ones_around_it(made: Reconstruction) -> None:
    derived = results.derived(made, "a method 1.0", synthetic=False)
    assert [derived.slice_sources[n] for n in (0, 1, 4, 27, 28)] == [(0,), (0, 1), (1,), (6, 7), (7,)]
    assert "a method 1.0: a spline, slices every 1.000 mm" in derived.description
    assert derived.uncertainty is None
    assert derived.slice_thickness_mm == pytest.approx(1.0)


def test_brighter_slices_give_the_same_figures_in_a_larger_unit(made: Reconstruction) -> None:
    source = replace(made.source, array=np.asarray(made.source.array, np.float32) * 8)
    brighter = replace(made, source=source, array=made.array * 8, scale=made.scale * 8)
    before, after = results.quality(made), results.quality(brighter)
    assert after.consistency_psnr_db == pytest.approx(before.consistency_psnr_db, abs=1e-3)
    assert after.signal_to_noise == pytest.approx(before.signal_to_noise, rel=1e-4)
    assert after.noise == pytest.approx(8 * before.noise, rel=1e-4)
    assert after.consistency_rmse == pytest.approx(8 * before.consistency_rmse, rel=1e-3)


def test_a_result_that_leaves_the_acquired_slices_is_less_consistent(made: Reconstruction) -> None:
    random = np.random.default_rng(0)
    wrong = replace(made, array=made.array + random.normal(0, 0.2 * made.scale, made.array.shape).astype(np.float32))
    assert results.quality(wrong).consistency_psnr_db < results.quality(made).consistency_psnr_db - 3
    assert results.quality(wrong).consistency_ssim < results.quality(made).consistency_ssim


def test_only_a_network_is_judged_by_its_consistency_with_the_noise(made: Reconstruction) -> None:
    figures = results.quality(made)
    assert results.finding(made, figures, 1, 0.5).evaluations == ()
    learned = with_spread(made, 3.0)
    figures = replace(results.quality(learned), noise=1.0)
    assert figures.voxel_sd == pytest.approx(3.0)
    for rmse, verdict in ((results.CONSISTENCY_LIMIT, codes.PASS), (results.CONSISTENCY_LIMIT + 0.01, codes.FAIL)):
        (evaluation,) = results.finding(learned, replace(figures, consistency_rmse=rmse), 1, 0.5).evaluations
        assert evaluation.value == verdict


def test_the_pages_show_three_planes_and_the_spread_where_there_is_one(made: Reconstruction) -> None:
    beside, difference = results.pages(made, results.quality(made), "Knee")
    assert len(beside.panels) == 6
    assert len(difference.panels) == 3
    assert {panel.title.split(",")[0] for panel in beside.panels} == {"sagittal", "coronal", "axial"}
    assert all(panel.image.ndim == 2 for panel in beside.panels)  # type: ignore[union-attr]
    learned = with_spread(made, 3.0)
    assert len(results.pages(learned, results.quality(learned), "Knee")[1].panels) == 6


def test_the_lines_say_what_is_acquired_and_what_is_made(made: Reconstruction) -> None:
    lines = results.summary(made, results.quality(made))
    assert lines[0].startswith("8 acquired slices every 4.00 mm")
    assert "to 29 slices every 1.000 mm, a spline" in lines[0]
    assert "synthesised" in lines[1]
    assert "voxel SD" not in lines[2]
    assert "mean voxel SD 3.0" in results.summary(made, results.quality(with_spread(made, 3.0)))[2]
