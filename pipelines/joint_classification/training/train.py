"""`condyle train joint_classification`: fit network, calibration, gate and map, and write the bundle."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import monai
import numpy as np
import torch
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification import BUNDLE, digest, signs
from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import Classifier, ClassifierCard, load
from pipelines.joint_classification.network import CHANNELS, ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.prepare import INPUTS, Inputs, normalise, prepare
from pipelines.joint_classification.simulation import disturb, metacarpal, ultrasound
from pipelines.joint_classification.simulation.case import Case
from pipelines.joint_classification.training.calibration import fit_calibration, positive_likelihood_ratio
from pipelines.joint_classification.training.cohort import Cohort, cohort, folds, joined, on_screen, unit
from pipelines.joint_classification.training.fit import ALPHA, Progress, Schedule, fit
from pipelines.joint_classification.training.folder import read_folder
from pipelines.joint_classification.training.gate import FOREIGN_SHARE, MARGIN, entropy_limit, fit_gate
from pipelines.joint_classification.training.latent_map import fit_map, spread_out

Dimensions = Literal[2, 3]

SEED = 20220525
STEPS = {2: 800, 3: 2500}
BATCH = {2: 32, 3: 12}
PATIENTS = {2: 2000, 3: 1500}  # of the training cohort
HELD_OUT = {2: 500, 3: 300}  # patients of the calibration cohort
RESCANNED = {2: 120, 3: 60}  # joints of which each has REPEATS scans
REPEATS = 4
SCREENED = 0.15  # of the training pictures, read from a screen: slow to make
SCREENED_HELD_OUT = 0.5
NO_LESION = np.zeros((1, 1), bool)
DISTURBED = 0.6  # disturbed and made-up cases, per case
DRAWING_SHARE = 0.97  # of known cases that the drawing error of the sentence holds for

Floats = NDArray[np.float64]


def simulated(
    dimensions: Dimensions, seed: int, patients: int, inputs: Inputs = "grey", screened: float = 0.0
) -> Cohort:
    """A cohort of simulated patients.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of the cohort.
    patients
        Number of patients.
    inputs
        What a volume holds: grey values, bone mask or their product.
    screened
        Share of the ultrasound pictures that are read from a scanner's screen.
    """
    if dimensions == 3:
        return cohort(metacarpal.patients(seed, patients, step=2), inputs)
    return cohort(on_screen(ultrasound.patients(seed, patients), seed, screened))


def disturbances(seed: int, known: Cohort, number: int) -> Cohort:
    """What "none of these" is learned from: disturbed known cases and, of pictures, every other one made up.

    Parameters
    ----------
    seed
        Of the disturbances.
    known
        The known cases.
    number
        Of cases to make.
    """
    rng = np.random.default_rng(seed)
    which = rng.integers(len(known), size=(number, 2))
    flat = known.images.ndim == 4
    images = []
    for place, (one, other) in enumerate(which):
        if flat and place % 2:
            (case,) = on_screen([Case(disturb.made_up(rng), None, 0.0, NO_LESION, 0, 0.0, False, (1.0, 1.0))], place)
            images.append(prepare(case.image))
            continue
        make = disturb.disturbed if flat else disturb.disturbed_volume
        image = make(rng, unit(known.images[one, 0]), unit(known.images[other, 0]))
        images.append(normalise(image, image.shape))
    taken = known.take(which[:, 0])
    return replace(
        taken,
        images=np.stack(images)[:, None],
        labels=np.full(number, -1),
        lesions=np.zeros_like(taken.lesions),
        kinds=("disturbed",) * number,
    )


def rescanned(dimensions: Dimensions, seed: int, joints: int, inputs: Inputs = "grey") -> Cohort:
    """Several scans (`REPEATS`) of each of some joints, one joint after the other.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    seed
        Of joints and scans.
    joints
        Number of joints.
    inputs
        What a volume holds: grey values, bone mask or their product.
    """
    rng = np.random.default_rng(seed)
    make = ultrasound.rescans if dimensions == 2 else metacarpal.rescans
    cases = [case for joint in range(joints) for case in make(rng, CLASSES[joint % 3], joint, None, REPEATS)]
    return cohort(on_screen(cases, seed) if dimensions == 2 else cases, inputs)


def finish(
    network: ConvolutionalSupervisedAutoEncoder,
    known: Cohort,
    held_out: Cohort,
    repeats: Cohort | None,
    inputs: Inputs,
    trained_on: str,
    training: dict[str, object],
) -> Classifier:
    """Fit everything round a trained network that makes it answer or abstain.

    Parameters
    ----------
    network
        Trained.
    known
        Cases that the gate learns from; those of the training will do.
    held_out
        Cases of other patients, which calibrate.
    repeats
        `REPEATS` scans of each of several joints; None: there are none, and two scans of one held-out patient take
        their place.
    inputs
        What a volume holds: grey values, bone mask or their product.
    trained_on
        Sentence for the card.
    training
        Schedule, seeds and counts for the card.
    """
    dimensions: Dimensions = 2 if network.spatial_dims == 2 else 3
    seen = ask(network, known.images)
    new = ask(network, held_out.images)
    again = _grouped(ask(network, repeats.images).logits) if repeats is not None else _by_patient(new.logits, held_out)
    fitted = fit_calibration(new.logits, held_out.labels, again)
    probabilities = fitted.probabilities(new.logits)
    shipped = spread_out(held_out.labels)
    ratios = {
        name: list(positive_likelihood_ratio(probabilities.argmax(1) == c, held_out.labels == c))
        for c, name in enumerate(CLASSES)
    }
    card = ClassifierCard(
        dimensions,
        list(network.channels),
        inputs,
        trained_on,
        training,
        FOREIGN_SHARE * (1 - MARGIN),
        entropy_limit(probabilities),
        float(np.quantile(new.error, DRAWING_SHARE)),
        {name: [round(value, 3) for value in row] for name, row in ratios.items()},
        versions={"torch": torch.__version__.split("+")[0], "monai": monai.__version__},
    )
    parts = {
        "network": {name: value.numpy() for name, value in network.state_dict().items()},
        "gate": fit_gate(seen.statistics, new.statistics, new.foreign, signs.measure(held_out.images)).arrays(),
        "calibration": fitted.arrays(),
        "map": fit_map(new.latent, held_out.labels, held_out.severity, shipped).arrays(),
    }
    return Classifier(card, {f"{part}.{name}": value for part, row in parts.items() for name, value in row.items()})


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


def from_simulation(
    dimensions: Dimensions,
    schedule: Schedule,
    patients: int,
    held_out: int,
    inputs: Inputs,
    output: Path,
    progress: Progress | None = None,
    initial: Path | None = None,
) -> Classifier:
    """Train on simulated patients and calibrate on others.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    schedule
        How long and how fast.
    patients
        Number of patients to train on.
    held_out
        Number of patients to calibrate on.
    inputs
        What a volume holds: grey values, bone mask or their product.
    output
        Folder for log and checkpoint.
    progress
        Called with step and loss.
    initial
        Bundle with weights to start from; None: random ones.
    """
    known = simulated(dimensions, schedule.seed, patients, inputs, SCREENED)
    foreign = disturbances(schedule.seed + 3, known, round(DISTURBED * len(known)))
    network = _fitted(dimensions, joined(known, foreign), schedule, output, progress, initial)
    others = simulated(dimensions, schedule.seed + 1, held_out, inputs, SCREENED_HELD_OUT)
    repeats = rescanned(dimensions, schedule.seed + 2, RESCANNED[dimensions], inputs)
    what = "ultrasound images of finger joints" if dimensions == 2 else "HR-pQCT scans of second metacarpal heads"
    sentence = f"trained on {len(known)} simulated {what} of {patients} simulated patients; not for clinical use"
    facts: dict[str, object] = {"patients": patients, "cases": len(known), "held_out_patients": held_out}
    return finish(network, _few(known), others, repeats, inputs, sentence, facts | asdict(schedule))


def from_folder(
    dimensions: Dimensions,
    schedule: Schedule,
    folder: Path,
    inputs: Inputs,
    output: Path,
    progress: Progress | None,
    initial: Path | None = None,
) -> Classifier:
    """Train on real cases: four fifths of the patients; the others calibrate.

    Parameters
    ----------
    dimensions
        2 for images, 3 for volumes.
    schedule
        How long and how fast.
    folder
        With ``labels.csv``.
    inputs
        What a volume holds: grey values, bone mask or their product.
    output
        Folder for log and checkpoint.
    progress
        Called with step and loss.
    initial
        Bundle with weights to start from; None: random ones.

    Raises
    ------
    UnsuitableInput
        If a file cannot be read, or a class is missing on one side of the split.
    """
    found = read_folder(folder, dimensions, inputs)
    labelled = found.take(found.labels >= 0)
    train, test = folds(labelled.patients, 5, schedule.seed)[0]
    known, others = labelled.take(train), labelled.take(test)
    missing = [
        name for c, name in enumerate(CLASSES) if not (known.labels == c).any() or not (others.labels == c).any()
    ]
    if missing:
        raise UnsuitableInput(f"{folder}: too few patients: no {' and no '.join(missing)} on one side of the split")
    network = _fitted(dimensions, joined(known, found.take(found.labels < 0)), schedule, output, progress, initial)
    sentence = (
        f"trained on {len(known)} scans of {len(np.unique(known.patients))} patients of {folder.name}; "
        "research use only, not for clinical use"
    )
    facts: dict[str, object] = {"cases": len(known), "held_out_cases": len(others)}
    return finish(network, _few(known), others, None, inputs, sentence, facts | asdict(schedule))


def _fitted(
    dimensions: Dimensions,
    known: Cohort,
    schedule: Schedule,
    output: Path,
    progress: Progress | None,
    initial: Path | None,
) -> ConvolutionalSupervisedAutoEncoder:
    output.mkdir(parents=True, exist_ok=True)
    stem = output / f"csae_{dimensions}d"
    torch.manual_seed(schedule.seed)
    network = ConvolutionalSupervisedAutoEncoder(dimensions, channels=CHANNELS)
    if initial is not None:
        network.load_state_dict(load(dimensions, initial).network.state_dict())
    fit(network, known, schedule, progress, stem.with_suffix(".checkpoint"), stem.with_suffix(".log.csv"))
    return network


def _few(known: Cohort, number: int = 3000) -> Cohort:
    return known.take(np.arange(min(number, len(known))))


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(prog="condyle train joint_classification", description=__doc__)
    options.add_argument("--dimensions", type=int, choices=(2, 3), default=2, help="2: ultrasound, 3: HR-pQCT")
    options.add_argument("--data", type=Path, metavar="FOLDER", help="real cases with labels.csv; else simulated ones")
    options.add_argument("--inputs", choices=tuple(INPUTS), default=None, help="of a volume; default: grey")
    options.add_argument("--initial", type=Path, metavar="BUNDLE", help="weights to start from")
    options.add_argument("--patients", type=int, help="simulated patients to train on")
    options.add_argument("--held-out", type=int, help="simulated patients to calibrate on")
    options.add_argument("--steps", type=int)
    options.add_argument("--batch", type=int)
    options.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    options.add_argument("--alpha", type=float, default=ALPHA, help="weight of the classification; 1: no auto-encoder")
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--bundle", type=Path, default=BUNDLE, help="folder to write weights and card into")
    options.add_argument("--output", type=Path, help="folder for log and checkpoint; default: beside the bundle")
    return options


def main(arguments: list[str]) -> int:
    """Train and write the bundle; 0 on success, 2 if the data will not do."""
    given = parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    dimensions: Dimensions = 2 if given.dimensions == 2 else 3
    schedule = Schedule(
        given.steps or STEPS[dimensions],
        given.batch or BATCH[dimensions],
        given.rate,
        alpha=given.alpha,
        seed=given.seed,
    )
    inputs = INPUTS[given.inputs or "grey"]
    output = given.output or given.bundle.with_name(f"{given.bundle.name}-training")
    began = time.monotonic()

    def progress(step: int, loss: float) -> None:
        if step % 25 == 0 or step == schedule.steps:
            spent = (time.monotonic() - began) / 60
            sys.stderr.write(f"step {step} of {schedule.steps}: loss {loss:.3f} ({spent:.1f} min)\n")

    try:
        if given.data is not None:
            model = from_folder(dimensions, schedule, given.data, inputs, output, progress, given.initial)
        else:
            counts = given.patients or PATIENTS[dimensions], given.held_out or HELD_OUT[dimensions]
            model = from_simulation(dimensions, schedule, *counts, inputs, output, progress, given.initial)
    except (UnsuitableInput, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    spent = round(time.monotonic() - began)
    facts = {**model.card.training, "seconds": spent}
    if given.initial is not None:
        before = load(dimensions, given.initial).card.training
        facts |= {"initial_sha256": digest(given.initial), "initial": before}
    model.card = replace(model.card, training=facts)
    model.save(given.bundle)
    (output / f"csae_{dimensions}d.checkpoint").unlink(missing_ok=True)
    sys.stderr.write(f"trained in {spent / 60:.1f} min, bundle in {given.bundle}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
