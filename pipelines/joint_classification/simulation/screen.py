"""Simulated joints as a scanner shows them: on a screen with writing, rulers and Doppler, as stills and cines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pipelines.joint_classification.classes import Condition
from pipelines.joint_classification.geometry import PIXEL_MM
from pipelines.joint_classification.simulation.finger import draw_joint
from pipelines.joint_classification.simulation.scanner import doppler_overlay, machine, scan

TEXT = ("SIMULATED L12-5", "MSK  FR 32 Hz", "Gn 62  C 56", "D 2.1 cm", "MCP2 dorsal long", "MI 0.8  TIS 0.1")


@dataclass(frozen=True)
class Shown:
    """A frame of a scanner's screen, and where its picture lies."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    box: tuple[int, int, int, int]  # first column, first row, last column, last row of the picture, 0-based
    pixel_mm: float


def cine(
    rng: np.random.Generator, condition: Condition, severity: float, frames: int, age: float = 55.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A sweep over one joint, and the flow in it.

    The probe slides along the finger and back by a few millimetres, its pressure and angle change the brightness a
    little, the noise is new in every frame, and flow comes and goes with the pulse.

    Parameters
    ----------
    rng
        Draws everything.
    condition
        Class of the joint.
    severity
        0..1.
    frames
        Number of frames.
    age
        Years.

    Returns
    -------
    tuple
        Pictures and flow, (frames, H, W) in 0..1 each.
    """
    tissue = draw_joint(rng, condition, severity, age)
    settings = machine(rng)
    image = scan(rng, tissue, settings)
    phase = rng.uniform(0, 2 * np.pi)
    pictures, flows = [], []
    for number in range(frames):
        angle = phase + 2 * np.pi * number / max(frames, 24)
        moved = 6.0 * np.sin(angle), 1.0 * np.sin(1.7 * angle)  # columns, rows
        picture = ndimage.shift(image, (moved[1], moved[0]), order=3, mode="mirror")
        gain = 1.0 + 0.05 * np.sin(2.3 * angle)
        noise = 0.02 * rng.standard_normal(image.shape)
        pictures.append(np.clip(gain * picture + noise, 0, 1).astype(np.float32))
        pulse = max(0.0, np.sin(2 * np.pi * number / 20)) ** 2
        flow = ndimage.shift(np.asarray(tissue.doppler, np.float32), (moved[1], moved[0]), order=0)
        flows.append(np.asarray(flow * (0.3 + 0.7 * pulse), np.float32))
    return np.stack(pictures), np.stack(flows)


def show(
    picture: NDArray[np.float32],
    flow: NDArray[np.float32] | None = None,
    size: tuple[int, int] = (480, 640),
    pixel_mm: float = 0.055,
    text: tuple[str, ...] = TEXT,
    rulers: bool = True,
) -> Shown:
    """A simulated picture on the screen of a scanner.

    Parameters
    ----------
    picture
        (H, W) in 0..1.
    flow
        (H, W) in 0..1: shown as power Doppler in a colour box; None: no Doppler.
    size
        Rows and columns of the screen.
    pixel_mm
        Size of a pixel of the screen, mm.
    text
        Lines of writing.
    rulers
        Whether a depth ruler is shown.
    """
    rng = np.random.default_rng(0)
    enlarged = np.clip(ndimage.zoom(picture, PIXEL_MM / pixel_mm, order=3, mode="mirror", grid_mode=True), 0, 1)
    rgb = np.repeat(np.round(255 * enlarged).astype(np.uint8)[..., None], 3, axis=2)
    if flow is not None:
        wide = ndimage.zoom(flow, PIXEL_MM / pixel_mm, order=1, mode="mirror", grid_mode=True)
        rgb = doppler_overlay(rng, enlarged.astype(np.float32), wide)
    screen = np.zeros((*size, 3), np.uint8)
    top, left = int(0.11 * size[0]), (size[1] - rgb.shape[1]) // 2
    rows, columns = min(rgb.shape[0], size[0] - top), min(rgb.shape[1], size[1])
    left = max(left, 0)
    screen[top : top + rows, left : left + columns] = rgb[:rows, :columns]
    box = (left, top, left + columns - 1, top + rows - 1)
    return Shown(_annotated(screen, box, pixel_mm, text, rulers, flow is not None), box, pixel_mm)


def _annotated(
    screen: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    pixel_mm: float,
    text: tuple[str, ...],
    rulers: bool,
    colour_box: bool,
) -> NDArray[np.uint8]:
    image = Image.fromarray(screen)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(9, screen.shape[0] // 40))
    for line, words in enumerate(text[:4]):
        draw.text((4, 4 + line * screen.shape[0] // 32), words, fill=(255, 255, 255), font=font)
    for line, words in enumerate(text[4:]):
        draw.text((screen.shape[1] * 0.62, 4 + line * screen.shape[0] // 32), words, fill=(220, 220, 220), font=font)
    if rulers:
        for tick in range(int((box[3] - box[1]) * pixel_mm / 5) + 1):
            row = box[1] + tick * 5 / pixel_mm
            draw.line((box[2] + 6, row, box[2] + (14 if tick % 2 == 0 else 10), row), fill=(255, 255, 255))
        draw.polygon([(box[0] + 3, box[1] - 9), (box[0] + 11, box[1] - 9), (box[0] + 7, box[1] - 2)], fill=(0, 220, 90))
    if colour_box:
        width, height = box[2] - box[0], box[3] - box[1]
        frame = (box[0] + 0.2 * width, box[1] + 0.12 * height, box[0] + 0.85 * width, box[1] + 0.55 * height)
        draw.rectangle(frame, outline=(240, 240, 60))
    return np.asarray(image)
