"""The page of a training: its learning curves, and how the network answers the cases that it was calibrated on."""

from __future__ import annotations

from pathlib import Path

from sklearn.metrics import confusion_matrix

from pipelines.joint_classification.classes import CLASSES, SHORT
from pipelines.joint_classification.classifier import Classifier
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.lab import plots
from pipelines.lab.measures import expected_calibration_error, likeliest, reliability
from pipelines.lab.report_page import Report

LOG = "log.csv"


def write_page(folder: Path, model: Classifier, calibrated_on: Cohort) -> Path:
    """Write `report.html` into the folder of a training, which has its log, and return it.

    Parameters
    ----------
    folder
        Of log and checkpoint.
    model
        That was trained.
    calibrated_on
        Cases of a class, of patients that the network did not learn from.
    """
    what = "ultrasound" if model.dimensions == 2 else "HR-pQCT"
    report = Report(folder, f"Training of the joint classification, {what}")
    report.note(f"The model was {model.trained_on}.")
    report.figures(model.card.training)
    if (folder / LOG).is_file():
        report.heading("Learning curves")
        drawn = plots.learning_curves(folder / LOG)
        report.picture("learning_curves", drawn, "Loss and learning rate over the steps")
    report.heading("The cases that it was calibrated on")
    report.note(
        f"{len(calibrated_on)} cases of patients that the network did not learn from. Temperature, gate and limits were"
        " fitted to them, so these figures are better than those of new patients: `condyle evaluate` measures those."
    )
    p = model.judge(calibrated_on.images).probabilities
    sure, right = likeliest(p, calibrated_on.labels)
    error = expected_calibration_error(sure, right)
    drawn = plots.reliability(reliability(sure, right), title=f"Reliability, calibration cases: ECE {error:.3f}")
    report.picture("reliability", drawn, "Reliability on the cases that it was calibrated on")
    table = confusion_matrix(calibrated_on.labels, p.argmax(1), labels=range(len(CLASSES)))
    drawn = plots.confusion({"calibration cases": table}, [SHORT[name] for name in CLASSES])
    report.picture("confusion", drawn, "Confusion of the cases that it was calibrated on")
    return report.write()
