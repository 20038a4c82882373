"""Picture files read as the node reads them: what was found on each, or why it is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.series import Instance
from pipelines.hand_foot_scoring import HandFootScoring, films
from pipelines.hand_foot_scoring.calibration import Pooling
from pipelines.hand_foot_scoring.films import Film, LimbFilm
from pipelines.hand_foot_scoring.reading import Reader, pooled
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reading, Scored
from pipelines.hand_foot_scoring.training.data.film_files import METAIMAGE, PICTURES, Image, UnreadableData, grey

LEGEND = "Squares: joints with erosion (E) and narrowing (J). Dashed: not evaluable."


@dataclass(frozen=True)
class FilmReading:
    """One picture file."""

    path: Path
    film: Film | None  # None where its header rules it out, or it cannot be read
    limbs: tuple[LimbFilm, ...]
    refusal: str  # why the node gives it no score; "" where it gives one
    cells: Mapping[Cell, Reading] = field(default_factory=dict)  # of its limbs; none of a picture that is refused
    remarks: tuple[str, ...] = ()
    sop_instance_uid: str = ""  # of a DICOM file
    unreadable: bool = False  # it is no picture, or a damaged one

    def without_pixels(self) -> FilmReading:
        """The same without the picture, of which a thousand would not fit into memory."""
        if self.film is None:
            return self
        return self._with(np.broadcast_to(np.float32(0), self.film.array.shape))

    def with_pixels(self) -> FilmReading:
        """The same with the picture, read again."""
        if self.film is None:
            return self
        return self._with(films.bone_bright(grey(self.path), self.film.inverted))

    def _with(self, array: Image) -> FilmReading:
        assert self.film is not None
        film = replace(self.film, array=array)
        return replace(self, film=film, limbs=tuple(replace(limb, film=film) for limb in self.limbs))

    @property
    def size(self) -> str:
        """Width and height, pixels."""
        return "" if self.film is None else f"{self.film.array.shape[1]} x {self.film.array.shape[0]}"

    @property
    def total(self) -> float:
        """Sum of the expected grades; it is shown only where something was scored."""
        return sum(reading.expected for reading in self.cells.values() if isinstance(reading, Scored))

    @property
    def scored(self) -> int:
        """Number of cells with a grade."""
        return sum(isinstance(reading, Scored) for reading in self.cells.values())

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why cells have no grade, with the number of each reason."""
        return Counter(r.reason.value for r in self.cells.values() if isinstance(r, NotScored))

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Where picture and header disagree, in words: limbs that were not counted."""
        return tuple(dict.fromkeys(text for limb in self.limbs for text in limb.contradictions))

    @property
    def result(self) -> str:
        """The total in words, or that nothing was scored and why: a sum over nothing would read as a score of zero."""
        if self.scored:
            maximum = sum(cell.maximum for cell in self.cells)
            return f"total {self.total:.1f} of {maximum}, {self.scored} of {len(self.cells)} cells scored"
        counts = tuple(f"{count} x {reason}" for reason, count in self.reasons.items())
        return f"nothing was scored: {self.refusal or '; '.join((*self.contradictions, *counts))}"

    @property
    def shown(self) -> str:
        """What it was taken for, in words."""
        return ", ".join(_limb_words(limb) for limb in self.limbs) or "nothing"


def _limb_words(limb: LimbFilm) -> str:
    doubt = f" ({'; '.join(limb.contradictions)})" if limb.contradictions else ""
    return f"{limb.reading.limb.name}, {limb.reading.limb.view} view{doubt}"


def read_file(path: Path, reader: Reader, pooling: Pooling) -> FilmReading:
    """Read one picture as a study of its own; the header of a DICOM file rules it out as in the node.

    Parameters
    ----------
    path
        The file.
    reader
        Reads the picture.
    pooling
        Which other joints on the picture inform a score.
    """
    try:
        stored = _header(path)
        uid = str(stored.get("SOPInstanceUID") or "")
        header = films.read_header(stored)
        why_not = films.refusal(header)
        if why_not is not None:
            return FilmReading(path, None, (), why_not, sop_instance_uid=uid)
        array = grey(path)
    except (UnreadableData, UnsuitableInput) as error:
        return FilmReading(path, None, (), str(error).removeprefix(f"{path}: "), unreadable=True)
    film = films.read_picture(ImageReference(path.name), array, None, header, reader)
    limbs, remarks = films.choose([film])
    try:
        HandFootScoring.refuse((film,), limbs)
    except UnsuitableInput as error:
        return FilmReading(path, film, limbs, str(error), remarks=remarks, sop_instance_uid=uid)
    cells = pooled(films.readings(limbs), reader.trained.calibration, pooling)
    return FilmReading(path, film, limbs, "", cells, remarks, uid)


def _header(path: Path) -> Dataset:
    """The header of a DICOM file; of another picture one that says nothing."""
    if path.suffix.lower() in (*PICTURES, *METAIMAGE):
        return Dataset()
    return Instance("", "", path).header()
