"""The report page of an evaluation: what was answered to cases whose class is known, in figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from pipelines.joint_classification.classes import CLASSES, NAMES, SHORT
from pipelines.joint_classification.classifier import Classification, Classifier
from pipelines.joint_classification.evaluation.card import LABELS
from pipelines.joint_classification.evaluation.figures import Measured, figures
from pipelines.joint_classification.kinds import Dimensions
from pipelines.lab import plots
from pipelines.lab.measures import likeliest, reliability
from pipelines.lab.report_page import Report

WORST = 8  # cases that are shown
SHOWN = [SHORT[name] for name in CLASSES]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class AnsweredCases:
    """Cases of a known class, and what a model answers to them."""

    names: tuple[str, ...]  # of the files; never of a patient
    labels: Integers  # (N,)
    patients: Integers  # (N,)
    answers: Classification


def add_cases(
    report: Report, cases: AnsweredCases, model: Classifier, foreign: Classification | None = None
) -> Measured:
    """Add figures and pictures of answered cases, and return the figures.

    Parameters
    ----------
    report
        To add to.
    cases
        Of a class.
    model
        That answered.
    foreign
        Its answers to cases of none of the classes; None: there are none.
    """
    p, labels = cases.answers.probabilities, cases.labels
    found = figures(p, labels, cases.patients)
    ends = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in found["interval"].items()}
    words = {"accuracy": "accuracy", **LABELS}
    rows = [(said, found[name], ends[name]) for name, said in words.items() if name in found]
    report.heading("Classification")
    counts = ", ".join(f"{int((labels == c).sum())} {NAMES[name]}" for c, name in enumerate(CLASSES))
    report.note(
        f"{len(labels)} cases of {len(np.unique(cases.patients))} patients: {counts}.",
        "95 % intervals by bootstrap over patients. F1, precision and recall are means of the classes.",
    )
    report.table(("", "value", "95 % interval"), rows, "figures")
    table = confusion_matrix(labels, p.argmax(1), labels=range(len(CLASSES)))
    report.picture("confusion", plots.confusion({"all cases": table}, SHOWN), "Confusion of the three classes")
    for c, name in enumerate(CLASSES):
        if 0 < (labels == c).sum() < len(labels):
            drawn = plots.roc(
                labels == c, {SHORT[name]: p[:, c]}, groups=cases.patients, title=f"{NAMES[name]} against the others"
            )
            report.picture(f"roc_{name}", drawn, f"ROC curve of {NAMES[name]}")
    sure, right = likeliest(p, labels)
    drawn = plots.reliability(reliability(sure, right), title=f"Reliability: ECE {found['ece']:.3f}")
    report.picture("reliability", drawn, "Reliability of the probabilities")
    found["refused"] = _add_gate(report, cases.answers, model, foreign)
    return found


def _add_gate(report: Report, known: Classification, model: Classifier, foreign: Classification | None) -> Measured:
    report.heading("What was refused")
    rows: Measured = {}
    for name, answers in (("of a class", known), ("of none", foreign)):
        if answers is not None:
            strange = answers.p_value < model.card.foreign_p
            unsure = ~strange & (answers.entropy > model.card.entropy_limit)
            rows[name] = {
                "cases": len(answers),
                "foreign": float(strange.mean()),
                "uncertain": float(unsure.mean()),
            }
    report.table(
        ("cases", "number", "refused as foreign", "as uncertain"),
        [(name, row["cases"], f"{row['foreign']:.1%}", f"{row['uncertain']:.1%}") for name, row in rows.items()],
        "refused",
    )
    values = {name: np.log10(a.p_value) for name, a in (("of a class", known), ("of none", foreign)) if a is not None}
    drawn = plots.histogram(
        values,
        label="log10 of the share of known cases that are as far off",
        title="How foreign the cases are",
        marks={"limit": float(np.log10(model.card.foreign_p))},
    )
    report.picture("foreign", drawn, "How foreign the cases are")
    return rows


def add_worst(report: Report, cases: AnsweredCases, images: NDArray[np.float32], model: Classifier) -> None:
    """Add the cases that were answered most wrongly, and where the network looked.

    Parameters
    ----------
    report
        To add to.
    cases
        As `add_cases`.
    images
        (N, 1, ...), prepared; of a volume the slice where the map is strongest is shown.
    model
        That answered.
    """
    import torch

    from pipelines.joint_classification.attention import METHODS, scaled

    p = cases.answers.probabilities
    own = p[np.arange(len(p)), cases.labels]
    wrong = [int(n) for n in np.argsort(own, kind="stable") if p[n].argmax() != cases.labels[n]][:WORST]
    report.heading("Worst cases")
    if not wrong:
        report.note("Every case was answered rightly.")
        return
    report.note(
        "The lowest probabilities of the true class. Below each, where the network looked; no lesion is marked."
    )
    device = next(model.network.parameters()).device
    shown: dict[str, NDArray[np.float32]] = {}
    maps: dict[str, NDArray[np.float32]] = {}
    for n in wrong:
        said = int(p[n].argmax())
        image = images[n, 0]
        heat = scaled(METHODS[model.heat_method](model.network, torch.from_numpy(images[n : n + 1]).to(device), said))
        if image.ndim == 3:
            place = int(heat.max((1, 2)).argmax())
            image, heat = image[place], heat[place]
        title = f"{cases.names[n]}\n{SHOWN[cases.labels[n]]}, read as {SHOWN[said]} ({p[n, said]:.0%})"
        shown[title], maps[title] = image, heat
    report.picture("worst", plots.panels(shown, title="Answered most wrongly"), "The cases answered most wrongly")
    drawn = plots.panels(
        maps, title="Where the network looked", colour_map="inferno", limits=(0.0, 1.0), label="model attention"
    )
    report.picture("worst_attention", drawn, "Maps of attention of the same cases")


def simulated_page(folder: Path, dimensions: Dimensions, model: Classifier, found: dict[str, Measured]) -> Path:
    """Write the page of an evaluation on simulated patients and return it.

    Parameters
    ----------
    folder
        To write to.
    dimensions
        2 for images, 3 for volumes.
    model
        That was measured.
    found
        Part of the evaluation to its figures.
    """
    report = Report(
        folder, f"Joint classification, {'ultrasound' if dimensions == 2 else 'HR-pQCT'}: simulated patients"
    )
    report.note(f"The model was {model.trained_on}. All figures are of simulated patients, and none is clinical.")
    if "shipped" in found:
        row = found["shipped"]
        columns = {name: np.array(value) for name, value in row["answers"].items()}
        none = np.zeros(len(columns["labels"]))
        answers = Classification(
            columns["probabilities"],
            np.zeros((len(none), len(CLASSES), 2)),
            columns["entropy"],
            none,
            columns["p_value"],
            np.zeros((len(none), 2)),
        )
        names = tuple(f"case {n}" for n in range(len(none)))
        add_cases(report, AnsweredCases(names, columns["labels"], columns["patients"], answers), model)
    if "gate" in found:
        report.heading("The gate against what is none of the classes")
        rows = [
            (one["kind"].replace("_", " "), one["cases"], one["auroc"]["gate"], f"{one['refused']:.0%}")
            for one in found["gate"]["kinds"]
        ]
        report.table(("kind", "cases", "AUROC of the gate", "refused"), rows, "gate")
    if "attention" in found:
        report.heading("Where the network looked")
        rows = [
            (name, one["pointing"], one["iou"], one["similarity_other_class"])
            for name, one in found["attention"]["methods"].items()
        ]
        report.table(("method", "pointing", "IoU", "rank correlation with another class"), rows, "attention")
    return report.write()
