"""Comparisons that train anew: every loss, and where the features of a joint come from."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import LOCALISER, weights
from pipelines.hand_foot_scoring.evaluation import agreement
from pipelines.hand_foot_scoring.evaluation.agreement import Agreement
from pipelines.hand_foot_scoring.heads import LOSSES, MAXIMUM
from pipelines.hand_foot_scoring.simulation import crops
from pipelines.hand_foot_scoring.training import damage_heads, multitask
from pipelines.hand_foot_scoring.training.train import TEST_SEED


def compare_losses(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train with every loss and several seeds on the same simulated patients: mean and standard deviation over seeds.

    With `--json FILE`, finished runs are stored in FILE.runs, and an interrupted comparison continues from there.
    """
    train = crops.simulated(options.seed, options.train_patients, even=crops.EVEN_SHARE)
    test = crops.simulated(options.seed + TEST_SEED, options.patients, even=crops.EVEN_SHARE)
    rows = damage_heads.joints(test)
    runs_file = None if options.json is None else options.json.with_name(f"{options.json.name}.runs")
    name = f"{options.seed} {options.train_patients} {options.patients} {options.epochs}"
    done = _stored_runs(runs_file, name)
    start = time.monotonic()
    for loss, seed in ((loss, seed) for loss in LOSSES for seed in range(options.seeds)):
        if f"{loss} {seed}" in done:
            continue
        network = damage_heads.train_damage(train, loss, seed, options.epochs)
        done[f"{loss} {seed}"] = agreement.by_family(agreement.scores(network, test), rows)
        console.print(f"{loss}, seed {seed}: {time.monotonic() - start:.0f} s")
        if runs_file is not None:
            plain = {run: agreement.plain(table) for run, table in done.items()}
            runs_file.write_text(json.dumps({"name": name, "runs": plain}), encoding="utf-8")
    runs = {"all zero": [agreement.all_zero(rows)]} | {
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
    if runs_file is not None:
        runs_file.unlink(missing_ok=True)
    return {"train_crops": len(train), "test_crops": len(test), "epochs": options.epochs, "losses": summary}


def _stored_runs(path: Path | None, name: str) -> dict[str, dict[str, dict[str, Agreement]]]:
    if path is None or not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["name"] != name:
        return {}
    return {
        run: {head: {families: Agreement(**row) for families, row in rows.items()} for head, rows in table.items()}
        for run, table in stored["runs"].items()
    }


def compare_branches(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train grades from the crop, from the localiser's features at the joint, and from both, on the same films."""
    train = multitask.simulated(options.seed, options.train_patients, crops.EVEN_SHARE)
    test = multitask.simulated(options.seed + TEST_SEED, options.patients, crops.EVEN_SHARE)
    figures: dict[str, Any] = {"train_films": len(train.canvases), "test_films": len(test.canvases)}
    table = Table("features from", *(f"{head}: kappa, MAE, RMSE" for head in MAXIMUM), title="simulated")
    for branches in multitask.BRANCHES:
        localiser = weights.load_localiser(options.bundle / LOCALISER)
        network = multitask.train(train, localiser, branches, options.seed, options.epochs)
        found = agreement.by_family(*multitask.scores(network, test))
        figures[branches] = agreement.plain(found)
        rows = [found[head]["all"] for head in MAXIMUM]
        table.add_row(branches, *(f"{row.kappa:.3f} {row.mae:.3f} {row.rmse:.3f}" for row in rows))
        console.print(f"{branches}: done")
    console.print(table)
    return figures


def _over_seeds(rows: Sequence[Agreement]) -> dict[str, tuple[float, float]]:
    values = {name: np.array([getattr(row, name) for row in rows], float) for name in agreement.AGREEMENT_COLUMNS}
    return {name: (float(array.mean()), float(array.std())) for name, array in values.items()}


def _ablation_table(head: str, summary: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    columns = agreement.AGREEMENT_COLUMNS[1:]
    table = Table("loss", "joints", *columns, title=f"{head}, simulated, mean ± standard deviation over seeds")
    for loss, heads in summary.items():
        for name, row in heads[head].items():
            table.add_row(loss, name, *(f"{row[c][0]:.3f} ± {row[c][1]:.3f}" for c in columns))
    return table
