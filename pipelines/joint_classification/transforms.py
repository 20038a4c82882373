"""Transforms and handlers with which `inference.json` answers files, rather than the series of a study."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.answers import NetworkAnswers
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.geometry import SIZE_2D, SIZE_3D
from pipelines.joint_classification.image_files import image_files, read_picture, read_scan
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.prepare import INPUTS, prepare
from pipelines.joint_classification.volume import cut_head

FILE = "filename_or_obj"  # MONAI's key for where an image came from
UNREAD = "unread"  # key for why an image could not be read
REASONS = ("", "foreign", "uncertain")
COLUMNS = ("file", *CLASSES, "p_value", "entropy", "determined", "why not")


def files_in(folder: str, dimensions: Dimensions) -> list[dict[str, str]]:
    """The items of a data set: every picture or scan of a folder.

    Raises
    ------
    UnsuitableInput
        If there is none.
    """
    return [{"image": str(path)} for path in image_files(Path(folder), dimensions)]


class ReadImaged(MapTransform):  # type: ignore[misc]  # MONAI has no types
    """Reads a file as the node would: the joint cut out of a picture, the head out of a scan.

    One that cannot be read ends nothing: it becomes an empty image whose meta data say why.

    Parameters
    ----------
    keys
        Of the items.
    dimensions
        2 for pictures: (1, H, W) grey values 0..1; 3 for scans: (1, D, H, W) density.
    width_mm
        Of pictures that do not say how large a pixel is; None: they are refused.
    """

    def __init__(self, keys: Any, dimensions: Dimensions, width_mm: float | None = None) -> None:
        super().__init__(keys)
        self.dimensions, self.width_mm = dimensions, float("nan") if width_mm is None else width_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The items with their images."""
        found = dict(data)
        for key in self.key_iterator(found):
            path = Path(found[key])
            unread = ""
            try:
                image = self._read(path)
            except (UnsuitableInput, OSError, RuntimeError) as error:
                image, unread = np.zeros(SIZE_2D if self.dimensions == 2 else SIZE_3D, np.float32), str(error)
            meta = {FILE: str(path), UNREAD: unread}
            found[key] = MetaTensor(torch.from_numpy(np.array(image[None])), meta=meta)
        return found

    def _read(self, path: Path) -> NDArray[np.float32]:
        if self.dimensions == 2:
            return read_picture(path, self.width_mm)
        return cut_head(*read_scan(path)).density


class PrepareImaged(MapTransform):  # type: ignore[misc]
    """Brings images to the size and the values that the network sees; see `prepare`.

    Parameters
    ----------
    keys
        Of the items, images (1, ...).
    inputs
        What a volume is to hold: grey values, bone mask or their product.
    """

    def __init__(self, keys: Any, inputs: str = "grey") -> None:
        super().__init__(keys)
        self.inputs = INPUTS[inputs]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The items with prepared images."""
        found = dict(data)
        for key in self.key_iterator(found):
            image = prepare(np.asarray(found[key][0]), self.inputs)
            found[key] = MetaTensor(torch.from_numpy(image[None]), meta=found[key].meta)
        return found


class Judged(MapTransform):  # type: ignore[misc]
    """What the network's answers mean: (6,) probabilities of the classes, p-value, entropy, and number of the reason.

    The reason is that for which it is undetermined, its place in `REASONS`.

    Parameters
    ----------
    keys
        Of what the inferer gave.
    bundle
        Folder of the network's bundle.
    dimensions
        2 for pictures, 3 for scans.
    image
        Key of the prepared image.
    """

    def __init__(self, keys: Any, bundle: str, dimensions: Dimensions, image: str = "image") -> None:
        super().__init__(keys)
        self.model = load(dimensions, Path(bundle).resolve().parent)
        self.image = image

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The items with what was answered."""
        found = dict(data)
        prepared = np.asarray(found[self.image].cpu(), np.float32)[None]
        for key in self.key_iterator(found):
            answers = NetworkAnswers(**{name: np.asarray(value)[None] for name, value in found[key].items()})
            row = self.model.judged(answers, prepared)
            reason = REASONS.index(self.model.verdict(row).reason)
            found[key] = torch.tensor([*row.probabilities[0], row.p_value[0], row.entropy[0], float(reason)])
        return found


class AnswersTable:
    """Writes what was answered to every file as a table, `answers.csv`.

    Parameters
    ----------
    folder
        To write to.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.rows: list[tuple[str, ...]] = []

    def attach(self, engine: Engine) -> None:
        """Collect the answers of an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _add(self, engine: Engine) -> None:
        for item in engine.state.output:  # type: ignore[union-attr]
            meta = item["image"].meta
            *figures, reason = (float(value) for value in item["pred"])
            said = tuple("" if meta[UNREAD] else f"{value:.4f}" for value in figures)
            why = meta[UNREAD] or REASONS[int(reason)]
            self.rows.append((Path(meta[FILE]).name, *said, "no" if why else "yes", why))

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "answers.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])
