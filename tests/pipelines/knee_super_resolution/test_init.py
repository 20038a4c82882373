"""The pipeline on knee series: what it makes, what it refuses and why."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.series import Study, read_studies
from dicom_sr.write.encode import EncodingProfile, encode
from pipelines.bundle_configs import UnusableBundle
from pipelines.knee_super_resolution import DEEPRESOLVE_BUNDLE, KneeSuperResolution, KneeSuperResolutionSettings

CREATED = datetime(2026, 11, 22, 14, 5, 6, tzinfo=UTC)
SHAPE, SPACING_MM = (8, 48, 44), (4.0, 1.25, 1.25)


def classical(**values: object) -> KneeSuperResolutionSettings:
    """Settings of the classical method: what is asked here does not depend on the weights."""
    return KneeSuperResolutionSettings.model_validate({"method": "tricubic"} | values)


@pytest.fixture
def header() -> Dataset:
    return study_header(Person(), "knee", "Simulated knee")


def knee(folder: Path, header: Dataset, echo_times_ms: tuple[float, ...] = (30.0,)) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return write_knee_mr(folder, header, SHAPE, SPACING_MM, echo_times_ms)


def study(paths: list[Path]) -> Study:
    return read_studies(paths)[0]


def change(path: Path, **values: object) -> None:
    ds = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


def test_importing_the_pipeline_brings_in_neither_torch_nor_scipy() -> None:
    heavy = "{'torch', 'monai', 'SimpleITK', 'scipy', 'sklearn'}"
    script = f"import sys; import pipelines.knee_super_resolution; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_each_echo_becomes_a_volume_of_thin_slices(tmp_path: Path, header: Dataset) -> None:
    given = study(knee(tmp_path, header, (10.0, 30.0)))
    result = KneeSuperResolution(classical()).run(given)
    assert [derived.label for derived in result.derived] == ["echo 1, TE 10.0 ms", "echo 2, TE 30.0 ms"]
    for derived in result.derived:
        assert derived.volume.array.shape == (23, 48, 44)  # 28 mm every 1.25 mm
        assert derived.volume.spacing_mm == pytest.approx((1.25, 1.25, 1.25))
        assert len(derived.sources) == 8
        assert derived.slice_sources[0] == (0,)
        assert derived.slice_sources[4] == (1, 2)  # 5 mm lies between 4 and 8
    assert len(result.findings) == 2
    assert len(result.pages) == 4
    assert all(finding.region is not None for finding in result.findings)


def test_new_slices_lie_where_the_headers_of_their_sources_say(tmp_path: Path, header: Dataset) -> None:
    given = study(knee(tmp_path, header))
    derived = KneeSuperResolution(classical(spacing=1.0)).run(given).derived[0]
    positions = {str(each.SOPInstanceUID): each.ImagePositionPatient for each in given.series[0].headers}
    affine = derived.volume.affine
    for number, source in enumerate(derived.sources):  # every fourth new slice meets an acquired one
        there = affine[:3, 3] + 4 * number * affine[:3, 0]
        assert there == pytest.approx(np.array(positions[source.sop_instance_uid], float))


def test_acquired_slices_are_kept_where_a_new_slice_meets_one(tmp_path: Path, header: Dataset) -> None:
    paths = knee(tmp_path, header)
    derived = KneeSuperResolution(classical(spacing=1.0)).run(study(paths)).derived[0]
    acquired = {ds.SOPInstanceUID: ds.pixel_array for ds in map(pydicom.dcmread, paths)}
    for number, source in enumerate(derived.sources):
        difference = derived.volume.array[4 * number] - acquired[source.sop_instance_uid]
        assert np.abs(difference).max() < 0.05  # of about 1000


def test_a_reversed_stack_gives_the_same_volume(tmp_path: Path, header: Dataset) -> None:
    paths = knee(tmp_path / "a", header)
    forward = KneeSuperResolution(classical()).run(study(paths)).derived[0]
    for number, path in enumerate(reversed(paths), start=1):
        change(path, InstanceNumber=number)
    backward = KneeSuperResolution(classical()).run(study(paths)).derived[0]
    assert np.array_equal(forward.volume.array, backward.volume.array)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, "derived"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"]}, "parallel"),
        ({"ImagePositionPatient": ["46", "10", "5"]}, "position|spacing|shifted"),
    ],
)
def test_a_series_that_cannot_be_interpolated_is_refused_with_a_reason(
    tmp_path: Path, header: Dataset, fault: dict[str, object], reason: str
) -> None:
    paths = knee(tmp_path, header)
    change(paths[3], **fault)
    with pytest.raises(UnsuitableInput, match=reason):
        KneeSuperResolution(classical()).check(study(paths))


def test_a_missing_slice_is_never_interpolated_over(tmp_path: Path, header: Dataset) -> None:
    paths = knee(tmp_path, header)
    with pytest.raises(UnsuitableInput, match="missing"):
        KneeSuperResolution(classical()).check(study(paths[:3] + paths[4:]))


def test_three_slices_are_too_few(tmp_path: Path, header: Dataset) -> None:
    with pytest.raises(UnsuitableInput, match="at least 4"):
        KneeSuperResolution(classical()).check(study(knee(tmp_path, header)[:3]))


def test_thin_slices_are_not_needed(tmp_path: Path, header: Dataset) -> None:
    with pytest.raises(UnsuitableInput, match="not needed"):
        KneeSuperResolution(classical(spacing=3.5)).check(study(knee(tmp_path, header)))


def test_a_ratio_out_of_range_is_refused(tmp_path: Path, header: Dataset) -> None:
    with pytest.raises(UnsuitableInput, match=r"ratio of 13\.3"):
        KneeSuperResolution(classical(spacing=0.3)).check(study(knee(tmp_path, header)))


def test_another_body_part_is_flagged_and_can_be_refused(tmp_path: Path, header: Dataset) -> None:
    paths = knee(tmp_path, header)
    for path in paths:
        change(path, BodyPartExamined="WRIST", SeriesDescription="T2", StudyDescription="")
    given = study(paths)
    assert any("wrist" in limit for limit in KneeSuperResolution(classical()).run(given).limits)
    with pytest.raises(UnsuitableInput, match="wrist"):
        KneeSuperResolution(classical(refuse_other_parts=True)).check(given)


def test_a_gap_between_slices_is_said(tmp_path: Path, header: Dataset) -> None:
    result = KneeSuperResolution(classical()).run(study(knee(tmp_path, header)))
    assert any("gap of 1.00 mm" in limit for limit in result.limits)
    assert "gap of 1.00 mm" in result.derived[0].description
    assert any("synthesised" in limit for limit in result.limits)


def beside(path: Path, folder: Path, number: int, **values: Any) -> Path:
    """One more object in the series of `path`."""
    folder.mkdir(exist_ok=True)
    ds = pydicom.dcmread(path)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{ds.SOPInstanceUID}.{number}")
    ds.InstanceNumber = number
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        del ds[keyword]
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(folder / "beside.dcm", enforce_file_format=True)
    return folder / "beside.dcm"


def test_a_capture_and_a_state_in_the_series_are_no_evidence_but_name_the_result(
    tmp_path: Path, header: Dataset
) -> None:
    paths = knee(tmp_path / "knee", header)
    capture = {"number": 9, "SOPClassUID": SecondaryCaptureImageStorage, "ImageType": ["DERIVED", "SECONDARY"]}
    state = {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR", "Rows": 0, "number": 0}
    pipeline, keys = KneeSuperResolution(classical()), set()
    cases: dict[str, dict[str, Any]] = {"plain": {}, "capture": capture, "state": state}
    for name, values in cases.items():
        more = [] if not values else [beside(paths[0], tmp_path / name, **values)]
        given = study([*paths, *more])
        pipeline.check(given)
        result = pipeline.run(given)
        assert len(result.instances) == 8
        assert len(result.left_aside) == len(more)
        objects = encode(result, EncodingProfile(kinds=("report",)), CREATED, tmp_path / name / "objects")
        report = pydicom.dcmread(objects[0].path)
        keys.add(str(report.SOPInstanceUID))
        (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
        assert len(evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 8
        texts = [str(item.get("TextValue")) for item in report.ContentSequence]
        assert [text[:19] for text in texts if text.startswith("Left")] == ["Left aside: 1 image"] * len(more)
    assert len(keys) == 3  # the capture may come late: then it is another result


def test_noise_instead_of_images_is_refused(tmp_path: Path, header: Dataset) -> None:
    paths = knee(tmp_path, header)
    random = np.random.default_rng(0)
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.PixelData = random.integers(0, 1000, (SHAPE[1], SHAPE[2]), dtype=np.uint16).tobytes()
        ds.save_as(path)
    with pytest.raises(UnsuitableInput, match="noise"):
        KneeSuperResolution(classical()).run(study(paths))


@pytest.mark.shared_data
def test_the_real_knee_gives_four_volumes(shared_data: Path) -> None:
    given = read_studies((shared_data / "mr" / "knee-mese-t2-ge").glob("*"))[0]
    result = KneeSuperResolution(classical(spacing=1.0)).run(given)
    assert [derived.label for derived in result.derived] == [
        "echo 1, TE 6.3 ms",
        "echo 3, TE 18.9 ms",
        "echo 5, TE 31.6 ms",
        "echo 8, TE 50.5 ms",
    ]
    assert all(derived.volume.array.shape == (93, 256, 256) for derived in result.derived)


@pytest.mark.shared_data
def test_a_thin_three_dimensional_acquisition_is_not_needed(shared_data: Path) -> None:
    paths = [path for path in (shared_data / "mr" / "phantom-thin-slice-ge").iterdir() if path.suffix == ".dcm"]
    with pytest.raises(UnsuitableInput, match="not needed"):
        KneeSuperResolution(classical()).check(read_studies(paths)[0])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"method": "deepresolve"}, "the weights of method deepresolve are not installed: name their folder"),
        ({"method": "tricubic", "bundle": "."}, "tricubic has no weights: leave out the setting bundle"),
        ({"device": "gpu"}, "should be auto, cpu, cuda or cuda:N"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        KneeSuperResolution(KneeSuperResolutionSettings.model_validate(settings))


def test_a_bundle_that_is_not_there_is_named_before_anything_runs() -> None:
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(method="deepresolve", bundle=Path("nowhere")))
    with pytest.raises(UnusableBundle, match="nowhere"):
        _ = pipeline.model


def test_a_spline_is_computed_on_the_cpu_and_says_so_without_torch(tmp_path: Path, header: Dataset) -> None:
    assert ("device", "cpu") in KneeSuperResolution(classical()).run(study(knee(tmp_path, header))).parameters


def test_deepresolve_can_be_chosen_and_says_what_it_was_trained_on_and_at_which_ratio(
    tmp_path: Path, header: Dataset
) -> None:
    settings = KneeSuperResolutionSettings(method="deepresolve", bundle=DEEPRESOLVE_BUNDLE)
    pipeline = KneeSuperResolution(settings)
    pipeline.load()
    given = study(write_knee_mr(tmp_path, header, (6, 24, 22), SPACING_MM))
    result = pipeline.run(given)
    (derived,) = result.derived
    assert derived.uncertainty is None
    assert "DeepResolve" in derived.description
    assert "simulated knees" in result.model.trained_on
    assert any("the one for 3 worked at 3.20" in limit for limit in result.limits)
    spline = KneeSuperResolution(classical()).run(given).derived[0].volume.array
    assert derived.volume.array.shape == spline.shape
    assert not np.array_equal(derived.volume.array, spline)
