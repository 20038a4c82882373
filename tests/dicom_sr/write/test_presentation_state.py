from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

from dicom_sr.findings import Finding, ImageReference, Region, Result
from dicom_sr.series import Study, read_studies
from pipelines.joint_classification.codes import CLS_RA
from tests.dicom_sr.conftest import Encode
from tests.factories import MODEL, as_written, changed, enhanced_mr, joint_result, radiograph_study, ultrasound_study


def test_a_joint_is_a_circle_with_its_scores(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(joint_result(radiograph_study(tmp_path / "in"), (40, 30)), "presentation_state")[
        "presentation_state"
    ]
    assert ds.SOPClassUID.name == "Grayscale Softcopy Presentation State Storage"
    (annotation,) = ds.GraphicAnnotationSequence
    (graphic,) = annotation.GraphicObjectSequence
    assert graphic.GraphicType == "CIRCLE"
    centre, edge = np.reshape(graphic.GraphicData, (2, 2))
    np.testing.assert_allclose(centre, [40, 30])
    assert np.linalg.norm(edge - centre) == pytest.approx(8)
    (text,) = annotation.TextObjectSequence
    assert text.UnformattedTextValue == "MCP2 E2"


def test_a_label_at_the_edge_stays_inside_the_image(tmp_path: Path, encoded: Encode) -> None:
    (ds,) = encoded(joint_result(radiograph_study(tmp_path / "in"), (90, 115)), "presentation_state")[
        "presentation_state"
    ]
    (text,) = ds.GraphicAnnotationSequence[0].TextObjectSequence
    corners = [*text.BoundingBoxTopLeftHandCorner, *text.BoundingBoxBottomRightHandCorner]
    assert 0 <= corners[0] < corners[2] <= 96
    assert 0 <= corners[1] < corners[3] <= 120


def test_a_colour_image_gets_a_colour_state(tmp_path: Path, encoded: Encode) -> None:
    study = ultrasound_study(tmp_path / "in")
    outline = np.array([[10, 10], [90, 10], [90, 60], [10, 60], [10, 10]], float)
    region = Region(ImageReference(study.instances[0].sop_instance_uid), outline)
    finding = Finding("Joint", CLS_RA, None, region, image_label="RA 71 %")
    result = Result(MODEL, "Joint classification", study.series, (), (finding,))
    (ds,) = encoded(result, "presentation_state")["presentation_state"]
    assert ds.SOPClassUID.name == "Color Softcopy Presentation State Storage"
    assert ds.ICCProfile[12:16] in (b"spac", b"scnr")  # a display profile (mntr) is not allowed
    (graphic,) = ds.GraphicAnnotationSequence[0].GraphicObjectSequence
    assert graphic.GraphicType == "POLYLINE"
    np.testing.assert_allclose(np.reshape(graphic.GraphicData, (-1, 2)), outline)


def test_without_a_marked_place_there_is_no_state(tmp_path: Path, encoded: Encode) -> None:
    result = joint_result(radiograph_study(tmp_path / "in"))
    nowhere = replace(result.findings[0], region=None)
    assert encoded(replace(result, findings=(nowhere,)), "presentation_state") == {}


@pytest.mark.dcmtk
def test_dcmtk_reads_it_and_renders_the_image_through_it(
    tmp_path: Path, encoded: Encode, dcmtk: Callable[[str], Path]
) -> None:
    study = radiograph_study(tmp_path / "in")
    encoded(joint_result(study), "presentation_state")
    (state,) = (tmp_path / "objects").glob("*.dcm")
    picture = tmp_path / "out.pgm"
    subprocess.run([str(dcmtk("dcmp2pgm")), "-p", str(state), str(study.instances[0].path), str(picture)], check=True)
    header, pixels = picture.read_bytes().split(b"255\n", 1)
    assert b"96 120" in header
    assert np.frombuffer(pixels, np.uint8).std() > 10
    checked = subprocess.run([str(dcmtk("dcmpschk")), str(state)], capture_output=True, check=False)
    assert b"Test passed" in checked.stdout + checked.stderr


# ---- images that one state cannot show together
def marked(study: Study, frame: int | None = None) -> Result:
    """A result that marks the upper left corner of every image."""
    outline = np.array([[2, 2], [12, 2], [12, 9], [2, 9], [2, 2]], float)
    findings = tuple(
        Finding(f"Joint {number}", CLS_RA, None, Region(ImageReference(one.sop_instance_uid, frame), outline))
        for number, one in enumerate(study.instances, start=1)
    )
    return Result(MODEL, "Joint classification", study.series, (), findings)


def films(folder: Path, *changes: dict[str, object]) -> Study:
    """Films in one series: the first as it is, the others changed."""
    first = pydicom.dcmread(radiograph_study(folder).instances[0].path)
    paths = []
    for number, change in enumerate(({}, *changes)):
        ds = copy.deepcopy(first)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{first.SOPInstanceUID}.{number}")
        ds.InstanceNumber = number + 1
        for keyword, value in change.items():
            if value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)
        ds.PixelData = ds.PixelData[: 2 * int(ds.Rows) * int(ds.Columns)]
        paths.append(folder / f"film-{number}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    (study,) = read_studies(paths)
    return study


def shown(states: list[Dataset]) -> list[set[str]]:
    """The images that each state refers to."""
    return [
        {str(item.ReferencedSOPInstanceUID) for item in state.ReferencedSeriesSequence[0].ReferencedImageSequence}
        for state in states
    ]


def test_films_of_two_sizes_have_a_state_for_each_size(tmp_path: Path, encoded: Encode) -> None:
    study = films(tmp_path / "in", {"Rows": 100}, {})
    one, other, third = (instance.sop_instance_uid for instance in study.instances)
    states = encoded(marked(study), "presentation_state")["presentation_state"]
    assert shown(states) == [{one, third}, {other}]
    areas = [state.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner for state in states]
    assert [list(area) for area in areas] == [[96, 120], [96, 100]]
    assert len({state.InstanceNumber for state in states}) == 2


def test_films_of_two_rescales_have_a_state_for_each_but_not_for_two_spellings(tmp_path: Path, encoded: Encode) -> None:
    study = films(
        tmp_path / "in",
        {"RescaleSlope": "1.0", "RescaleIntercept": "0.00"},
        {"RescaleSlope": "2", "RescaleIntercept": "-5"},
    )
    one, same, other = (instance.sop_instance_uid for instance in study.instances)
    states = encoded(marked(study), "presentation_state")["presentation_state"]
    assert shown(states) == [{one, same}, {other}]
    assert [(float(state.RescaleSlope), float(state.RescaleIntercept)) for state in states] == [(1, 0), (2, -5)]


@pytest.mark.filterwarnings("ignore")  # pydicom warns of such values
@pytest.mark.parametrize(
    "change",
    [
        {"WindowWidth": None},
        {"WindowCenter": "", "WindowWidth": ""},
        {"RescaleIntercept": None},
        {"RescaleType": None},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTFunction": ""},
        {"VOILUTFunction": "FOO"},
        {"WindowCenterWidthExplanation": "W" * 70},
        {"SamplesPerPixel": None},
        {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
    ],
)
def test_a_header_that_is_half_filled_costs_no_state(
    tmp_path: Path, encoded: Encode, change: dict[str, object]
) -> None:
    study = films(tmp_path / "in", change)
    states = encoded(marked(study), "presentation_state")["presentation_state"]
    assert set.union(*shown(states)) == {instance.sop_instance_uid for instance in study.instances}


@pytest.mark.filterwarnings("ignore")  # pydicom warns of such values
def test_a_slope_of_nothing_is_shown_as_it_is_read(tmp_path: Path, encoded: Encode) -> None:
    def flat(_: int, ds: Dataset) -> Dataset:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "0", "5", "US"
        return ds

    study = changed(radiograph_study(tmp_path / "in"), flat)
    (state,) = encoded(joint_result(study), "presentation_state")["presentation_state"]
    assert float(state.get("RescaleSlope", 1)) == 1
    assert float(state.get("RescaleIntercept", 0)) == 0


@pytest.mark.filterwarnings("ignore")  # pydicom warns of such values
def test_odd_words_in_functional_groups_cost_no_state(tmp_path: Path, encoded: Encode) -> None:
    series, _ = enhanced_mr(tmp_path / "in")
    path = series.instances[0].path
    ds = pydicom.dcmread(path)
    window = Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = "100", "200", "FOO"
    window.WindowCenterWidthExplanation = "W" * 70
    ds.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [window]
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.pop("PixelValueTransformationSequence", None)
    ds.save_as(path)
    (state,) = encoded(marked(read_studies([path])[0], frame=4), "presentation_state")["presentation_state"]
    assert float(state.SoftcopyVOILUTSequence[0].WindowWidth) == 200
    assert state.SoftcopyVOILUTSequence[0].WindowCenterWidthExplanation == "W" * 64


def test_a_grey_cine_has_a_state_on_the_frame_that_is_marked(tmp_path: Path, encoded: Encode) -> None:
    study = films(tmp_path / "in")
    path = study.instances[0].path
    ds = pydicom.dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    ds.Modality, ds.NumberOfFrames, ds.PixelData = "US", 3, ds.PixelData * 3
    ds.save_as(path, enforce_file_format=True)
    (state,) = encoded(marked(read_studies([path])[0], frame=2), "presentation_state")["presentation_state"]
    assert state.SOPClassUID.name == "Grayscale Softcopy Presentation State Storage"
    (image,) = state.GraphicAnnotationSequence[0].ReferencedImageSequence
    assert (image.ReferencedSOPClassUID, image.ReferencedFrameNumber) == (UltrasoundMultiFrameImageStorage, 2)
    assert float(state.SoftcopyVOILUTSequence[0].WindowWidth) == float(ds.WindowWidth)


def test_an_enhanced_object_with_a_rescale_for_each_frame_shows_that_of_the_marked_one(
    tmp_path: Path, encoded: Encode
) -> None:
    series, _ = enhanced_mr(tmp_path / "in", rescale_slopes=(1.0, 2.0, 1.0, 0.5, 1.0))
    study = Study(series.study_instance_uid, (series,))
    (state,) = encoded(marked(study, frame=4), "presentation_state")["presentation_state"]
    assert float(state.RescaleSlope) == 2.0
    (image,) = state.GraphicAnnotationSequence[0].ReferencedImageSequence
    assert image.ReferencedFrameNumber == 4


def test_a_palette_makes_colours(tmp_path: Path, encoded: Encode) -> None:
    study = films(tmp_path / "in", {"PhotometricInterpretation": "PALETTE COLOR"})
    states = encoded(marked(study), "presentation_state")["presentation_state"]
    assert [state.SOPClassUID.name.split()[0] for state in states] == ["Color", "Grayscale"]


@pytest.mark.dcmtk
def test_a_film_whose_least_value_is_white_is_shown_the_right_way_round(
    tmp_path: Path, encoded: Encode, dcmtk: Callable[[str], Path]
) -> None:
    """DCMTK shows it with the state as it does without."""

    def inverted(_: int, ds: Dataset) -> Dataset:
        ds.PixelData = (4095 - ds.pixel_array).astype(np.uint16).tobytes()
        ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        ds.WindowCenter = str(4095 - float(ds.WindowCenter))
        return ds

    study = changed(radiograph_study(tmp_path / "in"), inverted)
    (ds,) = encoded(joint_result(study), "presentation_state")["presentation_state"]
    assert ds.PresentationLUTShape == "INVERSE"
    shown: list[NDArray[np.float64]] = []
    for state in ([], ["-p", str(ds.filename)]):
        picture = tmp_path / f"{len(shown)}.pgm"
        command = [str(dcmtk("dcmp2pgm")), *state, str(study.instances[0].path), str(picture)]
        subprocess.run(command, check=True, capture_output=True)
        shown.append(np.asarray(Image.open(picture), np.float64).ravel())
    plain, with_state = (picture - picture.mean() for picture in shown)
    assert plain @ with_state > 0.9 * np.sqrt((plain @ plain) * (with_state @ with_state))


@pytest.mark.filterwarnings("ignore")  # pydicom warns of such values
@pytest.mark.parametrize(
    ("centre", "width", "kept"),
    [
        ("40,5", "300", True),
        ("40\\50", "300\\400", True),
        ("40\\50", "300", False),
        ("40", "0", False),
        ("40", "auto", False),
        ("", "300", False),
    ],
)
def test_a_window_that_is_none_is_left_out_and_the_markers_stay(
    tmp_path: Path, encoded: Encode, centre: str, width: str, kept: bool
) -> None:
    def odd(_: int, ds: Dataset) -> Dataset:
        as_written(ds, "WindowCenter", centre)
        as_written(ds, "WindowWidth", width)
        ds.WindowCenterWidthExplanation = ["A", "B", "C"]  # of windows that are not there
        return ds

    study = changed(radiograph_study(tmp_path / "in"), odd)
    (ds,) = encoded(joint_result(study), "presentation_state")["presentation_state"]
    assert len(ds.GraphicAnnotationSequence) == 1
    assert ("SoftcopyVOILUTSequence" in ds) is kept


def test_the_shape_of_the_grey_scale_counts_where_nothing_else_says_what_is_white(
    tmp_path: Path, encoded: Encode
) -> None:
    def inverse(_: int, ds: Dataset) -> Dataset:
        del ds.PhotometricInterpretation
        ds.PresentationLUTShape = "INVERSE"
        return ds

    study = changed(radiograph_study(tmp_path / "in"), inverse)
    (ds,) = encoded(joint_result(study), "presentation_state")["presentation_state"]
    assert ds.PresentationLUTShape == "INVERSE"
