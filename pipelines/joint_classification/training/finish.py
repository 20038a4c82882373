"""What is fitted to a trained network, and the bundle that is written of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import METADATA
from pipelines.joint_classification import signs
from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.classes import CLASSES, NAMES
from pipelines.joint_classification.classifier import Classifier, ClassifierCard
from pipelines.joint_classification.geometry import SIZE_2D, SIZE_3D
from pipelines.joint_classification.inferer import AnswerInferer
from pipelines.joint_classification.kinds import BUNDLE, CALIBRATION, GATE, KINDS, MAP, WEIGHTS, Dimensions
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.training.calibration import fit_calibration, positive_likelihood_ratio
from pipelines.joint_classification.training.cases import REPEATS, TrainingCases
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.joint_classification.training.fit import trained
from pipelines.joint_classification.training.gate import FOREIGN_SHARE, MARGIN, entropy_limit, fit_gate
from pipelines.joint_classification.training.latent_map import fit_map, spread_out
from pipelines.joint_classification.training.page import write_page
from pipelines.lab.bundle_files import common_metadata, copy_configs, image_format, write_json
from pipelines.lab.options import readable

Floats = NDArray[np.float64]

DRAWING_SHARE = 0.97  # of known cases that the drawing error of the sentence holds for
HEAT_METHOD = "HiResCAM"  # of those that an evaluation finds fit to be shown, the one that points best
VERSION = "1.0.0"
CHANGELOG = {VERSION: "trained by `condyle train joint_classification`"}


def finish(
    network: ConvolutionalSupervisedAutoEncoder,
    cases: TrainingCases,
    training: Mapping[str, Any],
    inputs: str = "grey",
) -> Classifier:
    """Fit everything round a trained network that makes it answer or abstain.

    Parameters
    ----------
    network
        Trained.
    cases
        The gate learns from known ones; others calibrate.
    training
        Schedule and seeds for the metadata; counts are added.
    inputs
        What a volume holds: grey values, bone mask or their product.

    Raises
    ------
    UnsuitableInput
        If there are no repeated scans, and no held-out patient has two.
    """
    dimensions: Dimensions = 2 if network.spatial_dims == 2 else 3
    held_out = cases.held_out
    seen, new = ask(network, cases.few.images), ask(network, held_out.images)
    again = _grouped(ask(network, cases.repeats.images).logits) if cases.repeats else _by_patient(new.logits, held_out)
    fitted = fit_calibration(new.logits, held_out.labels, again)
    probabilities = fitted.probabilities(new.logits)
    ratios: dict[str, list[float]] = {
        name: [round(v, 3) for v in positive_likelihood_ratio(probabilities.argmax(1) == c, held_out.labels == c)]
        for c, name in enumerate(CLASSES)
    }
    card = ClassifierCard(
        dimensions,
        list(network.channels),
        inputs,
        f"trained on {cases.source}; {cases.use}",
        {**cases.facts, **training},
        FOREIGN_SHARE * (1 - MARGIN),
        entropy_limit(probabilities),
        float(np.quantile(new.error, DRAWING_SHARE)),
        ratios,
        HEAT_METHOD,
    )
    return Classifier(
        card,
        network,
        fit_gate(seen.statistics, new.statistics, new.foreign, signs.measure(held_out.images)),
        fitted,
        fit_map(new.latent, held_out.labels, held_out.severity, spread_out(held_out.labels)),
        AnswerInferer(),
    )


def _grouped(logits: Floats) -> Floats:
    return logits.reshape(-1, REPEATS, logits.shape[1])


def _by_patient(logits: Floats, held_out: Cohort) -> Floats:
    """Two scans of each patient who has two: (J, 2, C).

    Raises
    ------
    UnsuitableInput
        If no patient has two.
    """
    rows = [np.flatnonzero(held_out.patients == patient)[:2] for patient in np.unique(held_out.patients)]
    pairs = [logits[row] for row in rows if len(row) == 2]
    if not pairs:
        raise UnsuitableInput("intervals need at least one held-out patient with two scans")
    return np.stack(pairs)


def write_bundle(model: Classifier, folder: Path, source: str, use: str, data_sha256: str) -> Path:
    """Write a network and what was fitted to it as a MONAI bundle, and return the bundle's own folder.

    Parameters
    ----------
    model
        The network and the rest.
    folder
        Of the pipeline's bundles; that of this network lies in it.
    source, use
        What it was trained on and may be used for, for the metadata.
    data_sha256
        Digest of what it was trained on.
    """
    bundle, shipped = folder / KINDS[model.dimensions], BUNDLE / KINDS[model.dimensions]
    parts: dict[str, Mapping[str, NDArray[Any]]] = {
        WEIGHTS: {name: value.cpu().numpy() for name, value in model.network.state_dict().items()},
        CALIBRATION: model.calibration.arrays(),
        GATE: model.gate.arrays(),
        MAP: model.map.arrays(),
    }
    for name, arrays in parts.items():
        path = bundle / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        save_file({key: np.ascontiguousarray(_narrow(value)) for key, value in arrays.items()}, partial)
        partial.replace(path)
    card = model.card
    judgement = {f"judgement::{name}": value for name, value in card.judgement.items()}
    copy_configs(shipped, bundle, {"inputs": card.inputs, "network_def::channels": card.channels, **judgement})
    write_json(bundle / METADATA, metadata(card, source, use, data_sha256))
    readable(bundle)
    return bundle


def metadata(card: ClassifierCard, source: str, use: str, data_sha256: str) -> dict[str, Any]:
    """What a bundle says of itself, in the fields of MONAI's specification.

    Parameters
    ----------
    card
        Of the network.
    source, use
        What it was trained on and may be used for.
    data_sha256
        Digest of what it was trained on.
    """
    flat = card.dimensions == 2
    what = "an ultrasound picture of a finger joint" if flat else "an HR-pQCT scan of a metacarpal head"
    shape = SIZE_2D if flat else SIZE_3D
    words = "grey values, mean 0 and standard deviation 1 over the image"
    if card.inputs != "grey":
        words = f"{card.inputs} of the bone, mean 0 and standard deviation 1 over the image"
    classes = {number: NAMES[name] for number, name in enumerate(CLASSES)}
    return {
        **common_metadata(),
        "name": f"Joint classification, {'ultrasound' if flat else 'HR-pQCT'}",
        "version": VERSION,
        "changelog": CHANGELOG,
        "task": f"classification of arthritis on {what}",
        "description": f"Rheumatoid arthritis, psoriatic arthritis or healthy on {what}, or that it is none of them.",
        "data_source": source,
        "data_type": "DICOM, pictures" if flat else "DICOM, NIfTI, MetaImage, NRRD, Scanco AIM and ISQ",
        "image_classes": "single channel, brought to mean 0 and standard deviation 1",
        "label_classes": "one of the three classes, or none of them",
        "pred_classes": "logits of the three classes; the inferer gives the rest",
        "intended_use": use,
        "references": ["Folle et al., Front Med 2022;9:850552"],
        "network_data_format": {
            "inputs": {"image": image_format({0: words}, shape, modality="US" if flat else "CT")},
            "outputs": {
                "pred": image_format(classes, (), modality="n/a", kind="probabilities", form="classes"),
            },
        },
        "training": dict(card.training),
        "training_data_sha256": data_sha256,
    }


def _narrow(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.float32) if value.dtype == np.float64 else value


class TrainedBundle:
    """The last step of `train.json`: fits the rest to the trained network, writes the bundle and the training's page.

    Parameters
    ----------
    network
        In training until now.
    cases
        That it was trained on, and the others.
    output
        Folder of the pipeline's bundles.
    training
        Schedule and seeds for the metadata.
    inputs
        What a volume holds: grey values, bone mask or their product.
    """

    def __init__(
        self,
        network: ConvolutionalSupervisedAutoEncoder,
        cases: TrainingCases,
        output: str | Path,
        training: Mapping[str, Any],
        inputs: str = "grey",
    ) -> None:
        self.network, self.cases, self.output = network, cases, Path(output)
        self.training, self.inputs = training, inputs

    def write(self) -> Path:
        """Write the bundle and return its folder."""
        trained(self.network)
        model = finish(self.network, self.cases, self.training, self.inputs)
        bundle = write_bundle(model, self.output, self.cases.source, self.cases.use, self.cases.digest)
        write_page(bundle / "training", model, self.cases.held_out)
        readable(bundle)
        return bundle
