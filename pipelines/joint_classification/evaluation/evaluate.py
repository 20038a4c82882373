"""`condyle evaluate joint_classification`: measure the shipped model, its gate and its maps, and rivals side by side.

Every part is kept as json, so that an evaluation that was broken off goes on where it stopped. The model card is
written from what was measured. The exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from dicom_sr.errors import DicomError
from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, pictures
from dicom_sr.series import read_studies
from pipelines.joint_classification import attention, signs
from pipelines.joint_classification.calibration import (
    expected_calibration_error,
    positive_likelihood_ratio,
    reliability,
    softmax,
)
from pipelines.joint_classification.evaluation import card, rivals
from pipelines.joint_classification.model import BUNDLE, Model, card_file, load
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.simulation import CLASSES, metacarpal, ultrasound
from pipelines.joint_classification.training.cohort import (
    INPUTS,
    PICTURES,
    Cohort,
    Inputs,
    cohort,
    folds,
    joined,
    on_screen,
)
from pipelines.joint_classification.training.fit import ALPHA, Schedule, ask, fit
from pipelines.joint_classification.training.train import REPEATS, Dimensions, disturbances, rescanned, simulated
from pipelines.joint_classification.ultrasound import windows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Measured = dict[str, Any]

CARD_FILE = Path(__file__).parents[1] / "README.md"
TEST_SEED = 31_337  # other patients than those trained and calibrated on
FOLD_SEED = 90_217
BOOTSTRAPS = 200
PATIENTS = {2: 200, 3: 80}
UNKNOWN_EACH = {2: 30, 3: 12}
MAPPED = {2: 24, 3: 12}  # diseased cases whose maps are looked at
FOLD_PATIENTS = {2: 400, 3: 300}
FOLD_STEPS = {2: 600, 3: 800}
FOLD_BATCH = {2: 32, 3: 12}
FOLD_RAMP = {2: 0.6, 3: 0.0}  # of pictures; without, the auto-encoder does not begin to learn in so few steps
TOLERANCE = {2: 6, 3: 2}  # pixels round a lesion that still count as pointing at it: 1 mm, and 0.6 mm
MOST_SIMILAR = 0.5  # rank correlation with the map of a network that has forgotten everything, or of another class
USUAL_PROBE_MM = 38.0


def evaluate(
    dimensions: Dimensions,
    model: Model,
    parts: list[str],
    kept: Path,
    real: Path | None,
    say: Callable[[str], None],
    rival_folds: int,
    methods: list[str] | None = None,
) -> dict[str, Measured]:
    """Measure `parts`, or take them from `kept` if they were measured before."""
    measures: dict[str, Callable[[], Measured]] = {
        "shipped": partial(shipped, dimensions, model),
        "gate": partial(gate, dimensions, model),
        "attention": partial(maps, dimensions, model),
        "clusters": partial(clusters, dimensions, model),
        "speed": partial(speed, dimensions, model),
    }
    if real is not None:
        measures["real"] = partial(real_pictures, model, real)
    found: dict[str, Measured] = {}
    kept.mkdir(parents=True, exist_ok=True)
    for name in parts:
        if name == "folds":
            found[name] = five_fold(dimensions, kept, rival_folds, say, methods)
        elif name in measures:
            path = kept / f"{name}_{dimensions}d.json"
            if not path.exists():
                began = time.monotonic()
                _write(path, measures[name]())
                say(f"{name}: measured in {time.monotonic() - began:.0f} s")
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, measured: Measured) -> None:
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


# ---- figures
def figures(probabilities: Floats, labels: Integers, patients: Integers | None = None) -> Measured:
    """Everything that is said of probabilities; with patients, 95 % intervals over them."""
    row = _point(probabilities, labels)
    if patients is not None:
        rng = np.random.default_rng(0)
        unique = np.unique(patients)
        where = {patient: np.flatnonzero(patients == patient) for patient in unique}
        draws = []
        for _ in range(BOOTSTRAPS):
            index = np.concatenate([where[patient] for patient in rng.choice(unique, len(unique))])
            if len(np.unique(labels[index])) == len(CLASSES):
                draws.append(_point(probabilities[index], labels[index]))
        row["interval"] = {
            name: [float(value) for value in np.quantile([draw[name] for draw in draws], (0.025, 0.975))]
            for name, value in row.items()
            if isinstance(value, float)
        }
    return row


def _point(probabilities: Floats, labels: Integers) -> Measured:
    said = probabilities.argmax(1)
    areas = [float(roc_auc_score(labels == c, probabilities[:, c])) for c in range(len(CLASSES))]
    row: Measured = {f"auroc_{name}": area for name, area in zip(CLASSES, areas, strict=True)}
    row["auroc_macro"] = float(np.mean(areas))
    for name, measure in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        row[name] = float(measure(labels, said, average="macro", zero_division=0))
    row["accuracy"] = float((said == labels).mean())
    for c, name in enumerate(CLASSES):
        row[f"lr_{name}"] = positive_likelihood_ratio(probabilities[:, c] >= 0.5, labels == c)[0]
    row["ece"] = expected_calibration_error(probabilities, labels)
    row["brier"] = float(np.square(probabilities - np.eye(len(CLASSES))[labels]).sum(1).mean())
    return row


# ---- the shipped model on new patients
def shipped(dimensions: Dimensions, model: Model, patients: int | None = None) -> Measured:
    """Accuracy, calibration, intervals and refusals on simulated patients that it has not seen."""
    inputs = INPUTS[model.card.inputs]
    number = patients or PATIENTS[dimensions]
    test = simulated(dimensions, TEST_SEED, number, inputs)
    said = model.judge(test.images)
    row: Measured = {"cases": len(test), "patients": number}
    row["figures"] = figures(said.probabilities, test.labels, test.patients)
    row["reliability"] = reliability(said.probabilities, test.labels)
    right = said.probabilities.argmax(1) == test.labels
    edges = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01))
    row["severity"] = [
        [low, float(right[some].mean()), int(some.sum())]
        for low, high in edges
        if (some := (test.labels > 0) & (test.severity >= low) & (test.severity < high)).any()
    ]
    row["healthy_right"] = float(right[test.labels == 0].mean())
    row["refused"] = refusals(model, said.p_value, said.entropy)
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


def refusals(model: Model, p_value: Floats, entropy: Floats) -> Measured:
    """Shares that the gate refuses."""
    foreign = p_value < model.card.foreign_p
    uncertain = ~foreign & (entropy > model.card.entropy_limit)
    return {"foreign": float(foreign.mean()), "uncertain": float(uncertain.mean())}


def _repeats(dimensions: Dimensions, model: Model) -> Measured:
    """How often a 90 % interval holds what the other scans of the joint say, and how often they agree."""
    joints = 45 if dimensions == 2 else 18
    repeats = rescanned(dimensions, TEST_SEED + 2, joints, INPUTS[model.card.inputs])
    said = model.judge(repeats.images)
    p = said.probabilities.reshape(joints, REPEATS, -1)
    others = (p.sum(1, keepdims=True) - p) / (REPEATS - 1)
    intervals = said.intervals.reshape(joints, REPEATS, -1, 2)
    inside = (others >= intervals[..., 0]) & (others <= intervals[..., 1])
    agree = p.argmax(2) == p.mean(1).argmax(1)[:, None]
    width = float((intervals[..., 1] - intervals[..., 0]).mean())
    return {"coverage": float(inside.mean()), "agreement": float(agree.mean()), "width": width, "joints": joints}


# ---- gate
def unknowns(dimensions: Dimensions, seed: int, each: int, inputs: str) -> Cohort:
    """Simulated cases of every kind that is none of the three classes."""
    rng = np.random.default_rng(seed)
    if dimensions == 2:
        flat = [ultrasound.simulate_unknown(rng, kind, 0) for kind in ultrasound.UNKNOWN_KINDS for _ in range(each)]
        return cohort(on_screen(flat, seed))
    solid = [metacarpal.simulate_unknown(rng, kind, 0) for kind in metacarpal.UNKNOWN_KINDS for _ in range(each)]
    return cohort(solid, INPUTS[inputs])


def foreignness(model: Model, images: NDArray[np.float32]) -> dict[str, Floats]:
    """Scores that say how foreign images are, the gate's own first, then what it is made of and what it is not."""
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


def gate(dimensions: Dimensions, model: Model, each: int | None = None) -> Measured:
    """AUROC of the gate and of other scores against every kind of unknown, and shares refused."""
    inputs = model.card.inputs
    known = simulated(dimensions, TEST_SEED + 3, PATIENTS[dimensions] // 2, INPUTS[inputs], 0.5)
    foreign = unknowns(dimensions, TEST_SEED + 4, each or UNKNOWN_EACH[dimensions], inputs)
    ours, theirs = foreignness(model, known.images), foreignness(model, foreign.images)
    kinds = np.array(foreign.kinds)
    said, mine = model.judge(foreign.images), model.judge(known.images)
    refused = (said.p_value < model.card.foreign_p) | (said.entropy > model.card.entropy_limit)
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


def real_pictures(model: Model, folder: Path) -> Measured:
    """What becomes of real ultrasound of other parts of the body: none of it may be classified."""
    rows = []
    for path in sorted(file for file in folder.rglob("*") if file.suffix.lower() in (*PICTURES, ".dcm")):
        if "mask" in path.stem or "pred" in path.stem:
            continue
        row: Measured = {"file": path.relative_to(folder).as_posix()}
        try:
            images = np.concatenate([windows(picture, width) for picture, width in _pictures(path)])
            said = model.classify(images)
            best = int(said.p_value.argmax())
            verdict = model.verdict(said.take(np.array([best])))
            row |= {"windows": len(images), "p": float(said.p_value[best]), "outcome": verdict.reason or "classified"}
        except DicomError as error:
            row |= {"outcome": "unsuitable", "why": str(error)}
        rows.append(row)
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


# ---- maps
def maps(dimensions: Dimensions, model: Model, number: int | None = None) -> Measured:
    """Sanity, localisation and class-specificity of every method of `attention`."""
    inputs = INPUTS[model.card.inputs]
    number = number or MAPPED[dimensions]
    test = simulated(dimensions, TEST_SEED + 5, 2 * number, inputs)
    said = model.judge(test.images)
    seen = (test.labels > 0) & (said.probabilities.argmax(1) == test.labels)
    large = test.lesions.reshape(len(test), -1).sum(1) >= 20
    chosen = test.take(np.flatnonzero(seen & large)[:number])
    tolerance = TOLERANCE[dimensions]
    forgetful = {
        "classifier": attention.randomised(model.network, 1, 0),
        "classifier and last stage": attention.randomised(model.network, 2, 1),
        "everything": attention.randomised(model.network, 3),
    }
    names = [name for name in attention.METHODS if dimensions == 2 or name != "occlusion"]
    rows = {name: _map_figures(attention.METHODS[name], model.network, chosen, forgetful, tolerance) for name in names}
    chance = [
        float(attention.widened(lesion, tolerance)[_bright(image)].mean())
        for image, lesion in zip(chosen.images[:, 0], chosen.lesions, strict=True)
    ]
    return {"cases": len(chosen), "chance": float(np.mean(chance)), "methods": rows, "shown": _shown(rows)}


def _bright(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where there is something to look at, so that chance is not measured in the shadow."""
    return np.asarray(image > np.quantile(image, 0.6))


def _map_figures(
    method: attention.Method,
    network: ConvolutionalSupervisedAutoEncoder,
    cases: Cohort,
    forgetful: dict[str, ConvolutionalSupervisedAutoEncoder],
    tolerance: int,
) -> Measured:
    points, overlaps, other_points, across = [], [], [], []
    kept: dict[str, list[float]] = {name: [] for name in forgetful}
    for number in range(len(cases)):
        x = torch.from_numpy(cases.images[number : number + 1])
        label, lesion = int(cases.labels[number]), cases.lesions[number]
        heat, other = method(network, x, label), method(network, x, 3 - label)  # 1 and 2: the two diseases
        points.append(attention.points_at(heat, lesion, tolerance))
        overlaps.append(attention.overlap(heat, lesion))
        other_points.append(attention.points_at(other, lesion, tolerance))
        across.append(attention.similarity(heat, other))
        if number % 4 == 0:
            for name, changed in forgetful.items():
                kept[name].append(attention.similarity(heat, method(changed, x, label)))
    return {
        "pointing": float(np.mean(points)),
        "iou": float(np.mean(overlaps)),
        "pointing_other_class": float(np.mean(other_points)),
        "similarity_other_class": float(np.mean(across)),
        "randomised": {name: float(np.mean(values)) for name, values in kept.items()},
    }


def _shown(rows: dict[str, Measured]) -> str:
    """The method that may be shown: the one that points best, of those that show the network and the class asked for.

    Their maps change when the network forgets, and differ from those of another class.
    """
    sane = [
        name
        for name, row in rows.items()
        if max(row["randomised"]["everything"], row["similarity_other_class"]) <= MOST_SIMILAR
    ]
    return max(sane, key=lambda name: (rows[name]["pointing"], rows[name]["iou"])) if sane else ""


# ---- clusters and speed
def clusters(dimensions: Dimensions, model: Model) -> Measured:
    """Whether neighbours are of the same class, and whether the map is the same every time."""
    test = simulated(dimensions, TEST_SEED + 6, PATIENTS[dimensions] // 2, INPUTS[model.card.inputs])
    latent = ask(model.network, test.images).latent
    same = [
        float((model.map.conditions[model.map.nearest(one, 5)[0]] == label).mean())
        for one, label in zip(latent, test.labels, strict=True)
    ]
    shares = np.bincount(model.map.conditions, minlength=3) / len(model.map.conditions)
    again = model.map.place(ask(model.network, test.images[:4]).latent)
    moved = float(np.abs(again - model.map.place(latent[:4])).max())
    return {
        "cases": len(test),
        "known": len(model.map.conditions),
        "same_class": float(np.mean(same)),
        "chance": float(shares[test.labels].mean()),
        "moved": moved,
    }


def speed(dimensions: Dimensions, model: Model) -> Measured:
    """Seconds of a cine of 60 frames, or of one volume of 96 x 128 x 128, with as many threads as torch has here."""
    rng = np.random.default_rng(1)
    if dimensions == 2:
        images = np.stack([ultrasound.simulate(rng, "ra", 0).image] * 60)
    else:
        images = metacarpal.simulate(rng, "ra", 0, step=1).image[None]
    model.classify(images[:1])
    began = time.perf_counter()
    model.classify(images)
    asked = time.perf_counter() - began
    began = time.perf_counter()
    model.attention(images[0], 1)
    mapped = time.perf_counter() - began
    return {"classify_s": asked, "attention_s": mapped, "threads": torch.get_num_threads(), "images": len(images)}


# ---- five-fold
def five_fold(
    dimensions: Dimensions, kept: Path, number: int, say: Callable[[str], None], methods: list[str] | None = None
) -> Measured:
    """Every method (or those of `methods`) trained anew on four fifths of a cohort and judged on the rest.

    Patients are never on both sides.
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
                _write(path, row)
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
    """How each row of the folds is come by, and what its images hold: grey values, bone mask, or their product."""
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
        return softmax(ask(network, test.images).logits)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(test.images[i : i + 16])).double().numpy() for i in range(0, len(test), 16)]
    return softmax(np.concatenate(parts))


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


# ---- command
def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(prog="condyle evaluate joint_classification", description=__doc__)
    options.add_argument("--dimensions", type=int, choices=(2, 3), default=2, help="2: ultrasound, 3: HR-pQCT")
    options.add_argument("--bundle", type=Path, default=BUNDLE)
    options.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of " + ", ".join(PARTS))
    options.add_argument("--folds", type=int, default=5, help="how many of the five folds")
    options.add_argument("--methods", metavar="NAME,NAME", help="of the five folds: " + ", ".join(_methods(3)))
    options.add_argument("--real", type=Path, metavar="FOLDER", help="real ultrasound that is to be refused")
    options.add_argument("--keep", type=Path, help="folder for what was measured; default: beside the bundle")
    options.add_argument("--card", type=Path, default=CARD_FILE, help="the model card to write")
    options.add_argument("--threads", type=int, default=1)
    return options


PARTS = ("shipped", "gate", "real", "attention", "clusters", "speed", "folds")


def main(arguments: list[str]) -> int:
    """Measure, write the card, and say whether the bars are met."""
    given = parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    dimensions: Dimensions = 2 if given.dimensions == 2 else 3
    model = load(dimensions, given.bundle)
    kept = given.keep or given.bundle.with_name(f"{given.bundle.name}-evaluation")

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    methods = given.methods.split(",") if given.methods else None
    found = evaluate(dimensions, model, given.parts.split(","), kept, given.real, say, given.folds, methods)
    shown = found.get("attention", {}).get("shown")
    if shown and shown != model.card.heat_method:
        described = card_file(given.bundle, dimensions)
        row = json.loads(described.read_text(encoding="utf-8"))
        described.write_text(json.dumps(row | {"heat_method": shown}, indent=1) + "\n", encoding="utf-8")
        say(f"maps are made by {shown} from now on")
    card.write(given.card, given.bundle, dimensions, found)
    missed = [bar for bar in card.bars(found) if not bar.met]
    for bar in missed:
        say(f"missed: {bar.what}: {bar.measured}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
