"""An example of this pipeline's result: made-up probabilities, attention and known cases, on a simulated image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr import phantoms
from dicom_sr.findings import Model
from pipelines.example import SIMULATED, VERSION, Example, made_up_model, only_study
from pipelines.joint_classification import SERIES_BASE, JointClassification, JointClassificationSettings
from pipelines.joint_classification.classifier import (
    Background,
    Classification,
    Classifier,
    ClassifierCard,
    Neighbour,
)
from pipelines.joint_classification.kinds import Dimensions

PROBABILITIES = (0.11, 0.71, 0.18)  # healthy, rheumatoid arthritis, psoriatic arthritis
INTERVALS = ((0.06, 0.18), (0.60, 0.80), (0.11, 0.27))
GROUPS = ((-1.2, -1.2), (1.8, 0.8), (-0.4, 1.6))  # where the known cases of each class lie in the latent map
PLACE = (1.6, 0.9)  # of this case


def example(folder: Path) -> Example:
    """An ultrasound image of a finger joint and its result."""
    header = phantoms.study_header(phantoms.Person("SIM-0003"), "joint-us", "SIMULATED JOINT ULTRASOUND")
    study = only_study([phantoms.write_ultrasound(folder, header, phantoms.joint_ultrasound())])
    return Example(study, _WithoutNetwork(JointClassificationSettings(device="cpu")).run(study))


class _WithoutNetwork(JointClassification):
    """The pipeline, but for its network."""

    version = VERSION

    @property
    def model(self) -> Model:
        return made_up_model(self.name, SERIES_BASE)

    def _classifier(self, dimensions: Dimensions) -> Classifier:
        return _MadeUpClassifier()


class _MadeUpClassifier(Classifier):
    """What answers in place of the network."""

    def __init__(self) -> None:
        generator = np.random.default_rng(5)
        positions = np.concatenate([generator.normal(centre, 0.65, (40, 2)) for centre in GROUPS])
        self.card = ClassifierCard(
            dimensions=2,
            channels=[],
            inputs="grey",
            trained_on=SIMULATED,
            training={},
            foreign_p=0.03,
            entropy_limit=0.85,
            error_limit=0.40,
            likelihood_ratios={"ra": [6.2, 4.9, 7.8]},
        )
        self.background = Background(positions, np.repeat(np.arange(3), 40))
        self.likelihood_ratios = {"ra": (6.2, 4.9, 7.8)}
        self.heat_method = self.card.heat_method

    def classify(self, images: NDArray[np.float32]) -> Classification:
        """The same answer for each of (N, H, W) images."""
        count = len(images)
        p = np.array(PROBABILITIES)
        return Classification(
            np.tile(p, (count, 1)),
            np.tile(np.array(INTERVALS), (count, 1, 1)),
            np.full(count, -float(p @ np.log(p)) / float(np.log(3))),
            np.full(count, 0.21),
            np.full(count, 0.34),
            np.tile(np.array(PLACE), (count, 1)),
        )

    def take_remarks(self) -> tuple[str, ...]:
        """Nothing had to be done otherwise."""
        return ()

    def combine(self, classification: Classification, weight: NDArray[np.float64]) -> Classification:
        """The answer for the first image, which is that for all."""
        return classification.take(np.array([0]))

    def attention(self, image: NDArray[np.float32], condition: int) -> NDArray[np.float32]:
        """A spot on the capsule of the joint, on an image (H, W)."""
        rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
        y, x = rows / image.shape[0], columns / image.shape[1]
        return np.asarray(0.95 * np.exp(-(((x - 0.48) / 0.16) ** 2) - ((y - 0.40) / 0.12) ** 2), np.float32)

    def neighbours(self, image: NDArray[np.float32], number: int = 5) -> tuple[Neighbour, ...]:
        """Known cases, four of five of rheumatoid arthritis."""
        made_up = [("ra", 0.8, 0.62), ("ra", 1.0, 0.71), ("psa", 1.1, 0.44), ("ra", 1.2, 0.58), ("ra", 1.4, 0.80)]
        return tuple(Neighbour(f"S-{n:04d}", c, d, s) for n, (c, d, s) in enumerate(made_up[:number], start=1))
