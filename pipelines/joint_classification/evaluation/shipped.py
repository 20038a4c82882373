"""The shipped model on new simulated patients."""

from __future__ import annotations

from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.evaluation.figures import Floats, Measured, figures
from pipelines.joint_classification.evaluation.patients import PATIENTS, TEST_SEED
from pipelines.joint_classification.kinds import Dimensions
from pipelines.joint_classification.prepare import INPUTS
from pipelines.joint_classification.training.cases import REPEATS, rescanned, simulated
from pipelines.lab.measures import likeliest, reliability


def shipped(dimensions: Dimensions, model: Classifier, patients: int | None = None) -> Measured:
    """Accuracy, calibration, intervals and refusals on simulated patients that the model has not seen.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    model
        The classifier to measure.
    patients
        Number of patients; None: as many as usual.
    """
    inputs = INPUTS[model.card.inputs]
    number = patients or PATIENTS[dimensions]
    test = simulated(dimensions, TEST_SEED, number, inputs)
    answers = model.judge(test.images)
    row: Measured = {"cases": len(test), "patients": number}
    row["answers"] = {
        "labels": test.labels.tolist(),
        "patients": test.patients.tolist(),
        "probabilities": answers.probabilities.round(4).tolist(),
        "p_value": answers.p_value.round(5).tolist(),
        "entropy": answers.entropy.round(4).tolist(),
    }
    row["figures"] = figures(answers.probabilities, test.labels, test.patients)
    row["reliability"] = reliability(*likeliest(answers.probabilities, test.labels))
    right = answers.probabilities.argmax(1) == test.labels
    edges = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01))
    row["severity"] = [
        [low, float(right[some].mean()), int(some.sum())]
        for low, high in edges
        if (some := (test.labels > 0) & (test.severity >= low) & (test.severity < high)).any()
    ]
    row["healthy_right"] = float(right[test.labels == 0].mean())
    row["refused"] = refusals(model, answers.p_value, answers.entropy)
    if dimensions == 2:
        screened = simulated(2, TEST_SEED + 1, max(20, number // 3), screened=1.0)
        again = model.judge(screened.images)
        row["screened"] = {
            "cases": len(screened),
            "figures": figures(again.probabilities, screened.labels),
            "refused": refusals(model, again.p_value, again.entropy),
        }
    row["repeats"] = _repeats(dimensions, model)
    return row


def refusals(model: Classifier, p_value: Floats, entropy: Floats) -> Measured:
    """Shares that the gate refuses.

    Parameters
    ----------
    model
        With the limits.
    p_value
        (N,).
    entropy
        (N,).
    """
    foreign = p_value < model.card.foreign_p
    uncertain = ~foreign & (entropy > model.card.entropy_limit)
    return {"foreign": float(foreign.mean()), "uncertain": float(uncertain.mean())}


def _repeats(dimensions: Dimensions, model: Classifier) -> Measured:
    """How often a 90 % interval holds what the other scans of the joint say, and how often they agree."""
    joints = 45 if dimensions == 2 else 18
    repeats = rescanned(dimensions, TEST_SEED + 2, joints, INPUTS[model.card.inputs])
    answers = model.judge(repeats.images)
    p = answers.probabilities.reshape(joints, REPEATS, -1)
    others = (p.sum(1, keepdims=True) - p) / (REPEATS - 1)
    intervals = answers.intervals.reshape(joints, REPEATS, -1, 2)
    inside = (others >= intervals[..., 0]) & (others <= intervals[..., 1])
    agree = p.argmax(2) == p.mean(1).argmax(1)[:, None]
    width = float((intervals[..., 1] - intervals[..., 0]).mean())
    return {"coverage": float(inside.mean()), "agreement": float(agree.mean()), "width": width, "joints": joints}
