"""The figures of a set of probabilities, and how they are stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.training.calibration import positive_likelihood_ratio
from pipelines.lab.measures import bootstrap, expected_calibration_error, likeliest

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Measured = dict[str, Any]
BOOTSTRAPS = 200


def write_measured(path: Path, measured: Measured) -> None:
    """Write figures as JSON."""
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def figures(probabilities: Floats, labels: Integers, patients: Integers | None = None) -> Measured:
    """Every figure of a set of probabilities.

    Parameters
    ----------
    probabilities
        (N, C).
    labels
        (N,) true classes; a class that no case is of, or every case, has no AUROC.
    patients
        (N,) patient of each case, for 95 % intervals by bootstrap over patients; None: no intervals.
    """
    row = _point(probabilities, labels)
    if patients is not None:

        def point(rows: NDArray[np.intp]) -> Measured | None:
            every_class = len(np.unique(labels[rows])) == len(np.unique(labels))
            return _point(probabilities[rows], labels[rows]) if every_class else None

        row["interval"] = {name: list(ends) for name, ends in bootstrap(point, patients, BOOTSTRAPS).items()}
    return row


def _point(probabilities: Floats, labels: Integers) -> Measured:
    predicted = probabilities.argmax(1)
    there = [c for c in range(len(CLASSES)) if 0 < (labels == c).sum() < len(labels)]
    row: Measured = {f"auroc_{CLASSES[c]}": float(roc_auc_score(labels == c, probabilities[:, c])) for c in there}
    if there:
        row["auroc_macro"] = float(np.mean(list(row.values())))
    averages = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    row |= {name: float(value) for name, value in zip(("precision", "recall", "f1"), averages[:3], strict=True)}
    row["accuracy"] = float((predicted == labels).mean())
    for c, name in enumerate(CLASSES):
        row[f"lr_{name}"] = positive_likelihood_ratio(probabilities[:, c] >= 0.5, labels == c)[0]
    row["ece"] = expected_calibration_error(*likeliest(probabilities, labels))
    row["brier"] = float(np.square(probabilities - np.eye(len(CLASSES))[labels]).sum(1).mean())
    return row
