"""A model on a site's own labelled cases: figures with intervals, and a page with pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import read_metadata
from pipelines.joint_classification.classifier import Classifier, load
from pipelines.joint_classification.evaluation.figures import Measured, write_measured
from pipelines.joint_classification.evaluation.page import AnsweredCases, add_cases, add_worst
from pipelines.joint_classification.kinds import KINDS, Dimensions
from pipelines.joint_classification.prepare import INPUTS
from pipelines.joint_classification.training.folder import data_digest, read_folder, read_labels
from pipelines.lab.report_page import Report

TRAINED_ON_IT = (
    "This bundle was trained, and calibrated, on this very folder: the figures say nothing of other patients."
)


class LabelledEvaluation:
    """Measures a bundle on a folder of labelled cases; what `evaluate.json` runs.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    bundle
        The network's own bundle.
    folder
        In the layout `labels`, see `training.folder`.
    report
        Folder for `report.html`, its pictures and `measured.json`.
    device
        Where it computes; see `pipelines.device`.
    """

    def __init__(
        self, dimensions: Dimensions, bundle: str | Path, folder: str | Path, report: str | Path, device: str = "cpu"
    ) -> None:
        self.dimensions, self.bundle = dimensions, Path(bundle).resolve()
        self.folder, self.report, self.device = Path(folder), Path(report), device

    def run(self) -> Measured:
        """Measure, write the page, and return the figures.

        Raises
        ------
        UnsuitableInput
            If the folder cannot be read, or holds no case of a class.
        """
        if self.bundle.name != KINDS[self.dimensions]:
            raise UnsuitableInput(f"{self.bundle}: should be the bundle {KINDS[self.dimensions]}")
        model = load(self.dimensions, self.bundle.parent, self.device)
        cohort = read_folder(self.folder, self.dimensions, INPUTS[model.card.inputs])
        names = np.array([row.file for row in read_labels(self.folder)])
        known = cohort.labels >= 0
        if not known.any():
            raise UnsuitableInput(f"{self.folder}: holds no case of a class: every label is `unknown`")
        chosen = cohort.take(known)
        cases = AnsweredCases(tuple(names[known]), chosen.labels, chosen.patients, model.judge(chosen.images))
        foreign = None if known.all() else model.judge(cohort.images[~known])
        seen_before = read_metadata(self.bundle).get("training_data_sha256") == data_digest(self.folder)
        page = Report(self.report, f"Joint classification on {self.folder.name}")
        _head(page, model, seen_before)
        measured = {
            "folder": self.folder.name,
            "trained_on": model.trained_on,
            "trained_on_this_folder": seen_before,
            **add_cases(page, cases, model, foreign),
        }
        add_worst(page, cases, chosen.images, model)
        page.write()
        write_measured(self.report / "measured.json", measured)
        return measured


def _head(page: Report, model: Classifier, seen_before: bool) -> None:
    what = "ultrasound" if model.dimensions == 2 else "HR-pQCT"
    page.note(f"The model for {what}, {model.trained_on}.")
    if seen_before:
        page.note(TRAINED_ON_IT)
