"""What the heads make of real radiographs whose joints were marked by hand: the localiser has no part in it.

Nobody has graded these pictures. Of a healthy limb every grade above 0 is wrong; of an ill one it can only be said that
something is seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.calibration import DEFAULT_POOLING, Pooling
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.reading import LimbReading, Reader, pooled
from pipelines.hand_foot_scoring.scoring import NotScored, Reason, Scored
from pipelines.hand_foot_scoring.shape import ShapeModel, align
from pipelines.hand_foot_scoring.simulation.marked import MarkedPicture, marked
from pipelines.hand_foot_scoring.sites import REACH_MM, SITES, Part
from pipelines.hand_foot_scoring.windows import Pyramid, Window

_NOISE_MM, _ROUNDS = 2.0, 6  # of the fit of the arrangement to the marks


@dataclass(frozen=True)
class MarkedReading:
    """A marked picture and how its joints were read."""

    marks: MarkedPicture
    reading: LimbReading

    @property
    def total(self) -> float:
        """Sum of the expected grades of the cells that were graded."""
        return sum(r.expected for r in self.reading.cells.values() if isinstance(r, Scored))

    @property
    def graded(self) -> int:
        """Number of cells that were graded."""
        return sum(isinstance(r, Scored) for r in self.reading.cells.values())

    @property
    def unlike(self) -> int:
        """Number of cells of joints that are unlike the training data."""
        return sum(isinstance(r, NotScored) and r.reason is Reason.UNLIKE for r in self.reading.cells.values())

    @property
    def highest(self) -> tuple[str, float]:
        """The cell with the highest grade, as "MCP2 erosion", and that grade."""
        return max(
            ((f"{c.site} {c.kind}", r.expected) for c, r in self.reading.cells.items() if isinstance(r, Scored)),
            key=lambda pair: pair[1],
            default=("", 0.0),
        )


def limb_at(marks: MarkedPicture, shapes: Mapping[Part, ShapeModel]) -> Limb:
    """The limb of a marked picture as the localiser would give it if it found every marked site where it is marked.

    Parameters
    ----------
    marks
        With at least three scored sites.
    shapes
        The arrangements of the sites: they place the sites that are not marked.
    """
    model, names = shapes[marks.part], SITES[marks.part]
    mirror = np.array([-1.0 if marks.side == "R" else 1.0, 1.0])
    trust = np.array([float(name in marks.sites) for name in names])
    points = np.array([marks.sites.get(name, (0.0, 0.0)) for name in names]) * mirror
    modes = np.zeros(len(model.spread))
    for _ in range(_ROUNDS):
        similarity = align(model.shape(modes), points, trust)
        modes = model.weights(similarity.invert(points), trust, _NOISE_MM)
    similarity = align(model.shape(modes), points, trust)
    places = np.where(trust[:, None] > 0, points, similarity.apply(model.shape(modes))) * mirror
    expected = {name: (float(x), float(y)) for name, (x, y) in zip(names, places, strict=True)}
    return Limb(
        marks.part,
        marks.side,
        marks.quarter_turns,
        Window(np.eye(2, 3)),
        {name: Centre(expected[name], 1.0) for name in names if name in marks.sites},
        expected,
        REACH_MM[marks.part] * similarity.scale,
        1.0,
        0.0,
        model,
    )


def read_marked(reader: Reader, folder: Path, pooling: Pooling = DEFAULT_POOLING) -> Iterator[MarkedReading]:
    """The marked pictures of a folder, each read at its marks; pictures that are not there are left out.

    Parameters
    ----------
    reader
        Reads them.
    folder
        Where they lie, at any depth.
    pooling
        Which other joints on a picture inform a score.
    """
    for marks in marked():
        picture = marks.read(folder) if len(set(marks.sites) & set(SITES[marks.part])) > 2 else None
        if picture is None:
            continue
        pyramid = Pyramid.of(np.ascontiguousarray(picture))
        reading = reader.read_limb(pyramid, limb_at(marks, reader.trained.shapes))
        cells = pooled(reading.cells, reader.trained.calibration, pooling)
        yield MarkedReading(marks, replace(reading, cells=cells))


def figures(read: MarkedReading) -> dict[str, Any]:
    """The figures of one picture, for a table or JSON."""
    name, grade = read.highest
    return {
        "picture": read.marks.name,
        "use": read.marks.use,
        "part": read.marks.part,
        "finding": read.marks.finding,
        "length": read.reading.limb.length,
        "total": read.total,
        "graded": read.graded,
        "cells": len(read.reading.cells),
        "unlike": read.unlike,
        "highest": grade,
        "highest_cell": name,
        "foreign": {site: round(score, 3) for site, score in read.reading.foreign.items()},
    }


def evaluate_marked(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Read every marked picture of a folder with the bundle in question.

    Raises
    ------
    FileNotFoundError
        If the folder has none of the marked pictures.
    """
    reader = Reader(weights.load(options.bundle, options.device))
    rows = [figures(read) for read in read_marked(reader, options.films, options.pooling)]
    if not rows:
        raise FileNotFoundError(f"{options.films} has none of the marked pictures")
    table = Table("picture", "use", "finding", "length", "total", "graded", "unlike", "highest")
    for row in rows:
        table.add_row(
            row["picture"],
            row["use"],
            row["finding"],
            f"{row['length']:.0f}",
            f"{row['total']:.1f}" if row["graded"] else "-",  # a sum over nothing would read as a score of zero
            f"{row['graded']} of {row['cells']}",
            str(row["unlike"]),
            f"{row['highest']:.1f} {row['highest_cell']}" if row["graded"] else "-",
        )
    console.print(table)
    return {"pictures": rows}
