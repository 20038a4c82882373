"""The inputs of a bundle: which stack or picture of a study is which, and each as an array with its place in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference, LeftAside, Volume
from dicom_sr.read.frames import frame_header, number_of_frames
from dicom_sr.read.headers import is_image, made_by_us
from dicom_sr.read.pixels import Picture, frames
from dicom_sr.read.stacks import Stack, read_stack, sort_series
from dicom_sr.series import Instance, Series, Study
from dicom_sr.words import counted
from pipelines.monai_bundle.conditions import conditions

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.01
_CROSS_SECTIONAL = {"CT", "MR", "PT"}


@dataclass(frozen=True)
class Chosen:
    """What was chosen for one input: a stack of slices, or one picture."""

    series: Series  # with the instances that it is of
    stack: Stack | None
    instance: Instance | None  # of a picture
    frame_number: int | None
    left_aside: tuple[LeftAside, ...] = ()

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """Its headers in classic terms."""
        if self.stack is not None:
            return tuple(one.header for one in self.stack.slices)
        assert self.instance is not None
        return (frame_header(self.instance.header(), self.frame_number or 1),)

    @property
    def references(self) -> tuple[ImageReference, ...]:
        """Its images or frames, in the order of the slices."""
        if self.stack is not None:
            return self.stack.references
        assert self.instance is not None
        return (ImageReference(self.instance.sop_instance_uid, self.frame_number),)


@dataclass(frozen=True)
class Image:
    """One input with its pixels."""

    chosen: Chosen
    array: NDArray[np.float32]  # (D, H, W), D is 1 for a picture; or (1, H, W, 3) in 0..255
    affine: NDArray[
        np.float64
    ]  # (4, 4): index (d, h, w, 1) to patient LPS, mm; of a picture without a place, its own mm
    has_scale: bool = True  # whether the millimetres of a picture are known

    @property
    def is_picture(self) -> bool:
        """Whether it is one picture, not a stack."""
        return self.chosen.stack is None

    @property
    def volume(self) -> Volume:
        """The grid with the values."""
        return Volume(self.array, self.affine)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4): index (w, h, d, 1) to RAS, mm, as MONAI has it."""
        return np.asarray(LPS_TO_RAS @ self.affine[:, [2, 1, 0, 3]])

    def as_monai_reads_it(self) -> tuple[NDArray[np.float32], int | None]:
        """The array as MONAI's readers give it, (W, H, D), (W, H) or (W, H, 3), and its axis of channels."""
        if self.array.ndim == 4:
            return np.ascontiguousarray(self.array[0].transpose(1, 0, 2)), -1
        if self.is_picture:
            return np.ascontiguousarray(self.array[0].T), None
        return np.ascontiguousarray(self.array.transpose(2, 1, 0)), None


def choose(study: Study, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Chosen]:
    """What of a study is which input; only headers are read.

    Raises
    ------
    UnsuitableInput
        If nothing fits an input, or more than one thing, or one thing fits two.
    """
    there, refused = _candidates(study)
    found: dict[str, Chosen] = {}
    for name, clauses in inputs.items():
        clause = conditions(clauses)
        fitting = [one for one in there if clause.holds(one.headers)]
        wanted = clause.words or "anything"
        if not fitting:
            why = f"; of what is there, {'; '.join(refused)}" if refused else ""
            raise UnsuitableInput(f"there are no images for the input {name} ({wanted}){why}")
        if len(fitting) > 1:
            shown = ", ".join(map(_shown, fitting[:5]))
            raise UnsuitableInput(
                f"{len(fitting)} stacks or pictures fit the input {name} ({wanted}): {shown}; one is needed"
            )
        found[name] = fitting[0]
    for name, one in found.items():
        same = [other for other, chosen in found.items() if chosen is one and other != name]
        if same:
            raise UnsuitableInput(f"the inputs {name} and {same[0]} are the same images: the conditions do not differ")
    return found


def _shown(chosen: Chosen) -> str:
    number = chosen.headers[0].get("SeriesNumber")
    label = chosen.stack.label if chosen.stack is not None else ""
    return f"series {number if number is not None else '?'}{f' {label}' if label else ''}"


def _candidates(study: Study) -> tuple[list[Chosen], list[str]]:
    """Every stack and picture of the study, and why series that should hold some do not."""
    found: list[Chosen] = []
    refused: list[str] = []
    for series in study.series:
        if series.modality in _CROSS_SECTIONAL:
            try:
                sorted_ = sort_series(series)
            except UnsuitableInput as error:
                refused.append(str(error))
            else:
                found += [Chosen(sorted_.series, stack, None, None, sorted_.left_aside) for stack in sorted_.stacks]
        else:
            found += _pictures(series)
    return found, refused


def _pictures(series: Series) -> Iterator[Chosen]:
    for instance, header in zip(series.instances, series.headers, strict=True):
        if is_image(header) and not made_by_us(header):
            count = number_of_frames(header)
            alone = Series(
                series.series_instance_uid, series.study_instance_uid, series.modality, (instance,), series.attributes
            )
            for number in range(1, count + 1):
                yield Chosen(alone, None, instance, number if count > 1 else None)


def read(chosen: Chosen, *, in_colour: bool = False) -> Image:
    """The pixels of an input.

    Parameters
    ----------
    chosen
        What was chosen.
    in_colour
        Whether the bundle wants pictures with three channels in 0..255: grey ones are shown through their window.

    Raises
    ------
    UnsuitableInput
        If they cannot be decoded.
    """
    if chosen.stack is not None:
        volume = read_stack(chosen.stack)
        return Image(chosen, np.asarray(volume.array, np.float32), volume.affine)
    assert chosen.instance is not None
    picture = next(one for number, one in enumerate(frames(chosen.instance), 1) if number == (chosen.frame_number or 1))
    height, width = picture.pixel_mm or (picture.aspect, 1.0)
    affine = picture.affine
    if affine is None:
        affine = np.zeros((4, 4))
        affine[2, 0] = affine[3, 3] = 1.0
        affine[1, 1], affine[0, 2] = height, width
    array = _rgb(picture) if in_colour else _grey(picture)
    return Image(chosen, array[None], affine, picture.pixel_mm is not None)


def _grey(picture: Picture) -> NDArray[np.float32]:
    if picture.is_colour:  # ITU-R BT.601
        return np.asarray(picture.array @ np.array([0.299, 0.587, 0.114]), np.float32)
    return np.asarray(picture.array, np.float32)


def _rgb(picture: Picture) -> NDArray[np.float32]:
    if picture.is_colour:
        return np.asarray(picture.array, np.float32)
    array = np.asarray(picture.array, np.float32)
    low, high = picture.window or (float(array.min()), float(array.max()))
    shown = np.clip((array - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.repeat(np.round(shown)[..., None], 3, axis=2).astype(np.float32)


def brought_to(reference: Image, others: Sequence[Image]) -> tuple[list[Image], list[int]]:
    """Other inputs on the grid of the reference, and which of them had to be resampled (linear; 0 where there is none).

    Raises
    ------
    UnsuitableInput
        If one lies in another frame of reference, or is a picture.
    """
    made: list[Image] = []
    resampled: list[int] = []
    for index, one in enumerate(others):
        if one.array.shape == reference.array.shape and _same_place(one, reference):
            made.append(one)
            continue
        _refuse_other_frame(one, reference)
        made.append(Image(one.chosen, _resampled(one, reference), reference.affine))
        resampled.append(index)
    return made, resampled


def _same_place(one: Image, other: Image) -> bool:
    corners = np.array([[d, h, w, 1] for d in (0, 1) for h in (0, 1) for w in (0, 1)], np.float64)
    corners *= [*(size - 1 for size in one.array.shape[:3]), 1]
    apart = np.abs(corners @ (one.affine - other.affine).T)
    return bool(apart.max() < SAME_PLACE_MM)


def _refuse_other_frame(one: Image, reference: Image) -> None:
    if one.is_picture or reference.is_picture:
        raise UnsuitableInput("pictures of different size cannot be brought to one grid")
    frames_of = {str(image.chosen.headers[0].get("FrameOfReferenceUID") or "") for image in (one, reference)}
    if len(frames_of) > 1:
        raise UnsuitableInput("the inputs lie in different frames of reference: they are not aligned to each other")


def _resampled(one: Image, reference: Image) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    to_one = np.linalg.inv(one.affine) @ reference.affine
    made = affine_transform(
        one.array, to_one[:3, :3], to_one[:3, 3], output_shape=reference.array.shape, order=1, mode="constant"
    )
    return np.asarray(made, np.float32)


def described(images: Mapping[str, Image], resampled: Sequence[str], reference: str) -> list[str]:
    """Sentences on what was resampled."""
    if not resampled:
        return []
    named = " and ".join([", ".join(resampled[:-1]), resampled[-1]] if len(resampled) > 1 else resampled)
    words = counted(len(resampled), "input")
    return [f"{words} of {len(images)} resampled to the grid of {reference} (linear interpolation): {named}."]
