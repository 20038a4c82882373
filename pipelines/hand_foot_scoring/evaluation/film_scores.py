"""Scores of the pictures in a folder as a table: what `python -m monai.bundle run` does with configs/inference.json."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading, read_file
from pipelines.hand_foot_scoring.scoring import NotScored, Scored
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, films_in

if TYPE_CHECKING:
    from pipelines.hand_foot_scoring.calibration import Pooling
    from pipelines.hand_foot_scoring.reading import Reader

TABLE = "scores.csv"
HEADING = ("film", "side", "limb", "site", "kind", "score", "standard_deviation", "maximum", "not_scored")


class FilmScores:
    """Reads every picture of a folder and writes a row for each cell of each limb.

    Parameters
    ----------
    reader
        With the bundle.
    films
        Folder of the pictures.
    folder
        For the table; it is made if missing.
    pooling
        What a score depends on besides its own joint.
    """

    def __init__(self, reader: Reader, films: str | Path, folder: str | Path, pooling: Pooling) -> None:
        self.reader, self.films, self.folder, self.pooling = reader, Path(films), Path(folder), pooling

    def run(self) -> Path:
        """Write the table.

        Raises
        ------
        UnreadableData
            If there is no picture in the folder.
        """
        paths = films_in(self.films) if self.films.is_dir() else []
        if not paths:
            raise UnreadableData(f"{self.films}: is no folder with pictures (PNG, JPEG, BMP, TIFF, MetaImage, DICOM)")
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self.folder / TABLE
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(HEADING)
            for path in paths:
                name = path.relative_to(self.films).as_posix()
                writer.writerows((name, *row) for row in _rows(read_file(path, self.reader, self.pooling)))
        return table


def _rows(film: FilmReading) -> Iterator[tuple[object, ...]]:
    """What was read of each cell, as texts under `HEADING` but for the film; one row where no limb was found."""
    if not film.cells:
        yield "", "", "", "", "", "", "", film.refusal or film.shown
    for cell, reading in film.cells.items():
        place = (cell.side, cell.limb, cell.site, cell.kind)
        if isinstance(reading, Scored):
            yield (*place, f"{reading.expected:.3f}", f"{reading.standard_deviation:.3f}", cell.maximum, "")
        else:
            why = reading.reason.value if isinstance(reading, NotScored) else "the joint is not there"
            yield (*place, "", "", cell.maximum, why)
