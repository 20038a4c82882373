"""Joint ultrasound as the 2-D network sees it: frames of stills and cines, cut to one field at one scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.read.frames import number_of_frames
from dicom_sr.read.pixels import Picture, frames
from dicom_sr.series import Instance
from pipelines.joint_classification.geometry import HEIGHT, PIXEL_MM, SIZE_2D, WIDTH
from pipelines.joint_classification.screen import Panel, Screen, take_apart

FRAMES = 12  # of a cine that are read
MAXIMUM_FRAMES = 2000  # of a cine that are looked at
SEEN_ROWS = SIZE_2D[0]  # of the field that the network looks at: below is the shadow of bone
SKIN_MM = 1.5  # depth at which the skin is put in the field
STEP_MM = 3.0  # between windows across a wide picture
WIDTHS_MM = (18.0, 65.0)  # of the picture of a probe for finger joints
COARSE_MM = 0.5  # a PixelSpacing so large is not of ultrasound: converters write 1 mm where they do not know
HIDDEN_SHARE = 0.25  # with more of the field under writing or colour, it is not read
BLUNT = 0.5  # of the median sharpness of a cine: frames below it are blurred by motion, or without contact

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """Where the network's field lies on a frame."""

    top: float  # row of its upper edge, may lie above the frame
    left: float  # column of its left edge
    pixel_mm: tuple[float, float]  # height, width of a pixel of the frame
    mirrored: bool = False  # turned left to right, so that the body side of the joint is to the left

    @property
    def step(self) -> tuple[float, float]:
        """Rows and columns of the frame to a pixel of the field."""
        return PIXEL_MM / self.pixel_mm[0], PIXEL_MM / self.pixel_mm[1]

    def outline(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """What the network looks at: closed, (5, 2) column and row, within a frame of `shape`."""
        top, bottom = np.clip([self.top, self.top + SEEN_ROWS * self.step[0]], 0, shape[0])
        left, right = np.clip([self.left, self.left + WIDTH * self.step[1]], 0, shape[1])
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)

    def paint(self, heat: Array, shape: tuple[int, int]) -> Array:
        """A map on the field, (HEIGHT, WIDTH), on the pixels of a frame of `shape`; 0 outside."""
        seen = heat[:, ::-1] if self.mirrored else heat
        step = np.array(self.step)
        # pixel centres: frame row r is at (r + 0.5 - top) / step - 0.5 of the field
        offset = (0.5 - np.array([self.top, self.left])) / step - 0.5
        painted = ndimage.affine_transform(seen, 1 / step, offset, shape, order=1, mode="constant", cval=0.0)
        return np.asarray(np.clip(painted, 0, 1), np.float32)


@dataclass(frozen=True)
class Frame:
    """A frame that can be read, taken apart."""

    picture: Picture
    screen: Screen
    panel: Panel

    @property
    def reference(self) -> ImageReference:
        """Which frame of which instance it is."""
        return self.picture.reference


@dataclass(frozen=True)
class Clip:
    """The frames of one instance, a still or a cine, that the network is to see."""

    frames: tuple[Frame, ...]  # in the order of time
    total: int  # frames that the instance has
    panels: int  # ultrasound pictures side by side on a frame
    pixel_mm: tuple[float, float]  # height, width
    scale_assumed: bool  # the width of the picture was set by the user, the image says nothing
    colour: bool  # some frame carries Doppler colour


def read_clip(instance: Instance, width_mm: float | None = None) -> Clip:
    """The frames of a still or cine that are worth reading.

    Of a cine as many sharp frames as `FRAMES`, spread over its time; of a dual picture the panel with less colour.

    Parameters
    ----------
    width_mm
        Width of the picture, where the image has no calibrated region.

    Raises
    ------
    UnsuitableInput
        If it cannot be decoded, shows no ultrasound picture, or none of known size of a probe for fingers.
    """
    total = number_of_frames(instance.header())
    read = []
    panels, reasons = 0, []
    for picture in _chosen(islice(frames(instance), MAXIMUM_FRAMES), min(total, MAXIMUM_FRAMES)):
        screen = take_apart(picture)
        try:
            panel = _panel(picture, screen, width_mm)
        except UnsuitableInput as error:
            reasons.append(str(error))
            continue
        panels = max(panels, len(screen.panels))
        read.append(Frame(picture, screen, panel))
    if not read:
        raise UnsuitableInput(max(reasons, key=reasons.count))
    pixel_mm = read[0].panel.pixel_mm
    assert pixel_mm is not None
    assumed = width_mm is not None and not any(region.pixel_mm for region in read[0].picture.regions)
    return Clip(tuple(read), total, panels, pixel_mm, assumed, any(f.panel.colour_share > 0.002 for f in read))


def _chosen(pictures: Iterable[Picture], total: int) -> list[Picture]:
    """Sharp pictures spread over time: from each of `FRAMES` stretches the sharpest, if it is sharp enough.

    One picture of each stretch is held at a time: a cine may have more than memory holds.
    """
    best: dict[int, tuple[float, Picture]] = {}
    sharp = []
    for index, picture in enumerate(pictures):
        stretch = index * FRAMES // total if total > FRAMES else index
        sharp.append(_sharpness(picture))
        if stretch not in best or sharp[-1] > best[stretch][0]:
            best[stretch] = (sharp[-1], picture)
    enough = BLUNT * float(np.median(sharp)) if total > FRAMES else -1.0
    return [picture for value, picture in best.values() if value >= enough]


def _sharpness(picture: Picture) -> float:
    """Mean difference of neighbouring rows: echoes are layered, so that blur and lost contact take it away."""
    values = np.asarray(picture.array[::2, ::2, 1] if picture.is_colour else picture.array[::2, ::2], np.float32)
    return float(np.abs(np.diff(values, axis=0)).mean())


def _panel(picture: Picture, screen: Screen, width_mm: float | None) -> Panel:
    """The panel to read, with its scale.

    Raises
    ------
    UnsuitableInput
        If there is none, or its size is not known, or it is not of a probe for finger joints.
    """
    if not screen.panels:
        raise UnsuitableInput("no ultrasound picture was found on the image")
    panel = min(screen.panels, key=lambda p: (p.colour_share > 0.002, p.box))  # of equals the left one
    columns = panel.box[2] - panel.box[0]
    pixel_mm = panel.pixel_mm
    if pixel_mm is None and width_mm is not None:
        pixel_mm = (width_mm / columns, width_mm / columns)
    if pixel_mm is None and picture.pixel_mm is not None and max(picture.pixel_mm) < COARSE_MM:
        pixel_mm = picture.pixel_mm
    if pixel_mm is None:
        raise UnsuitableInput("the image does not say how large a pixel is (no calibrated region)")
    wide = columns * pixel_mm[1]
    if not WIDTHS_MM[0] <= wide <= WIDTHS_MM[1]:
        raise UnsuitableInput(
            f"the ultrasound picture is {wide:.0f} mm wide, that of a probe for finger joints is"
            f" {WIDTHS_MM[0]:.0f} to {WIDTHS_MM[1]:.0f} mm"
        )
    return Panel(panel.box, pixel_mm, panel.colour_share)


def windows(picture: Picture, width_mm: float | None = None) -> Array:
    """Every window of one picture as the network takes it: (N, HEIGHT, WIDTH) in 0..1.

    Raises
    ------
    UnsuitableInput
        As `read_clip` does.
    """
    screen = take_apart(picture)
    frame = Frame(picture, screen, _panel(picture, screen, width_mm))
    return np.stack([sample(frame, field) for field in fields(frame)])


# ---- fields
def fields(frame: Frame) -> tuple[Field, ...]:
    """Where on a frame the joint may lie: windows across the picture, each as it is and mirrored."""
    left, _, right, _ = frame.panel.box
    pixel_mm = frame.panel.pixel_mm
    assert pixel_mm is not None
    top = _skin(frame) - SKIN_MM / pixel_mm[0]
    wide = WIDTH * PIXEL_MM / pixel_mm[1]
    room = (right - left) - wide
    count = 1 + max(0, int(np.ceil(room * pixel_mm[1] / STEP_MM - 0.2)))
    starts = left + (np.linspace(0, room, count) if count > 1 else np.array([room / 2]))
    return tuple(Field(top, float(start), pixel_mm, mirrored) for start in starts for mirrored in (False, True))


def _skin(frame: Frame) -> float:
    """The row of the skin: where, below the gel, half of the brightness of the first millimetres is reached."""
    left, top, right, bottom = frame.panel.box
    assert frame.panel.pixel_mm is not None
    rows = max(4, round(5.0 / frame.panel.pixel_mm[0]))
    part = frame.screen.grey[top : min(bottom, top + rows), left:right]
    profile = ndimage.gaussian_filter1d(np.median(part, axis=1), 1.0)
    return top + float(np.argmax(profile >= 0.5 * profile.max()))


def sample(frame: Frame, field: Field) -> Array:
    """The field as the network takes it: (HEIGHT, WIDTH) in 0..1, black beside the picture.

    What lies under writing or colour is filled in from its surroundings.

    Raises
    ------
    UnsuitableInput
        If too much of the field is hidden.
    """
    seen, weight, inside = _resampled(frame, field)
    hidden = inside & (weight < 0.35)
    if hidden.sum() > HIDDEN_SHARE * max(1, inside.sum()):
        share = hidden.sum() / inside.sum()
        raise UnsuitableInput(f"{share:.0%} of the picture is no echo: writing or colour lies over it, or it is none")
    values = np.where(weight > 0, seen / np.maximum(weight, 1e-3), 0)
    if hidden.any():
        known = (~hidden & inside).astype(np.float32)
        near = ndimage.gaussian_filter(known, 2.0)
        around = ndimage.gaussian_filter(values * known, 2.0) / np.maximum(near, 1e-3)
        values = np.where(hidden, around, values)
    values = np.clip(np.where(inside, values, 0), 0, 1)
    return np.asarray(values[:, ::-1] if field.mirrored else values, np.float32)


def _resampled(frame: Frame, field: Field) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Grey value times weight, weight (share of the pixel not hidden), and what lies in the picture at all."""
    step = np.array(field.step)
    left, top, right, bottom = frame.panel.box
    margin = np.ceil(2 * step).astype(int)
    first = np.floor([field.top, field.left]).astype(int) - margin
    last = np.ceil([field.top + HEIGHT * step[0], field.left + WIDTH * step[1]]).astype(int) + margin
    rows = slice(max(first[0], top), max(min(last[0], bottom), max(first[0], top)))
    columns = slice(max(first[1], left), max(min(last[1], right), max(first[1], left)))
    open_ = ~frame.screen.hidden[rows, columns]
    grey = frame.screen.grey[rows, columns] * open_
    # pixel centres: field row i is at top + (i + 0.5) step - 0.5 of the frame
    offset = np.array([field.top, field.left]) + 0.5 * step - 0.5 - np.array([rows.start, columns.start])
    blur = np.maximum(0.0, 0.4 * (step - 1))

    def bring(values: NDArray[np.generic]) -> Array:
        smooth = ndimage.gaussian_filter(np.asarray(values, np.float32), blur)
        moved = ndimage.affine_transform(smooth, step, offset, (HEIGHT, WIDTH), order=1, mode="constant")
        return np.asarray(moved, np.float32)

    place = np.stack(np.meshgrid(*(offset[a] + step[a] * np.arange((HEIGHT, WIDTH)[a]) for a in (0, 1)), indexing="ij"))
    inside = (place >= -0.5).all(0) & (place[0] <= grey.shape[0] - 0.5) & (place[1] <= grey.shape[1] - 0.5)
    return bring(grey), bring(open_), inside
