"""Whether the gate refuses what is none of the three classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from dicom_sr.errors import DicomError, UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, pictures
from dicom_sr.series import read_studies
from pipelines.joint_classification import signs
from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.evaluation.figures import Floats, Measured
from pipelines.joint_classification.evaluation.patients import PATIENTS, TEST_SEED
from pipelines.joint_classification.evaluation.shipped import refusals
from pipelines.joint_classification.image_files import PICTURES
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.prepare import INPUTS
from pipelines.joint_classification.simulation import unknown_heads, unknown_ultrasound
from pipelines.joint_classification.training.cases import simulated
from pipelines.joint_classification.training.cohort import Cohort, cohort, on_screen
from pipelines.joint_classification.ultrasound import windows

UNKNOWN_EACH = {2: 30, 3: 12}
USUAL_PROBE_MM = 38.0


def unknowns(dimensions: Dimensions, seed: int, each: int, inputs: str) -> Cohort:
    """Simulated cases of every kind that is none of the three classes.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of the cases.
    each
        Cases of each kind.
    inputs
        What a volume holds; one of `INPUTS`.
    """
    rng = np.random.default_rng(seed)
    if dimensions == 2:
        flat = [
            unknown_ultrasound.simulate_unknown(rng, kind, 0)
            for kind in unknown_ultrasound.UNKNOWN_KINDS
            for _ in range(each)
        ]
        return cohort(on_screen(flat, seed))
    solid = [unknown_heads.simulate_unknown(rng, kind, 0) for kind in unknown_heads.UNKNOWN_KINDS for _ in range(each)]
    return cohort(solid, INPUTS[inputs])


def foreignness(model: Classifier, images: NDArray[np.float32]) -> dict[str, Floats]:
    """Scores of how foreign images are: the gate's own first, then its parts, then others to compare with."""
    answers = ask(model.network, images)
    probabilities = model.calibration.probabilities(answers.logits)
    near = (answers.latent - model.map.centre) @ model.map.near
    apart = np.linalg.norm(near[:, None] - model.map.known[None], axis=2)
    safe = np.clip(probabilities, 1e-12, 1)
    seen = signs.measure(images)
    return {
        "gate": model.gate.rank(answers.statistics, answers.foreign, seen),
        "gate without signs": model.gate.rank(answers.statistics, answers.foreign),
        "Mahalanobis distance": model.gate.distance(answers.statistics),
        "none of these": answers.foreign,
        "drawing error": answers.error,
        "5th nearest known case": np.sort(apart, 1)[:, 4],
        "entropy": -(safe * np.log(safe)).sum(1) / np.log(len(CLASSES)),
    }


def gate(dimensions: Dimensions, model: Classifier, each: int | None = None) -> Measured:
    """AUROC of the gate and of other scores against every kind of unknown, and shares refused.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    model
        The classifier to measure.
    each
        Cases of each kind; None: as many as usual.
    """
    inputs = model.card.inputs
    known = simulated(dimensions, TEST_SEED + 3, PATIENTS[dimensions] // 2, INPUTS[inputs], 0.5)
    foreign = unknowns(dimensions, TEST_SEED + 4, each or UNKNOWN_EACH[dimensions], inputs)
    ours, theirs = foreignness(model, known.images), foreignness(model, foreign.images)
    kinds = np.array(foreign.kinds)
    answers, mine = model.judge(foreign.images), model.judge(known.images)
    refused = (answers.p_value < model.card.foreign_p) | (answers.entropy > model.card.entropy_limit)
    rows = []
    for kind in dict.fromkeys(foreign.kinds):
        some = kinds == kind
        areas = {name: _area(ours[name], theirs[name][some]) for name in ours}
        rows.append({"kind": kind, "cases": int(some.sum()), "auroc": areas, "refused": float(refused[some].mean())})
    return {
        "known": len(known),
        "known_refused": refusals(model, mine.p_value, mine.entropy),
        "auroc": {name: _area(ours[name], theirs[name]) for name in ours},
        "refused": float(refused.mean()),
        "kinds": rows,
    }


def _area(known: Floats, foreign: Floats) -> float:
    truth = np.concatenate([np.zeros(len(known)), np.ones(len(foreign))])
    return float(roc_auc_score(truth, np.concatenate([known, foreign])))


def real_pictures(model: Classifier, folder: Path) -> Measured:
    """What the model answers to real ultrasound of other parts of the body: none of it may be classified.

    Raises
    ------
    UnsuitableInput
        If there is no picture in the folder: no figure is one of nothing.
    """
    rows: list[Measured] = []
    for path in sorted(file for file in folder.rglob("*") if file.suffix.lower() in (*PICTURES, ".dcm")):
        if "mask" in path.stem or "pred" in path.stem:
            continue
        row: Measured = {"file": path.relative_to(folder).as_posix()}
        try:
            images = np.concatenate([windows(picture, width) for picture, width in _pictures(path)])
            answers = model.classify(images)
            best = int(answers.p_value.argmax())
            verdict = model.verdict(answers.take(np.array([best])))
            row |= {
                "windows": len(images),
                "p": float(answers.p_value[best]),
                "outcome": verdict.reason or "classified",
            }
        except (DicomError, OSError) as error:  # of a damaged picture, Pillow's
            row |= {"outcome": "unsuitable", "why": str(error)}
        rows.append(row)
    if not rows:
        raise UnsuitableInput(f"{folder}: holds no picture ({', '.join((*PICTURES, '.dcm'))})")
    return {"files": rows}


def _pictures(path: Path) -> list[tuple[Picture, float | None]]:
    """A file's pictures, three of them if it is a cine, and the width to take where the file does not say it."""
    from PIL import Image

    if path.suffix.lower() in PICTURES:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        return [(Picture(ImageReference("1"), rgb, "", None, "none"), USUAL_PROBE_MM)]
    (study,) = read_studies([path])
    found = list(pictures(study.series[0]))
    return [(picture, None) for picture in found[:: max(1, len(found) // 3)][:3]]
