"""Comparisons that train anew: every loss, and where the features of a joint come from."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import LOCALISER, weights
from pipelines.hand_foot_scoring.evaluation import agreement, marked_films
from pipelines.hand_foot_scoring.evaluation.agreement import Agreement
from pipelines.hand_foot_scoring.heads import LOSSES, MAXIMUM
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.simulation import crops
from pipelines.hand_foot_scoring.simulation.crops import Crops
from pipelines.hand_foot_scoring.training import damage_heads, multitask
from pipelines.hand_foot_scoring.training.damage_heads import fit_joint_gate
from pipelines.hand_foot_scoring.training.mixture import simulated_patients
from pipelines.hand_foot_scoring.training.plan import CALIBRATION_SEED, CHILDREN, TEST_SEED
from pipelines.hand_foot_scoring.training.style import views

AgreementTable = Mapping[str, Mapping[str, Agreement]]


def compare_losses(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train with every loss and several seeds on the same crops: mean and standard deviation over seeds.

    With `--json FILE`, crops and finished runs are stored beside it (FILE.crops and FILE.runs), and an interrupted
    comparison continues from there; so does one that is called again with more seeds.
    """
    beside = None if options.json is None else options.json.with_name(options.json.name + ".crops")
    with_films = "" if options.films is None else " painted"
    name = f"{options.seed} {options.train_patients} {options.patients} {options.epochs}{with_films}"
    train, calibration, test = (_crops(options, set_name, beside, name) for set_name in SETS)
    rows = damage_heads.joints(test)
    runs = Runs(None if options.json is None else options.json.with_name(f"{options.json.name}.runs"), name)
    seen: NDArray[np.uint8] | None = None
    start = time.monotonic()
    for seed, loss in ((seed, loss) for seed in range(options.seeds) for loss in LOSSES):
        if f"{loss} {seed}" in runs.done:
            continue
        if seen is None:  # the same styles for every loss
            seen = views(train.images, damage_heads.VIEWS, options.seed)
        network = damage_heads.train_damage(train, loss, seed, options.epochs, seen=seen)
        run: dict[str, Any] = {"agreement": agreement.plain(agreement.by_family(agreement.scores(network, test), rows))}
        if options.films is not None:
            run["real"] = _real_totals(options, network, calibration, test)
        runs.add(f"{loss} {seed}", run)
        console.print(f"{loss}, seed {seed}: {time.monotonic() - start:.0f} s")
    return _summary(runs, agreement.all_zero(rows), options, console) | {
        "train_crops": len(train),
        "test_crops": len(test),
        "epochs": options.epochs,
    }


class Runs:
    """Finished trainings by name, stored after each one.

    Parameters
    ----------
    path
        Where they are stored; None: nowhere.
    name
        Of everything that they share; runs that were stored under another name are forgotten.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        self.path, self.name = path, name
        self.done: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["name"] == name:
                self.done = stored["runs"]

    def add(self, run: str, result: dict[str, Any]) -> None:
        """Store a finished training."""
        self.done[run] = result
        if self.path is not None:
            partial = self.path.with_suffix(".part")
            partial.write_text(json.dumps({"name": self.name, "runs": self.done}), encoding="utf-8")
            partial.replace(self.path)


SETS = {"train": (0, crops.EVEN_SHARE), "calibration": (CALIBRATION_SEED, 0.0), "test": (TEST_SEED, crops.EVEN_SHARE)}


def _crops(options: argparse.Namespace, set_name: str, beside: Path | None, name: str) -> Crops:
    """The crops of a set, made once and found again."""
    stamp = name.replace(" ", "-")
    path = None if beside is None else beside / f"{set_name}-{stamp}.npz"
    if path is not None and path.exists():
        return Crops.load(path)
    offset, even = SETS[set_name]
    patients = options.train_patients if set_name == "train" else options.patients
    children = CHILDREN if set_name == "train" else 0.0
    made = simulated_patients(options.seed + offset, patients, options.films, even=even, children=children)
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        made.save(path)
    return made


def _real_totals(options: argparse.Namespace, network: Damage, calibration: Crops, test: Crops) -> dict[str, Any]:
    """Total, graded cells and highest grade of every marked picture, with calibration and gate of this network."""
    fitted = replace(
        weights.load(options.bundle, options.device),
        damage=network,
        calibration=damage_heads.calibrate(network, calibration).calibration,
        gate=fit_joint_gate(network, test),
    )
    read = [
        marked_films.figures(one) for one in marked_films.read_marked(Reader(fitted), options.films, options.pooling)
    ]
    return {row["picture"]: [row["total"], row["graded"], row["highest"]] for row in read}


def _summary(runs: Runs, nothing: AgreementTable, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Print and return what the finished runs of every loss have in common."""
    made = {loss: [runs.done[f"{loss} {seed}"] for seed in range(options.seeds)] for loss in LOSSES}
    tables = {"all zero": [agreement.plain(nothing)]} | {
        loss: [run["agreement"] for run in each] for loss, each in made.items()
    }
    summary = {
        loss: {head: {name: _over_seeds([t[head][name] for t in each]) for name in each[0][head]} for head in each[0]}
        for loss, each in tables.items()
    }
    for head in MAXIMUM:
        console.print(_ablation_table(head, summary))
    real: dict[str, dict[str, list[float]]] = {
        loss: {picture: np.mean([run["real"][picture] for run in each], axis=0).tolist() for picture in each[0]["real"]}
        for loss, each in made.items()
        if all("real" in run for run in each)
    }
    if real:
        console.print(_real_table(real))
    return {"losses": summary, "real": real}


def _real_table(real: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    table = Table("picture", *real, title="real pictures, mean over seeds: total, graded cells, highest grade")
    for picture in next(iter(real.values())):
        rows = [figures[picture] for figures in real.values()]
        table.add_row(picture, *(f"{total:.1f}, {graded:.0f}, {highest:.1f}" for total, graded, highest in rows))
    return table


def compare_branches(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train grades from the crop, from the localiser's features at the joint, and from both, on the same films.

    With `--json FILE`, finished runs are stored beside it (FILE.runs), as in the comparison of losses.
    """
    name = f"branches {options.seed} {options.train_patients} {options.patients} {options.epochs}"
    runs = Runs(None if options.json is None else options.json.with_name(f"{options.json.name}.runs"), name)
    train = multitask.simulated(options.seed, options.train_patients, crops.EVEN_SHARE)
    test = multitask.simulated(options.seed + TEST_SEED, options.patients, crops.EVEN_SHARE)
    for seed, branches in ((seed, branches) for seed in range(options.seeds) for branches in multitask.BRANCHES):
        if f"{branches} {seed}" in runs.done:
            continue
        localiser = weights.load_localiser(options.bundle / LOCALISER)
        network = multitask.train(train, localiser, branches, seed, options.epochs)
        found = agreement.by_family(*multitask.scores(network, test))
        runs.add(f"{branches} {seed}", {"agreement": agreement.plain(found)})
        console.print(f"features from {branches}, seed {seed}: done")
    figures: dict[str, Any] = {"train_films": len(train.canvases), "test_films": len(test.canvases)}
    table = Table("features from", *(f"{head}: kappa, MAE, RMSE" for head in MAXIMUM), title="simulated, over seeds")
    for branches in multitask.BRANCHES:
        made = [runs.done[f"{branches} {seed}"]["agreement"] for seed in range(options.seeds)]
        figures[branches] = {head: _over_seeds([run[head]["all"] for run in made]) for head in MAXIMUM}
        rows = [figures[branches][head] for head in MAXIMUM]
        table.add_row(branches, *(f"{r['kappa'][0]:.3f} {r['mae'][0]:.3f} {r['rmse'][0]:.3f}" for r in rows))
    console.print(table)
    return figures


def _over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    values = {name: np.array([row[name] for row in rows], float) for name in agreement.AGREEMENT_COLUMNS}
    return {name: (float(array.mean()), float(array.std())) for name, array in values.items()}


def _ablation_table(head: str, summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    columns = agreement.AGREEMENT_COLUMNS[1:]
    table = Table("loss", "joints", *columns, title=f"{head}, simulated, mean ± standard deviation over seeds")
    for loss, heads in summary.items():
        for name, row in heads[head].items():
            table.add_row(loss, name, *(f"{row[c][0]:.3f} ± {row[c][1]:.3f}" for c in columns))
    return table
