"""Annotation files in the format of COCO: boxes, polygons and run-length encoded masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]  # left, top, width, height, pixels


@dataclass(frozen=True)
class Annotation:
    """One object on one picture."""

    name: str  # of its category
    box: Box | None
    segmentation: Any  # polygons, or runs; None where there is none
    shape: tuple[int, int]  # rows and columns of the picture

    def mask(self) -> Mask:
        """(H, W): the pixels of the object.

        Raises
        ------
        ValueError
            If the runs do not fit the picture.
        """
        if isinstance(self.segmentation, Mapping):
            size = tuple(self.segmentation["size"])
            if size != self.shape:
                raise ValueError(f"{self.name}: its mask has {size[0]} x {size[1]} pixels, its picture {self.shape}")
            return decoded(self.segmentation["counts"], self.shape)
        image = Pillow.new("1", self.shape[::-1])
        draw = ImageDraw.Draw(image)
        for polygon in self.segmentation or ():
            if len(polygon) >= 6:
                draw.polygon([(round(x), round(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)], fill=1)
        return np.asarray(image, bool)


def decoded(counts: str | bytes | Sequence[int], shape: tuple[int, int]) -> Mask:
    """The pixels that run lengths stand for: column after column, absent and present in turn.

    Parameters
    ----------
    counts
        A list, or the text that pycocotools writes: groups of five bits with a sixth for "more follow" from the
        character "0" on, each number but the first three as its difference from the one before the last.
    shape
        Rows and columns.

    Raises
    ------
    ValueError
        If they do not add up to the picture.
    """
    runs = _numbers(counts) if isinstance(counts, str | bytes) else [int(count) for count in counts]
    if sum(runs) != shape[0] * shape[1] or min(runs, default=0) < 0:
        raise ValueError(f"run lengths of {sum(runs)} pixels for a picture of {shape[0]} x {shape[1]}")
    present = np.arange(len(runs)) % 2 == 1
    return np.repeat(present, runs).reshape(shape, order="F")


def _numbers(text: str | bytes) -> list[int]:
    codes = text.encode("ascii") if isinstance(text, str) else text
    numbers: list[int] = []
    place = 0
    while place < len(codes):
        value = shift = 0
        while True:
            code = codes[place] - 48
            value |= (code & 0x1F) << shift
            place, shift = place + 1, shift + 5
            if not code & 0x20:
                break
            if place == len(codes):
                raise ValueError("run lengths that end within a number")
        if code & 0x10:
            value -= 1 << shift
        numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
    return numbers


def read(path: Path) -> dict[str, list[Annotation]]:
    """The annotations of each picture of a file, by the picture's file name.

    Raises
    ------
    UnreadableData
        If the file is not in this format; the message names it and what is missing.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        names = {int(category["id"]): str(category["name"]) for category in stored["categories"]}
        pictures = {
            int(image["id"]): (_file_name(image), (int(image["height"]), int(image["width"])))
            for image in stored["images"]
        }
        found: dict[str, list[Annotation]] = {name: [] for name, _ in pictures.values()}
        for annotation in stored["annotations"]:
            name, shape = pictures[int(annotation["image_id"])]
            category = names[int(annotation["category_id"])]
            found[name].append(Annotation(category, _box(annotation), annotation.get("segmentation"), shape))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableData(f"{path}: cannot be read ({error})") from error
    except KeyError as error:
        raise UnreadableData(f"{path}: an entry lacks or names an unknown {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UnreadableData(f"{path}: is not in the format of COCO ({error})") from error
    return found


def _box(annotation: Mapping[str, Any]) -> Box | None:
    if not annotation.get("bbox"):
        return None
    left, top, width, height = map(float, annotation["bbox"])
    return left, top, width, height


def _file_name(image: Mapping[str, Any]) -> str:
    """The picture's own name: an exporting tool may have put another one beside it."""
    extra = image.get("extra")
    return str(extra["name"] if isinstance(extra, Mapping) and extra.get("name") else image["file_name"])


def categories(path: Path) -> set[str]:
    """The names of the categories in a file; empty where it is not in this format."""
    try:
        return {str(category["name"]) for category in json.loads(path.read_text(encoding="utf-8"))["categories"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def encoded(mask: Mask) -> dict[str, Any]:
    """A mask (H, W) as run lengths, a list: for tests and examples."""
    flat = np.concatenate(([False], mask.ravel(order="F"), [not mask.ravel(order="F")[-1]]))
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate(([0], edges))).tolist()}
