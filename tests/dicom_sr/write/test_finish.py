from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_sr.read.headers import made_by_us, plain
from dicom_sr.series import Study, read_studies
from tests.dicom_sr.conftest import Encode
from tests.factories import changed, joint_result, knee_result, knee_study, radiograph_study


def with_values(study: Study, **values: object) -> Study:
    def change(_: int, ds: Dataset) -> Dataset:
        for keyword, value in values.items():
            if value is None and keyword in ds:
                delattr(ds, keyword)
            elif value is not None:
                setattr(ds, keyword, value)
        return ds

    return changed(study, change)


def test_the_side_of_the_source_is_the_captures(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(joint_result(radiograph_study(tmp_path / "in", side="L")), "secondary_capture")["secondary_capture"]
    assert ds.Laterality == "L"


def test_an_unknown_side_is_empty_not_absent(tmp_path: Path, encoded: Encode) -> None:
    study = with_values(knee_study(tmp_path / "in"), Laterality=None)
    (ds,) = encoded(joint_result(study), "secondary_capture")["secondary_capture"]
    assert ds.Laterality in ("", None)
    assert "Laterality" in ds


def test_a_part_that_is_not_paired_has_no_side(tmp_path: Path, encoded: Encode) -> None:
    study = with_values(knee_study(tmp_path / "in"), BodyPartExamined="HEAD", Laterality=None)
    objects = encoded(knee_result(study), "secondary_capture", "derived_series")
    assert all("Laterality" not in ds for group in objects.values() for ds in group)


def test_both_sides_are_said_of_the_image(tmp_path: Path, encoded: Encode) -> None:
    right, left = (radiograph_study(tmp_path / side, side=side) for side in "RL")
    both = with_values(left, SeriesInstanceUID="2.25.77", SOPInstanceUID="2.25.78")
    paths = [i.path for study in (right, both) for i in study.instances]
    (study,) = read_studies(paths)
    (ds,) = encoded(joint_result(study), "secondary_capture")["secondary_capture"]
    assert ds.ImageLaterality == "B"
    assert "Laterality" not in ds


def test_a_segmentation_and_a_report_have_no_side(tmp_path: Path, encoded: Encode) -> None:
    objects = encoded(joint_result(radiograph_study(tmp_path / "in")), "report", "presentation_state")
    assert all("Laterality" not in ds for ds in objects["report"])
    assert objects["presentation_state"][0].Laterality == "L"


@pytest.mark.parametrize("kind", ["secondary_capture", "report", "presentation_state"])
def test_every_object_says_who_made_it_and_is_known_again(tmp_path: Path, encoded: Encode, kind: str) -> None:
    study = radiograph_study(tmp_path / "in")
    assert not made_by_us(study.series[0].headers[0])
    for ds in encoded(joint_result(study), kind)[kind]:
        assert made_by_us(ds)
        del ds.Manufacturer  # an archive may change the equipment; the contribution stays
        assert made_by_us(ds)


def test_a_copy_holds_nothing_private_at_any_depth() -> None:
    source, item = Dataset(), Dataset()
    item.add_new((0x0011, 0x0010), "LO", "SOMEONE")
    item.add_new((0x0011, 0x1001), "LO", "private")
    item.PatientID = "1"
    source.OtherPatientIDsSequence = [item]
    source.PatientName = ["A^B"]
    copy = plain(source)
    assert [e.keyword for e in copy.OtherPatientIDsSequence[0]] == ["PatientID"]
    assert (0x0011, 0x0010) in source.OtherPatientIDsSequence[0]  # the source is as it was


def test_several_names_stay_several() -> None:
    source = Dataset()
    source.OtherPatientNames = ["A^B", "C^D"]
    assert [str(name) for name in plain(source).OtherPatientNames] == ["A^B", "C^D"]
