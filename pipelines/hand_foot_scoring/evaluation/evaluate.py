"""Evaluation: `condyle evaluate hand_foot_scoring`, on simulated patients or on real data in a known layout."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import BUNDLE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS, Pooling
from pipelines.hand_foot_scoring.crops import normalised
from pipelines.hand_foot_scoring.evaluation import landmarks, tables
from pipelines.hand_foot_scoring.heads import LOSSES, MAXIMUM, head_of
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.reading import CHILD_PROBABILITY, PLATE_SITES, Reader, pooled
from pipelines.hand_foot_scoring.scoring import CELLS, INTERVAL_SPREAD, Cell, Reading, Scored
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation import crops
from pipelines.hand_foot_scoring.simulation.disease import random_disease
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.training import damage_heads, metrics, multitask
from pipelines.hand_foot_scoring.training.calibration import (
    GradedJoints,
    coverage,
    patient_totals,
    patients_probabilities,
)
from pipelines.hand_foot_scoring.training.metrics import Agreement
from pipelines.hand_foot_scoring.training.train import TEST_SEED
from pipelines.hand_foot_scoring.weights import Trained

BINS = Path(__file__).parent / "surrogate.yaml"
AGES = {
    "5 to 9": (5.0, 9.0),
    "9 to 13": (9.0, 13.0),
    "13 to 15": (13.0, 15.0),
    "15 to 16.5": (15.0, 16.5),
    "grown": None,
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="condyle evaluate hand_foot_scoring", description=__doc__)
    made.add_argument("--data", type=Path, help="folder of real data; simulated patients are made where it is left out")
    made.add_argument(
        "--layout",
        choices=("landmarks", "ram-h1200", "ra2-dream"),
        help="landmarks: hand-joints-rsna or hand-landmarks-dha; ram-h1200: one split; ra2-dream: table and JPEGs",
    )
    made.add_argument("--ablation", action="store_true", help="train every loss anew on the same simulated patients")
    made.add_argument("--multi-task", action="store_true", help="compare crops with the localiser's features and both")
    made.add_argument("--bundle", type=Path, default=BUNDLE)
    made.add_argument("--pooling", choices=POOLINGS, default="alone", help="what a score leans on beside its own joint")
    made.add_argument("--bins", type=Path, default=BINS, help="damage bins of the surrogate metrics, YAML")
    made.add_argument("--json", type=Path, help="write the figures there")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--seeds", type=int, default=3, help="of the ablation")
    made.add_argument("--patients", type=int, default=150, help="simulated patients to measure with")
    made.add_argument("--train-patients", type=int, default=120, help="of the ablation")
    made.add_argument("--epochs", type=int, default=5, help="of the ablation")
    made.add_argument("--threads", type=int, default=1)
    return made


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 0 on success, 2 where data and layout do not go together."""
    options = parser().parse_args(arguments)
    console = Console()
    torch.set_num_threads(options.threads)
    if (options.data is None) != (options.layout is None):
        console.print("--data and --layout belong together")
        return 2
    try:
        figures = _measured(options, console)
    except FileNotFoundError as error:
        console.print(str(error), markup=False)
        return 2
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _measured(options: argparse.Namespace, console: Console) -> Any:
    if options.layout == "landmarks":
        return _landmarks(options, console)
    if options.layout == "ram-h1200":
        return _ram(options, console)
    if options.layout == "ra2-dream":
        return _dream(options, console)
    if options.ablation:
        return _ablation(options, console)
    if options.multi_task:
        return _multi_task(options, console)
    return _simulated(options, console)


# ---------------------------------------------------------------- landmarks
def _landmarks(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    finder = Finder(weights.load_localiser(options.bundle / LOCALISER), load_shapes(options.bundle / SHAPE))
    rows = landmarks.measure_folder(options.data, finder)
    table = Table("picture", "sites", "found", "within 4 %", "median error, hand lengths", title=str(options.data.name))
    for name in dict.fromkeys(row.picture for row in rows):
        _summary_row(table, name, [row for row in rows if row.picture == name])
    _summary_row(table, "all", rows)
    console.print(table)
    return [asdict(row) for row in rows]


def _summary_row(table: Table, name: str, rows: list[landmarks.Row]) -> None:
    summary = landmarks.summarise(rows)
    table.add_row(
        name, str(summary.sites), str(summary.found), f"{summary.within_4_percent:.1%}", f"{summary.median:.4f}"
    )


# ---------------------------------------------------------------- simulated patients
def _simulated(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    trained = weights.load(options.bundle)
    held = crops.simulated(options.seed + TEST_SEED, options.patients, even=0, children=0)
    rows, raw = damage_heads.joints(held), damage_heads.logits(trained.damage, held)
    scores = {pooling: patients_probabilities(trained.calibration, pooling, raw, rows) for pooling in POOLINGS}
    tables = {
        "patients as in a clinic (simulated), calibrated": damage_heads.by_family(scores[options.pooling], rows),
        "the same, every joint called undamaged": damage_heads.all_zero(rows),
    }
    figures = {title: damage_heads.plain(table) for title, table in tables.items()}
    for title, heads in figures.items():
        console.print(_agreement_table(title, heads))
    pooling: dict[str, dict[str, Any]] = {name: _pooling_figures(trained, name, p, rows) for name, p in scores.items()}
    console.print(_pooling_table(pooling))
    state = damage_heads.state_accuracy(trained.damage, held)
    surrogate = _surrogate_simulated(scores[options.pooling], rows, _edges(options.bins))
    plates = plate_rates(trained, options.seed)
    console.print(f"state of the joint recognised: {state:.1%}")
    console.print("surrogate of the RA2-DREAM metrics (simulated patients):", asdict(surrogate))
    console.print("growth plates called open, by age:", plates)
    return {
        "patients": options.patients,
        "agreement": figures,
        "pooling": pooling,
        "calibration_error": pooling[options.pooling]["calibration_error"],
        "interval_coverage": pooling[options.pooling]["interval_coverage"],
        "state_accuracy": state,
        "surrogate": asdict(surrogate),
        "open_plates": plates,
    }


def _pooling_figures(
    trained: Trained,
    pooling: Pooling,
    probabilities: Mapping[str, NDArray[np.float64]],
    rows: Mapping[str, GradedJoints],
) -> dict[str, Any]:
    sums = patient_totals(probabilities, rows)
    table = damage_heads.by_family(probabilities, rows)
    errors = np.array([s.error for s in sums])
    return {
        "agreement": {head: asdict(families["all"]) for head, families in table.items()},
        "calibration_error": damage_heads.calibration_errors(probabilities, rows),
        "total_rmse": float(np.sqrt((errors**2).mean())),
        "total_bias": float(errors.mean()),
        "interval_coverage": coverage(sums, trained.calibration.correlation(pooling)),
        "interval_half_width": float(
            np.mean([INTERVAL_SPREAD * s.deviation(trained.calibration.correlation(pooling)) for s in sums])
        ),
    }


def _pooling_table(pooling: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        "leans on",
        *(f"{head}: kappa, MAE, ECE" for head in MAXIMUM),
        "total: RMSE, bias",
        "interval: covers, half width",
    )
    for name, row in pooling.items():
        heads = [
            f"{row['agreement'][h]['kappa']:.3f} {row['agreement'][h]['mae']:.3f} {row['calibration_error'][h]:.3f}"
            for h in MAXIMUM
        ]
        table.add_row(
            name,
            *heads,
            f"{row['total_rmse']:.1f} {row['total_bias']:+.1f}",
            f"{row['interval_coverage']:.1%} {row['interval_half_width']:.0f}",
        )
    return table


def plate_rates(trained: Trained, seed: int, hands: int = 15) -> dict[str, tuple[int, int]]:
    """Age band to (hands that are taken for a child's, hands), over simulated hands."""
    found = {}
    for number, (band, ages) in enumerate(AGES.items()):
        called = 0
        for each in range(hands):
            rng = np.random.default_rng((seed + TEST_SEED, 9, number, each))
            age = None if ages is None else float(rng.uniform(*ages))
            skeleton = hand(rng, random_disease("hand", rng, 0.4) if age is None else None, age, odd=False)
            images = [crops.simulated_crop(skeleton, site, rng, "evaluable")[0] for site in PLATE_SITES]
            called += _open_plates(trained, images) > CHILD_PROBABILITY
        found[band] = (called, hands)
    return found


@torch.inference_mode()
def _open_plates(trained: Trained, images: Sequence[NDArray[np.float32]]) -> float:
    sites = torch.tensor([CLASS_OF["hand", site] for site in PLATE_SITES])
    raw = trained.damage(torch.from_numpy(np.stack(images)[:, None]), sites)
    return float(raw["plates"].sigmoid().mean())


def _surrogate_simulated(
    probabilities: Mapping[str, NDArray[np.float64]], rows: Mapping[str, GradedJoints], edges: Sequence[float]
) -> metrics.Surrogate:
    truth: dict[str, dict[str, NDArray[np.float64]]] = {}
    score: dict[str, dict[str, NDArray[np.float64]]] = {}
    kinds = {"erosion": ("hand_erosion", "foot_erosion"), "narrowing": ("narrowing",)}
    expected = {head: p @ np.arange(MAXIMUM[head] + 1) for head, p in probabilities.items()}
    for patient in np.unique(np.concatenate([joints.patients for joints in rows.values()])):
        mine = {head: joints.patients == patient for head, joints in rows.items()}
        truth[str(patient)] = {
            kind: np.concatenate([rows[head].grades[mine[head]] for head in heads]) for kind, heads in kinds.items()
        }
        score[str(patient)] = {
            kind: np.concatenate([expected[head][mine[head]] for head in heads]) for kind, heads in kinds.items()
        }
    return metrics.surrogate(truth, score, edges)


def _edges(path: Path) -> list[float]:
    return [float(edge) for edge in yaml.safe_load(path.read_text(encoding="utf-8"))["edges"]]


def _agreement_table(title: str, heads: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    table = Table("head", "joints", *damage_heads.AGREEMENT_COLUMNS, title=title)
    for head, rows in heads.items():
        for name, row in rows.items():
            table.add_row(
                head, name, *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
            )
    return table


# ---------------------------------------------------------------- the comparison of losses
def _ablation(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Every loss over several seeds on the same simulated patients; means and standard deviations over the seeds.

    With `--json FILE` what is done is kept in FILE.runs, and a comparison that was broken off goes on from there.
    """
    train = crops.simulated(options.seed, options.train_patients, even=crops.EVEN_SHARE)
    test = crops.simulated(options.seed + TEST_SEED, options.patients, even=crops.EVEN_SHARE)
    rows = damage_heads.joints(test)
    kept = None if options.json is None else options.json.with_name(f"{options.json.name}.runs")
    name = f"{options.seed} {options.train_patients} {options.patients} {options.epochs}"
    done = _runs(kept, name)
    start = time.monotonic()
    for loss, seed in ((loss, seed) for loss in LOSSES for seed in range(options.seeds)):
        if f"{loss} {seed}" in done:
            continue
        network = damage_heads.train_damage(train, loss, seed, options.epochs)
        done[f"{loss} {seed}"] = damage_heads.by_family(damage_heads.scores(network, test), rows)
        console.print(f"{loss}, seed {seed}: {time.monotonic() - start:.0f} s")
        if kept is not None:
            plain = {run: damage_heads.plain(table) for run, table in done.items()}
            kept.write_text(json.dumps({"name": name, "runs": plain}), encoding="utf-8")
    runs = {"all zero": [damage_heads.all_zero(rows)]} | {
        loss: [done[f"{loss} {seed}"] for seed in range(options.seeds)] for loss in LOSSES
    }
    summary = {
        loss: {
            head: {name: _over_seeds([run[head][name] for run in made]) for name in made[0][head]} for head in made[0]
        }
        for loss, made in runs.items()
    }
    for head in MAXIMUM:
        console.print(_ablation_table(head, summary))
    if kept is not None:
        kept.unlink(missing_ok=True)
    return {"train_crops": len(train), "test_crops": len(test), "epochs": options.epochs, "losses": summary}


def _runs(kept: Path | None, name: str) -> dict[str, dict[str, dict[str, Agreement]]]:
    if kept is None or not kept.exists():
        return {}
    stored = json.loads(kept.read_text(encoding="utf-8"))
    if stored["name"] != name:
        return {}
    return {
        run: {head: {families: Agreement(**row) for families, row in rows.items()} for head, rows in table.items()}
        for run, table in stored["runs"].items()
    }


def _multi_task(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The crop, the localiser's features at the joint in one network with it, and both, on the same films."""
    train = multitask.simulated(options.seed, options.train_patients, crops.EVEN_SHARE)
    test = multitask.simulated(options.seed + TEST_SEED, options.patients, crops.EVEN_SHARE)
    figures: dict[str, Any] = {"train_films": len(train.canvases), "test_films": len(test.canvases)}
    table = Table("features from", *(f"{head}: kappa, MAE, RMSE" for head in MAXIMUM), title="simulated")
    for branches in multitask.BRANCHES:
        localiser = weights.load_localiser(options.bundle / LOCALISER)
        network = multitask.train(train, localiser, branches, options.seed, options.epochs)
        found = damage_heads.by_family(*multitask.scores(network, test))
        figures[branches] = damage_heads.plain(found)
        rows = [found[head]["all"] for head in MAXIMUM]
        table.add_row(branches, *(f"{row.kappa:.3f} {row.mae:.3f} {row.rmse:.3f}" for row in rows))
        console.print(f"{branches}: done")
    console.print(table)
    return figures


def _over_seeds(rows: Sequence[Agreement]) -> dict[str, tuple[float, float]]:
    values = {name: np.array([getattr(row, name) for row in rows], float) for name in damage_heads.AGREEMENT_COLUMNS}
    return {name: (float(array.mean()), float(array.std())) for name, array in values.items()}


def _ablation_table(head: str, summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    columns = damage_heads.AGREEMENT_COLUMNS[1:]
    table = Table("loss", "joints", *columns, title=f"{head}, simulated, mean ± standard deviation over seeds")
    for loss, heads in summary.items():
        for name, row in heads[head].items():
            table.add_row(loss, name, *(f"{row[c][0]:.3f} ± {row[c][1]:.3f}" for c in columns))
    return table


# ---------------------------------------------------------------- real data with grades
def _ram(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    graded, left_out = tables.read_ram(options.data)
    trained = weights.load(options.bundle)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for crop in graded:
        pairs.setdefault(crop.cell.kind, []).append((crop.grade, _expected(trained, crop)))
    figures: dict[str, Any] = {"left_out": left_out}
    for kind, values in pairs.items():
        truth, score = np.array(values).T
        figures[kind] = asdict(metrics.agreement(truth, score, 5 if kind == "erosion" else 4))
        console.print(kind, figures[kind])
    console.print(f"{left_out} grades had no site of ours or no crop")
    return figures


@torch.inference_mode()
def _expected(trained: Trained, crop: tables.GradedCrop) -> float:
    head = head_of(crop.cell)
    image = torch.from_numpy(normalised(crop.image)[None, None])
    raw = trained.damage(image, torch.tensor([CLASS_OF[crop.cell.limb, crop.cell.site]]))[head].numpy()
    return float(trained.calibration.alone(head, raw)[0] @ np.arange(crop.cell.maximum + 1))


def _dream(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    reader = Reader(weights.load(options.bundle))
    truth: dict[str, dict[str, NDArray[np.float64]]] = {}
    score: dict[str, dict[str, NDArray[np.float64]]] = {}
    unread = 0
    for patient in tables.read_dream(options.data):
        readings: dict[Cell, Reading] = {}
        for (side, limb), path in patient.pictures.items():
            for found in reader.read(tables.grey(path)):
                if (found.limb.side, found.limb.part) == (side, limb):
                    readings |= found.cells
        readings = pooled(readings, reader.trained.calibration, options.pooling)
        both = [c for c in CELLS if c in patient.grades and isinstance(readings.get(c), Scored)]
        unread += len(patient.grades) - len(both)
        if not both:
            continue
        kinds = {kind: [c for c in both if c.kind == kind] for kind in ("erosion", "narrowing")}
        truth[patient.patient] = {k: np.array([patient.grades[c] for c in cells]) for k, cells in kinds.items()}
        score[patient.patient] = {k: np.array([_score(readings[c]) for c in cells]) for k, cells in kinds.items()}
    if not truth:
        raise FileNotFoundError(f"no joint of a picture in {options.data} could be read")
    figures = asdict(metrics.surrogate(truth, score, _edges(options.bins)))
    console.print("surrogate of the RA2-DREAM metrics, over cells that could be read:", figures)
    return {"surrogate": figures, "patients": len(truth), "cells_not_read": unread}


def _score(reading: Reading) -> float:
    assert isinstance(reading, Scored)
    return reading.expected
