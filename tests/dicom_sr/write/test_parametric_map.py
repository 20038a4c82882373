from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest

from dicom_sr.series import Study
from tests.dicom_sr.conftest import Encode
from tests.factories import enhanced_mr, knee_result, knee_study


def test_the_uncertainty_keeps_every_bit_and_lies_on_the_derived_slices(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    objects = encoded(result, "derived_series", "parametric_map")
    slices = {ds.SOPInstanceUID: ds for ds in objects["derived_series"]}
    (ds,) = objects["parametric_map"]
    assert result.derived[0].uncertainty is not None
    wanted = np.asarray(result.derived[0].uncertainty.array)
    affine = result.derived[0].volume.affine
    planes = np.frombuffer(ds.FloatPixelData, "<f4").reshape(wanted.shape)
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, planes, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        k = round(float((position - affine[:3, 3]) @ affine[:3, 0] / (affine[:3, 0] @ affine[:3, 0])))
        np.testing.assert_array_equal(plane, wanted[k])
        source = slices[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        np.testing.assert_allclose(position, np.array(source.ImagePositionPatient, float), atol=1e-6)


def test_the_map_says_what_its_numbers_are(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(knee_result(knee_study(tmp_path / "in")), "derived_series", "parametric_map")["parametric_map"]
    shared = ds.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "UNC-SD"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[arb'U]"
    # dcmqi ends where the anatomy is missing
    assert shared.FrameAnatomySequence[0].AnatomicRegionSequence[0].CodeMeaning == "Knee"
    assert shared.FrameAnatomySequence[0].FrameLaterality == "R"
    assert ds.ReferencedSeriesSequence  # OHIF puts the map over this series


def test_highdicom_reads_it_as_a_volume(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    encoded(result, "derived_series", "parametric_map")
    volume = hd.imread(tmp_path / "objects" / "parametric-map-1.dcm").get_volume()
    uncertainty = result.derived[0].uncertainty
    assert uncertainty is not None
    # each voxel is looked up by where it lies in the patient: neither axes nor directions may be mixed up
    index = np.moveaxis(np.indices(uncertainty.array.shape), 0, -1).reshape(-1, 3)  # (N, 3) d, h, w
    places = index @ uncertainty.affine[:3, :3].T + uncertainty.affine[:3, 3]  # (N, 3) LPS, mm
    found = (places - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    np.testing.assert_allclose(found, np.rint(found), atol=1e-3)
    read = volume.array[tuple(np.rint(found).astype(int).T)]
    np.testing.assert_array_equal(read, np.asarray(uncertainty.array).ravel())
    assert volume.array.size == uncertainty.array.size


@pytest.mark.parametrize("echo_times_ms", [(10.0,), (10.0, 20.0)])
def test_the_maps_of_frames_lie_on_the_slices_that_are_derived_from_them(
    tmp_path: Path, echo_times_ms: tuple[float, ...], encoded: Encode
) -> None:
    series, _ = enhanced_mr(tmp_path / "in", echo_times_ms=echo_times_ms)
    result = knee_result(Study(series.study_instance_uid, (series,)))
    objects = encoded(result, "derived_series", "parametric_map")
    slices = {ds.SOPInstanceUID: ds for ds in objects["derived_series"]}
    assert len(result.derived) == len(objects["parametric_map"]) == len(echo_times_ms)
    for derived, ds in zip(result.derived, objects["parametric_map"], strict=True):
        assert derived.uncertainty is not None
        wanted, affine, seen = np.asarray(derived.uncertainty.array, np.float32), derived.volume.affine, set()
        planes = np.frombuffer(ds.FloatPixelData, "<f4").reshape(wanted.shape)
        for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, planes, strict=True):
            (source,) = frame.DerivationImageSequence[0].SourceImageSequence
            thin = slices[source.ReferencedSOPInstanceUID]
            k = round(float(thin.ImagePositionPatient[2] - affine[2, 3]) / affine[2, 0])
            np.testing.assert_array_equal(plane, wanted[k])
            frames = {int(one.ReferencedFrameNumber) for one in thin.SourceImageSequence}
            assert frames == {derived.sources[i].frame_number for i in derived.slice_sources[k]}
            assert "ReferencedFrameNumber" not in source  # a derived slice is an image of its own
            seen.add(k)
        assert seen == set(range(len(wanted)))
