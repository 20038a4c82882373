"""Five folds: the auto-encoder and its rivals, trained anew and measured on the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.evaluation import rivals
from pipelines.joint_classification.evaluation.figures import Floats, Measured, figures, write_measured
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.prepare import Inputs
from pipelines.joint_classification.training.cases import disturbances, simulated
from pipelines.joint_classification.training.cohort import Cohort, folds, joined
from pipelines.joint_classification.training.fit import ALPHA, Schedule, fit

FOLD_SEED = 90_217
FOLD_PATIENTS = {2: 400, 3: 300}
FOLD_STEPS = {2: 600, 3: 800}
FOLD_BATCH = {2: 32, 3: 12}
FOLD_RAMP = {2: 0.6, 3: 0.0}  # of pictures; without, the auto-encoder does not begin to learn in so few steps


def five_fold(
    dimensions: Dimensions, kept: Path, number: int, say: Callable[[str], None], methods: list[str] | None = None
) -> Measured:
    """Train every method anew on four fifths of a cohort and measure it on the rest.

    Patients are never on both sides.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    kept
        Folder for the figures; those that are there are not measured again.
    number
        How many of the five folds.
    say
        Called with a line on each method that was measured.
    methods
        Rows to measure; all if None.
    """
    wholes: dict[Inputs, Cohort] = {"grey": simulated(dimensions, FOLD_SEED, FOLD_PATIENTS[dimensions])}
    whole = wholes["grey"]
    pairs = folds(whole.patients, 5, FOLD_SEED - 7)[:number]
    rows: dict[str, list[Measured]] = {}
    for fold, (train, test) in enumerate(pairs):
        for name, (predict, inputs) in _methods(dimensions).items():
            if methods and name not in methods:
                continue
            path = kept / f"fold{fold}_{dimensions}d_{name.replace(' ', '_')}.json"
            if not path.exists():
                if inputs not in wholes:  # the same patients and scans, seen otherwise
                    wholes[inputs] = simulated(dimensions, FOLD_SEED, FOLD_PATIENTS[dimensions], inputs)
                known, held_out = wholes[inputs].take(train), wholes[inputs].take(test)
                began = time.process_time()
                probabilities = predict(known, held_out, fold)
                row = figures(probabilities, held_out.labels) | {"seconds": time.process_time() - began}
                write_measured(path, row)
                say(f"fold {fold + 1}, {name}: macro AUROC {row['auroc_macro']:.3f} ({row['seconds']:.0f} s)")
            rows.setdefault(name, []).append(json.loads(path.read_text(encoding="utf-8")))
    return {
        "cases": len(whole),
        "patients": FOLD_PATIENTS[dimensions],
        "steps": FOLD_STEPS[dimensions],
        "batch": FOLD_BATCH[dimensions],
        "folds": len(pairs),
        "rows": {name: _spread(each) for name, each in rows.items()},
    }


def _spread(rows: list[Measured]) -> dict[str, list[float]]:
    """Mean and standard deviation over folds."""
    return {
        name: [float(np.mean([row[name] for row in rows])), float(np.std([row[name] for row in rows]))]
        for name in rows[0]
    }


Predict = Callable[[Cohort, Cohort, int], Floats]


def _methods(dimensions: Dimensions) -> dict[str, tuple[Predict, Inputs]]:
    """How each row of the folds is predicted, and what its images hold: grey values, bone mask, or their product."""
    schedule = partial(Schedule, FOLD_STEPS[dimensions], FOLD_BATCH[dimensions], ramp=FOLD_RAMP[dimensions])

    def ours(alpha: float = ALPHA) -> Predict:
        return partial(_network, lambda: ConvolutionalSupervisedAutoEncoder(dimensions), schedule, alpha)

    rows: dict[str, tuple[Predict, Inputs]] = {
        "age and sex": (_age_and_sex, "grey"),
        "PCA and logistic": (_pca, "grey"),
        "ResNet": (partial(_network, lambda: rivals.resnet(dimensions), schedule, ALPHA), "grey"),
        "DenseNet": (partial(_network, lambda: rivals.densenet(dimensions), schedule, ALPHA), "grey"),
        "CSAE a 1": (ours(1.0), "grey"),
        "CSAE a 0.5": (ours(0.5), "grey"),
        "CSAE": (ours(), "grey"),
    }
    if dimensions == 3:
        rows |= {"CSAE mask": (ours(), "mask"), "CSAE product": (ours(), "product")}
    return rows


def _network(
    make: Callable[[], nn.Module],
    schedule: Callable[..., Schedule],
    alpha: float,
    known: Cohort,
    test: Cohort,
    fold: int,
) -> Floats:
    torch.manual_seed(fold)
    network = make()
    both = known
    if isinstance(network, ConvolutionalSupervisedAutoEncoder):
        both = joined(known, disturbances(fold, known, len(known) // 2))
    fit(network, both, schedule(alpha=alpha, seed=fold))
    if isinstance(network, ConvolutionalSupervisedAutoEncoder):
        return np.asarray(softmax(ask(network, test.images).logits, axis=1))
    with torch.inference_mode():
        parts = [network(torch.from_numpy(test.images[i : i + 16])).double().numpy() for i in range(0, len(test), 16)]
    return np.asarray(softmax(np.concatenate(parts), axis=1))


def _age_and_sex(known: Cohort, test: Cohort, fold: int) -> Floats:
    made = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    made.fit(np.column_stack([known.ages, known.female]), known.labels)
    return np.asarray(made.predict_proba(np.column_stack([test.ages, test.female])))


def _pca(known: Cohort, test: Cohort, fold: int) -> Floats:
    few = slice(None, None, 4)  # every fourth pixel of every axis: principal components see no more
    axes = (slice(None), slice(None), *(few,) * (known.images.ndim - 2))
    flat = [one.images[axes].reshape(len(one), -1) for one in (known, test)]
    logistic = LogisticRegression(class_weight="balanced", C=0.1, max_iter=1000)
    made = make_pipeline(PCA(40, random_state=fold), StandardScaler(), logistic).fit(flat[0], known.labels)
    return np.asarray(made.predict_proba(flat[1]))
