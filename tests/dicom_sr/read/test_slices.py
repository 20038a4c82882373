"""Series as scanners and archives leave them: what varies from slice to slice, and what is no slice at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.headers import MANUFACTURER
from dicom_sr.read.slices import Aside, aside, images_of
from dicom_sr.read.stacks import SortedSeries, read_stack, sort_series, stacks
from tests.factories import changed, enhanced_mr, knee_study

Change = Callable[[int, Dataset], Dataset | None]
ACQUIRED = ["ORIGINAL", "PRIMARY", "M", "SE"]


def setting(values: Callable[[int], dict[str, Any]]) -> Change:
    """A change that sets attributes by the index of the slice; None deletes one."""

    def change(index: int, ds: Dataset) -> Dataset:
        for keyword, value in values(index).items():
            if value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)
        return ds

    return change


def sorted_knee(folder: Path, values: Callable[[int], dict[str, Any]], **knee: Any) -> SortedSeries:
    return sort_series(changed(knee_study(folder, **knee), setting(values)).series[0])


def turned(cosine: float, sine: float) -> dict[str, Any]:
    return {"ImageOrientationPatient": [f"{-sine:.6f}", f"{cosine:.6f}", "0", "0", "0", "-1"]}


@pytest.mark.parametrize(
    "values",
    [
        lambda i: {"ImageType": [*ACQUIRED, "NORM"][: 4 + i % 2]},
        lambda i: {"ImageType": ACQUIRED[: 3 + i % 2]},
        lambda i: {"EchoTime": f"{30 + (-1) ** i * 0.2:.2f}"},
        lambda i: {"EchoTime": None if i == 2 else "30"},
        lambda i: {"InversionTime": f"{150 + i % 3}"},
        lambda i: {"TemporalPositionIdentifier": i + 1},
        lambda i: {"TemporalPositionIndex": 1 + i % 2},
        lambda i: {"EchoNumbers": None if i % 2 else 1},
        lambda i: {"AcquisitionNumber": 1 + i % 2},
        lambda i: {"FrameOfReferenceUID": None} if i == 3 else {},
        lambda i: {"SliceThickness": f"{3 + i / 1000:.3f}"},
    ],
    ids=["one more type", "one less type", "echo", "no echo", "inversion", "time", "halves", "number", "acquisition",
         "frame", "thickness"],
)  # fmt: skip
def test_what_varies_from_slice_to_slice_makes_no_stacks(tmp_path: Path, values: Any) -> None:
    found = sorted_knee(tmp_path, values)
    (stack,) = found.stacks
    assert (len(stack.slices), stack.label) == (6, "")
    assert stack.spacing_mm == pytest.approx(4.0)
    assert found.left_aside == ()


def test_phases_are_stacks_where_they_lie_at_one_place(tmp_path: Path) -> None:
    two = {"echo_times_ms": (30.0, 30.0)}
    found = sorted_knee(tmp_path, lambda i: {"TemporalPositionIdentifier": 1 + i % 2}, **two)
    assert [(stack.label, len(stack.slices)) for stack in found.stacks] == [
        ("echo 1, TE 30.0 ms, phase 1", 6),
        ("echo 2, TE 30.0 ms, phase 2", 6),
    ]


def test_a_label_names_no_echo_that_is_another_in_every_slice(tmp_path: Path) -> None:
    def values(index: int) -> dict[str, Any]:
        return {"TemporalPositionIdentifier": 1 + index % 2, "EchoNumbers": 1 + index // 2 % 3}

    found = sorted_knee(tmp_path, values, echo_times_ms=(30.0, 30.0))
    assert [stack.label for stack in found.stacks] == ["TE 30.0 ms, phase 1", "TE 30.0 ms, phase 2"]


def test_an_echo_time_that_jitters_does_not_mix_two_phases(tmp_path: Path) -> None:
    jitter = (0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1)  # a few slices at one place differ in it

    def values(index: int) -> dict[str, Any]:
        return {"TemporalPositionIdentifier": 1 + index % 2, "EchoTime": f"{29.8 + 0.4 * jitter[index]:.1f}"}

    found = sorted_knee(tmp_path, values, echo_times_ms=(30.0, 30.0))
    assert [len(stack.slices) for stack in found.stacks] == [6, 6]
    for stack in found.stacks:
        assert len({int(one.header.TemporalPositionIdentifier) for one in stack.slices}) == 1


def test_a_time_of_its_own_for_each_image_hides_no_second_type_of_image(tmp_path: Path) -> None:
    def values(index: int) -> dict[str, Any]:
        types = [ACQUIRED, [*ACQUIRED, "NORM"]]
        return {"TemporalPositionIdentifier": index + 1, "ImageType": types[index % 2], "EchoNumbers": 1}

    found = sorted_knee(tmp_path, values, echo_times_ms=(30.0, 30.0))
    assert [len(stack.slices) for stack in found.stacks] == [6, 6]
    for stack in found.stacks:
        assert len({str(one.header.ImageType) for one in stack.slices}) == 1


def test_echoes_that_are_close_and_jitter_stay_apart_where_they_lie_at_one_place(tmp_path: Path) -> None:
    found = sorted_knee(
        tmp_path,
        lambda i: {"EchoTime": f"{10 + i % 2 * 0.4 + i // 2 % 2 * 0.02:.2f}", "EchoNumbers": 1},
        echo_times_ms=(10.0, 10.4),
    )
    assert [len(stack.slices) for stack in found.stacks] == [6, 6]


def test_two_contrasts_in_turns_are_never_one_stack(tmp_path: Path) -> None:
    # every other slice is of another echo: each half is a stack with twice the spacing, none is mixed
    found = sorted_knee(tmp_path, lambda i: {"EchoTime": "10" if i % 2 else "80"}, shape=(8, 12, 10))
    assert [len(stack.slices) for stack in found.stacks] == [4, 4]
    assert [stack.spacing_mm for stack in found.stacks] == [pytest.approx(8.0)] * 2


def test_oblique_slices_far_from_the_origin_are_placed_along_one_normal(tmp_path: Path) -> None:
    half = np.sqrt(0.5)

    def oblique(index: int, ds: Dataset) -> Dataset:
        wobble = (-1) ** index * 3e-4
        ds.ImageOrientationPatient = turned(half + wobble, half - wobble)["ImageOrientationPatient"]
        # along the normal of the undisturbed plane, 250 mm from the origin within it
        place = np.array([half, half, 0]) * 4.0 * index + 250 * np.array([-half, half, 0])
        ds.ImagePositionPatient = [f"{value:.5f}" for value in place]
        return ds

    (stack,) = stacks(changed(knee_study(tmp_path), oblique).series[0])
    assert stack.spacing_mm == pytest.approx(4.0, abs=0.01)


# ---- what is left aside
def with_one_more(folder: Path, **values: Any) -> SortedSeries:
    """A knee whose seventh image is changed: the first six are the slices."""
    study = knee_study(folder, shape=(7, 24, 20))
    return sort_series(changed(study, setting(lambda i: values if i == 6 else {})).series[0])


NOWHERE = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage, "ImageType": ["DERIVED", "SECONDARY"], **NOWHERE}, "derived"),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "ImageType": None, **NOWHERE}, "a capture without a place"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], **NOWHERE}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR", "WATER"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SUB", "W"]}, "derived"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE", "WATER"]}, "derived"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]}, "a calculated map"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "a phase, real or imaginary part"),
        ({"SamplesPerPixel": 3}, "in colour"),
        ({"Manufacturer": MANUFACTURER}, "a result of this node"),
        (
            {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR", "Rows": None, **NOWHERE},
            "an object without pixels",
        ),
    ],
)
def test_one_image_that_is_no_slice_is_left_aside_and_named(tmp_path: Path, values: Any, reason: str) -> None:
    found = with_one_more(tmp_path, **values)
    assert [len(stack.slices) for stack in found.stacks] == [6]
    (aside,) = found.left_aside
    assert aside.sentence.startswith(f"Left aside: 1 image (7), {reason}")
    assert len(found.series.instances) == 6
    assert aside.images[0].sop_instance_uid not in {one.sop_instance_uid for one in found.series.instances}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage, **NOWHERE}, "no image has a place in the patient"),
        ({"ImageType": ["DERIVED", "PRIMARY", "T2 MAP"]}, "the series holds calculated maps only"),
    ],
)
def test_a_series_of_nothing_else_is_refused(tmp_path: Path, values: Any, sentence: str) -> None:
    with pytest.raises(UnsuitableInput, match=sentence):
        sorted_knee(tmp_path, lambda _: values)


def test_a_series_without_a_slice_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match=r"no acquired slices: 1 a localizer, 5 derived \(ImageType\)"):
        sorted_knee(
            tmp_path, lambda i: {"ImageType": ["DERIVED", "SECONDARY", "LOCALIZER"] if i else ["A", "B", "SCOUT"]}
        )


def test_a_refusal_names_what_was_left_aside(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match=r"at least 4 are needed; Left aside: 4 images \(3, 4, 5, 6\), derived"):
        sorted_knee(tmp_path, lambda i: {"ImageType": ["DERIVED", "PRIMARY"]} if i > 1 else {})


@pytest.mark.parametrize("phases", [("IN_PHASE", "OUT_PHASE"), ("IP", "OPP"), ("IN", "OUT")])
@pytest.mark.parametrize("first", ["ORIGINAL", "DERIVED"])
def test_of_dixon_images_water_is_chosen(tmp_path: Path, first: str, phases: tuple[str, str]) -> None:
    kinds = ["WATER", "FAT", *phases]

    def values(index: int) -> dict[str, Any]:
        value = first if index % 4 < 2 else "ORIGINAL"
        return {"ImageType": [value, "PRIMARY", "DIXON", kinds[index % 4]], "EchoNumbers": 1}

    found = sorted_knee(tmp_path, values, echo_times_ms=(10.0,) * 4)
    (stack,) = found.stacks
    assert {str(one.header.ImageType[3]) for one in stack.slices} == {"WATER"}
    np.testing.assert_array_equal(read_stack(stack).array.shape, (6, 24, 20))
    assert sum(len(aside.images) for aside in found.left_aside) == 18


def test_water_alone_is_a_stack_although_scanners_call_it_derived(tmp_path: Path) -> None:
    found = sorted_knee(tmp_path, lambda _: {"ImageType": ["DERIVED", "PRIMARY", "W", "W", "DERIVED"]})
    assert [len(stack.slices) for stack in found.stacks] == [6]


def test_magnitude_is_chosen_and_a_series_of_phase_alone_is_kept(tmp_path: Path) -> None:
    def parts(index: int) -> dict[str, Any]:
        return {"ImageType": ["ORIGINAL", "PRIMARY", "MP"[index % 2], "ND"], "EchoNumbers": 1}

    found = sorted_knee(tmp_path / "both", parts, echo_times_ms=(10.0, 10.0))
    assert {str(one.header.ImageType[2]) for one in found.stacks[0].slices} == {"M"}
    (aside,) = found.left_aside
    assert aside.sentence == "Left aside: 6 images, a phase, real or imaginary part."
    alone = sorted_knee(tmp_path / "phase", lambda _: {"ImageType": ["ORIGINAL", "PRIMARY", "P"]})
    assert [len(stack.slices) for stack in alone.stacks] == [6]


def test_an_image_of_a_slice_class_without_a_place_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match="ImagePositionPatient"):
        with_one_more(tmp_path, **NOWHERE)


def test_frames_are_left_aside_one_by_one(tmp_path: Path) -> None:
    series, _ = enhanced_mr(tmp_path, echo_times_ms=(10.0, 30.0))
    header = series.headers[0]
    for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.FrameType = ["DERIVED", "PRIMARY", "T2", "T2 MAP"] if number % 2 else ["ORIGINAL", "PRIMARY", "T1", "NONE"]
        frame.MRImageFrameTypeSequence = [item]
    found = sort_series(series)
    assert [len(stack.slices) for stack in found.stacks] == [5]
    (aside,) = found.left_aside
    assert aside.sentence == "Left aside: 5 images (2, 4, 6, 8, 10), a calculated map."
    assert found.series is series  # its only object is in use


# ---- series of pictures
def test_a_presentation_state_among_images_gives_no_modality_and_is_no_image(tmp_path: Path) -> None:
    def state(index: int) -> dict[str, Any]:
        values = {"Modality": "PR", "SOPClassUID": GrayscaleSoftcopyPresentationStateStorage, "Rows": None}
        return {**values, "InstanceNumber": 0} if index == 0 else {}

    series = changed(knee_study(tmp_path), setting(state)).series[0]
    assert series.modality == "MR"
    images, asides = images_of(series)
    assert len(images.instances) == 5
    assert [aside.reason for aside in asides] == ["an object without pixels"]


def test_an_image_of_two_classes_is_of_none() -> None:
    header = Dataset()
    header.SOPClassUID = ["1.2.3", "1.2.4"]
    assert aside(header) is Aside.NO_IMAGE
