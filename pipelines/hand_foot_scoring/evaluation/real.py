"""Real data in a known layout: landmarks, graded crops, graded patients."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.crops import normalised
from pipelines.hand_foot_scoring.evaluation import agreement, landmarks, tables
from pipelines.hand_foot_scoring.evaluation.surrogate import read_edges, surrogate
from pipelines.hand_foot_scoring.heads import head_of
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.reading import Reader, pooled
from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Reading, Scored
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.weights import Trained


def evaluate_landmarks(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Measure the localiser of a bundle on pictures whose sites are known: one row per label.

    The table has a row per picture and one of all hands and all feet; pictures that may have been trained on are
    counted apart.
    """
    finder = Finder(weights.load_localiser(options.bundle / LOCALISER), load_shapes(options.bundle / SHAPE))
    rows = landmarks.measure_folder(options.data, finder)
    columns = ("picture", "use", "found as", "sites", "found", "within 4 %", "median", "worst")
    table = Table(*columns, title=str(options.data.name), caption="Errors in lengths of hand or foot.")
    for name in dict.fromkeys(row.picture for row in rows):
        of_picture = [row for row in rows if row.picture == name]
        _summary_row(table, name, of_picture[0].use, of_picture[0].limb or "not found", of_picture)
    for part, use in dict.fromkeys((row.part, row.use) for row in rows):
        _summary_row(table, "all", use, part, [row for row in rows if (row.part, row.use) == (part, use)])
    console.print(table)
    return [asdict(row) for row in rows]


def _summary_row(table: Table, name: str, use: str, limb: str, rows: list[landmarks.Row]) -> None:
    summary = landmarks.summarise(rows)
    errors = (f"{summary.median:.4f}", f"{summary.worst:.4f}") if summary.found else ("-", "-")
    table.add_row(name, use, limb, str(summary.sites), str(summary.found), f"{summary.within_4_percent:.1%}", *errors)


def evaluate_ram(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure the damage network of a bundle on the graded crops of RAM-H1200."""
    graded, left_out = tables.read_ram(options.data)
    trained = weights.load(options.bundle)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for crop in graded:
        pairs.setdefault(crop.cell.kind, []).append((crop.grade, _expected(trained, crop)))
    figures: dict[str, Any] = {"left_out": left_out}
    for kind, values in pairs.items():
        truth, score = np.array(values).T
        figures[kind] = asdict(agreement.agreement(truth, score, 5 if kind == "erosion" else 4))
        console.print(kind, figures[kind])
    console.print(f"{left_out} grades were left out: this pipeline does not score their site, or their crop is missing")
    return figures


@torch.inference_mode()
def _expected(trained: Trained, crop: tables.GradedCrop) -> float:
    head = head_of(crop.cell)
    image = torch.from_numpy(normalised(crop.image)[None, None])
    raw = trained.damage(image, torch.tensor([CLASS_OF[crop.cell.limb, crop.cell.site]]))[head].numpy()
    return float(trained.calibration.alone(head, raw)[0] @ np.arange(crop.cell.maximum + 1))


def evaluate_dream(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure the whole pipeline on the graded patients of RA2-DREAM, over the cells that it could read.

    Raises
    ------
    FileNotFoundError
        If no joint of any picture could be read.
    """
    reader = Reader(weights.load(options.bundle))
    truth: dict[str, dict[str, NDArray[np.float64]]] = {}
    score: dict[str, dict[str, NDArray[np.float64]]] = {}
    unread = 0
    for patient in tables.read_dream(options.data):
        readings: dict[Cell, Reading] = {}
        for (side, limb), path in patient.pictures.items():
            for found in reader.read(tables.grey(path)):
                if (found.limb.side, found.limb.part) == (side, limb):
                    readings |= found.cells
        readings = pooled(readings, reader.trained.calibration, options.pooling)
        both = [c for c in CELLS if c in patient.grades and isinstance(readings.get(c), Scored)]
        unread += len(patient.grades) - len(both)
        if not both:
            continue
        kinds = {kind: [c for c in both if c.kind == kind] for kind in ("erosion", "narrowing")}
        truth[patient.patient] = {k: np.array([patient.grades[c] for c in cells]) for k, cells in kinds.items()}
        score[patient.patient] = {k: np.array([_score(readings[c]) for c in cells]) for k, cells in kinds.items()}
    if not truth:
        raise FileNotFoundError(f"no joint could be read on any picture in {options.data}")
    figures = asdict(surrogate(truth, score, read_edges(options.bins)))
    console.print("surrogate of the RA2-DREAM metrics, over cells that could be read:", figures)
    return {"surrogate": figures, "patients": len(truth), "cells_not_read": unread}


def _score(reading: Reading) -> float:
    assert isinstance(reading, Scored)
    return reading.expected
