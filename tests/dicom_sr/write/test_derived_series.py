from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_sr import codes, phantoms
from dicom_sr.errors import EncodingError
from dicom_sr.findings import DerivedVolume, Model, Result
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.write.encode import EncodingProfile
from tests.dicom_sr.conftest import Encode
from tests.factories import (
    KNEE_SPACING_MM,
    SMALL_KNEE,
    changed,
    doubled,
    enhanced_mr,
    knee_result,
    knee_study,
)


def derived(encoded: Encode, result: Result, **arguments: object) -> list[Dataset]:
    return encoded(result, "derived_series", **arguments)["derived_series"]


def test_every_voxel_lies_where_the_source_says(tmp_path: Path, encoded: Encode) -> None:
    slices = derived(encoded, knee_result(knee_study(tmp_path / "in")))
    assert len(slices) == 2 * SMALL_KNEE[0] - 1
    phantom = phantoms.knee(SMALL_KNEE)
    geometry = phantoms.knee_geometry(SMALL_KNEE, KNEE_SPACING_MM)
    for number, ds in enumerate(slices):  # in the direction of the source's numbering
        assert ds.InstanceNumber == number + 1
        np.testing.assert_allclose(ds.ImagePositionPatient, (geometry @ [number / 2, 0, 0, 1])[:3], atol=1e-4)
        if number % 2 == 0:
            np.testing.assert_array_equal(ds.pixel_array, phantom[number // 2])
    assert [str(v) for v in slices[0].ImageOrientationPatient] == ["0", "1", "0", "0", "0", "-1"]
    assert [str(v) for v in slices[0].PixelSpacing] == ["1.5", "1.25"]
    assert float(slices[0].SpacingBetweenSlices) == float(slices[0].SliceThickness) == 2.0


def test_a_slice_names_the_acquired_slices_it_rests_on(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    acquired = {i.sop_instance_uid for i in study.instances}
    ds = derived(encoded, knee_result(study))[3]  # between the second and the third
    named = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
    assert set(named) == {study.instances[1].sop_instance_uid, study.instances[2].sop_instance_uid} <= acquired
    assert {item.SpatialLocationsPreserved for item in ds.SourceImageSequence} == {"NO"}
    assert [item.CodeValue for item in ds.DerivationCodeSequence] == ["113085", "SUPERRES"]


def test_acquisition_stays_and_equipment_is_ours(tmp_path: Path, encoded: Encode) -> None:
    ds = derived(encoded, knee_result(knee_study(tmp_path / "in")))[0]
    assert (ds.EchoTime, ds.RepetitionTime, ds.MagneticFieldStrength) == (30, 2500, 3)
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "RESAMPLED"]
    assert (ds.Manufacturer, ds.ManufacturerModelName) == ("Condyle", "knee_super_resolution")
    scanner, *_ = ds.ContributingEquipmentSequence
    assert (scanner.Manufacturer, scanner.PurposeOfReferenceCodeSequence[0].CodeValue) == ("Simulation", "109101")
    assert (ds.SeriesDate, ds.ContentTime, ds.AcquisitionDate) == ("20261122", "140506", "20261120")
    assert (ds.ContentQualification, ds.SyntheticData, ds.Laterality) == ("RESEARCH", "YES", "R")


def test_the_setting_for_synthetic_data_is_kept_unless_the_source_has_it(tmp_path: Path, encoded: Encode) -> None:
    profile = EncodingProfile(kinds=("derived_series",), synthetic_data=False)
    study = knee_study(tmp_path / "in")
    assert "SyntheticData" not in derived(encoded, knee_result(study), profile=profile)[0]

    def synthetic(_: int, ds: Dataset) -> Dataset:
        ds.SyntheticData = "YES"
        return ds

    marked = knee_result(changed(study, synthetic))
    assert derived(encoded, marked, profile=profile)[0].SyntheticData == "YES"


def test_what_lies_outside_the_stored_range_is_clipped_not_wrapped(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    volume = result.derived[0].volume
    array = np.full_like(volume.array, -7)
    array[:, 3:, :] = 99999
    wild = replace(result.derived[0], volume=volume.with_array(array))
    pixels = derived(encoded, replace(result, derived=(wild,)))[0].pixel_array
    assert (pixels[:3] == 0).all()
    assert (pixels[3:] == 4095).all()  # 12 bits stored


def test_one_signed_slice_among_unsigned_ones_takes_no_value_away(tmp_path: Path, encoded: Encode) -> None:
    def bright(index: int, ds: Dataset) -> Dataset:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, int(index == 2)
        value = -5 if index == 2 else 43800
        ds.PixelData = np.full((int(ds.Rows), int(ds.Columns)), value).astype(np.uint16).tobytes()
        return ds

    slices = derived(encoded, knee_result(changed(knee_study(tmp_path / "in"), bright)))
    real = [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices]
    np.testing.assert_allclose(real[0], 43800, atol=1)
    np.testing.assert_allclose(real[4], -5, atol=1)  # the third slice: one is made between each two


def test_each_echo_becomes_a_series(tmp_path: Path, encoded: Encode) -> None:
    slices = derived(encoded, knee_result(knee_study(tmp_path / "in", echo_times_ms=(10.0, 40.0))))
    series = {ds.SeriesInstanceUID: ds for ds in slices}
    assert sorted(float(ds.EchoTime) for ds in series.values()) == [10, 40]
    assert len({ds.SeriesNumber for ds in series.values()}) == 2
    assert all("TE" in ds.SeriesDescription and len(ds.SeriesDescription) <= 64 for ds in series.values())


def test_one_window_for_the_series(tmp_path: Path, encoded: Encode) -> None:
    def window(index: int, ds: Dataset) -> Dataset:
        ds.WindowCenter = [str(400 + 10 * index), "5"]
        ds.WindowWidth = ["800", "10"]
        return ds

    slices = derived(encoded, knee_result(changed(knee_study(tmp_path / "in"), window)))
    assert {(float(ds.WindowCenter), float(ds.WindowWidth)) for ds in slices} == {(425.0, 800.0)}


def test_an_enhanced_object_becomes_a_classic_series(tmp_path: Path, encoded: Encode) -> None:
    series, voxels = enhanced_mr(tmp_path / "in")
    (stack,) = stacks(series)
    slices = derived(encoded, Result(Model("m", "1", "0", ""), "Enhanced", (series,), derived=(doubled(stack),)))
    first, last = slices[0], slices[-1]
    assert first.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    np.testing.assert_array_equal(first.pixel_array, voxels[0, 0])
    assert [float(v) for v in last.ImagePositionPatient] == [10, 20, 42]
    assert (first.EchoTime, first.RepetitionTime, first.ScanningSequence) == (10, 2000, "SE")
    assert [item.ReferencedFrameNumber for item in first.SourceImageSequence] == [5, 4]
    assert "PerFrameFunctionalGroupsSequence" not in first
    assert (float(first.RescaleIntercept), float(first.RescaleSlope)) == (5, 1)


def test_slices_with_rescales_of_their_own_get_a_common_one(tmp_path: Path, encoded: Encode) -> None:
    series, voxels = enhanced_mr(tmp_path / "in", rescale_slopes=(1.0, 2.0, 3.0, 0.5, 1.0))
    (stack,) = stacks(series)
    slices = derived(encoded, Result(Model("m", "1", "0", ""), "Philips", (series,), derived=(doubled(stack),)))
    assert len({(str(ds.RescaleSlope), str(ds.RescaleIntercept)) for ds in slices}) == 1
    ds = slices[4]  # the third acquired slice
    real = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    np.testing.assert_allclose(real, voxels[0, 2] * 3.0 + 5, atol=float(ds.RescaleSlope))


def test_a_result_whose_parts_do_not_fit_is_refused(tmp_path: Path, encoded: Encode) -> None:
    result = knee_result(knee_study(tmp_path / "in"))
    broken: DerivedVolume = replace(result.derived[0], slice_sources=((0, 1),))
    with pytest.raises(EncodingError, match="sources are named for 1"):
        derived(encoded, replace(result, derived=(broken,)))


def test_what_must_not_travel_stays_behind(tmp_path: Path, encoded: Encode) -> None:
    def laden(_: int, ds: Dataset) -> Dataset:
        block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x01, "LO", "private")
        ds.add_new((0x6000, 0x3000), "OW", b"\0\0")
        ds.add_new((0x6000, 0x0010), "US", 4)
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
            ds.add_new(keyword, "US", 1)
        ds.IconImageSequence, ds.RequestAttributesSequence = [Dataset()], [Dataset()]
        ds.ReferencedPerformedProcedureStepSequence, ds.ReferencedImageSequence = [Dataset()], [Dataset()]
        ds.ReferencedStudySequence, ds.OriginalAttributesSequence = [Dataset()], [Dataset()]
        ds.StationName, ds.ImageComments, ds.PerformedProcedureStepDescription = "STATION", "comment", "step"
        ds.InstanceCreatorUID, ds.RetrieveAETitle, ds.InstanceAvailability = "1.2.3", "AE", "ONLINE"
        ds.DeviceUID, ds.DataSetTrailingPadding, ds.TemporalPositionIndex = "1.2.3", b"\0\0", 1
        ds.DigitalSignaturesSequence, ds.EncryptedAttributesSequence = [Dataset()], [Dataset()]
        return ds

    kept_out = {
        "SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue IconImageSequence StationName ImageComments",
        "RequestAttributesSequence ReferencedPerformedProcedureStepSequence ReferencedImageSequence InstanceCreatorUID",
        "ReferencedStudySequence OriginalAttributesSequence RetrieveAETitle InstanceAvailability",
        "PerformedProcedureStepDescription DataSetTrailingPadding TemporalPositionIndex DigitalSignaturesSequence",
        "EncryptedAttributesSequence",
    }
    keywords = {keyword for line in kept_out for keyword in line.split()}
    result = knee_result(changed(knee_study(tmp_path / "in"), laden))
    allowed_empty = {"ReferencedPerformedProcedureStepSequence"}  # Type 2 of the SR and key object modules
    for kind, objects in encoded(result).items():
        for ds in objects:
            assert not [e.tag for e in ds.iterall() if e.tag.is_private or e.tag.group & 0xFF00 == 0x6000], kind
            found = {keyword for keyword in keywords if keyword in ds and ds.get(keyword)}
            assert found - (allowed_empty if kind in ("report", "key_objects") else set()) == set(), kind


def test_reading_a_stack_and_writing_it_back_gives_the_source(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    (stack,) = stacks(study.series[0])
    volume = read_stack(stack, stored=True)
    same = DerivedVolume(
        volume,
        stack.references,
        tuple((k,) for k in range(len(volume.array))),
        "",
        "Copy",
        (codes.SPATIAL_RESAMPLING,),
        4.0,
    )
    result = replace(knee_result(study), derived=(same,))
    for ds, source in zip(derived(encoded, result), study.series[0].headers, strict=True):
        np.testing.assert_allclose(ds.ImagePositionPatient, source.ImagePositionPatient, atol=1e-4)
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_slices_whose_least_value_is_white_become_a_series_the_right_way_round(tmp_path: Path, encoded: Encode) -> None:
    def inverted(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = (4095 - ds.pixel_array).astype(np.uint16).tobytes()
        ds.PhotometricInterpretation = "MONOCHROME1"
        return ds

    plain = derived(encoded, knee_result(knee_study(tmp_path / "plain")))
    turned = derived(encoded, knee_result(changed(knee_study(tmp_path / "in"), inverted)))
    for one, other in zip(plain, turned, strict=True):
        assert other.PhotometricInterpretation == "MONOCHROME2"
        real = other.pixel_array * float(other.RescaleSlope) + float(other.RescaleIntercept)
        np.testing.assert_allclose(real, one.pixel_array, atol=0.51)  # the plain one is rounded to whole numbers
