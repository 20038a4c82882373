"""The trained bundle on simulated patients that it has not seen."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.calibration import POOLINGS, Pooling
from pipelines.hand_foot_scoring.crops import normalised
from pipelines.hand_foot_scoring.evaluation import agreement
from pipelines.hand_foot_scoring.evaluation.surrogate import Surrogate, read_edges, surrogate
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.reading import CHILD_PROBABILITY, PLATE_SITES
from pipelines.hand_foot_scoring.scoring import INTERVAL_SPREAD
from pipelines.hand_foot_scoring.simulation import crops
from pipelines.hand_foot_scoring.simulation.disease import random_disease
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton
from pipelines.hand_foot_scoring.sites import CLASS_OF, Part
from pipelines.hand_foot_scoring.training import damage_heads
from pipelines.hand_foot_scoring.training.calibration import (
    GradedJoints,
    coverage,
    patient_totals,
    patients_probabilities,
)
from pipelines.hand_foot_scoring.training.plan import TEST_SEED
from pipelines.hand_foot_scoring.weights import Trained

AGES = {
    "0 to 2": (0.0, 2.0),
    "2 to 5": (2.0, 5.0),
    "5 to 9": (5.0, 9.0),
    "9 to 13": (9.0, 13.0),
    "13 to 15": (13.0, 15.0),
    "15 to 16.5": (15.0, 16.5),
    "grown": None,
}
DRAWN: Mapping[Part, Callable[..., Skeleton]] = {"hand": hand, "foot": foot}


def evaluate_simulated(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure a bundle on simulated patients: agreement, calibration, intervals, state of the joint, growth plates."""
    trained = weights.load(options.bundle, options.device)
    held = crops.simulated(options.seed + TEST_SEED, options.patients, even=0, children=0)
    rows, raw = damage_heads.joints(held), damage_heads.logits(trained.damage, held)
    scores = {pooling: patients_probabilities(trained.calibration, pooling, raw, rows) for pooling in POOLINGS}
    tables = {
        "patients as in a clinic (simulated), calibrated": agreement.by_family(scores[options.pooling], rows),
        "the same, every joint called undamaged": agreement.all_zero(rows),
    }
    figures = {title: agreement.plain(table) for title, table in tables.items()}
    for title, heads in figures.items():
        console.print(_agreement_table(title, heads))
    pooling: dict[str, dict[str, Any]] = {name: _pooling_figures(trained, name, p, rows) for name, p in scores.items()}
    console.print(_pooling_table(pooling))
    state = agreement.state_accuracy(trained.damage, held)
    stand_in = _surrogate_simulated(scores[options.pooling], rows, read_edges(options.bins))
    plates = plate_rates(trained, options.seed, options.limbs)
    console.print(f"state of the joint recognised: {state:.1%}")
    console.print("surrogate of the RA2-DREAM metrics (simulated patients):", asdict(stand_in))
    for part, bands in plates.items():
        for band, (taken, limbs, highest) in bands.items():
            console.print(f"{part} aged {band}: {taken} of {limbs} taken for a child's, highest {highest:.2f}")
    return {
        "patients": options.patients,
        "agreement": figures,
        "pooling": pooling,
        "calibration_error": pooling[options.pooling]["calibration_error"],
        "interval_coverage": pooling[options.pooling]["interval_coverage"],
        "state_accuracy": state,
        "surrogate": asdict(stand_in),
        "open_plates": plates,
    }


def _pooling_figures(
    trained: Trained,
    pooling: Pooling,
    probabilities: Mapping[str, NDArray[np.float64]],
    rows: Mapping[str, GradedJoints],
) -> dict[str, Any]:
    totals = patient_totals(probabilities, rows)
    table = agreement.by_family(probabilities, rows)
    errors = np.array([t.error for t in totals])
    return {
        "agreement": {head: asdict(families["all"]) for head, families in table.items()},
        "calibration_error": agreement.calibration_errors(probabilities, rows),
        "total_rmse": float(np.sqrt((errors**2).mean())),
        "total_bias": float(errors.mean()),
        "interval_coverage": coverage(totals, trained.calibration.correlation(pooling)),
        "interval_half_width": float(
            np.mean([INTERVAL_SPREAD * t.deviation(trained.calibration.correlation(pooling)) for t in totals])
        ),
    }


def _pooling_table(pooling: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        "depends on",
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


def plate_rates(trained: Trained, seed: int, limbs: int) -> dict[str, dict[str, tuple[int, int, float]]]:
    """How many simulated hands and feet of each age are taken for a child's.

    Parameters
    ----------
    trained
        The bundle.
    seed
        Of the simulated limbs.
    limbs
        Number of limbs of each part in each age band.

    Returns
    -------
    dict
        Part to age band to (limbs taken for a child's, limbs, highest probability that growth plates are open).
    """
    found: dict[str, dict[str, tuple[int, int, float]]] = {}
    for number, (band, ages) in enumerate(AGES.items()):
        for part, draw in DRAWN.items():
            probabilities = []
            for each in range(limbs):
                rng = np.random.default_rng((seed + TEST_SEED, 9, number, each))
                age = None if ages is None else float(rng.uniform(*ages))
                skeleton = draw(rng, random_disease(part, rng, 0.4) if age is None else None, age, odd=False)
                images = [_crop(skeleton, site, rng) for site in PLATE_SITES[part]]
                probabilities.append(_open_plates(trained, part, images))
            taken = sum(probability > CHILD_PROBABILITY for probability in probabilities)
            found.setdefault(part, {})[band] = (taken, limbs, max(probabilities, default=0.0))
    return found


def _crop(skeleton: Skeleton, site: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A joint as it is, with its margin, (76, 76)."""
    return crops.packed(crops.simulated_crop(skeleton, site, rng, "evaluable")[0])


@torch.inference_mode()
def _open_plates(trained: Trained, part: Part, images: Sequence[NDArray[np.uint8]]) -> float:
    sites = torch.tensor([CLASS_OF[part, site] for site in PLATE_SITES[part]])
    inner = np.stack(images)[:, crops.MARGIN : -crops.MARGIN, crops.MARGIN : -crops.MARGIN]
    _, raw = trained.grade(torch.from_numpy(normalised(inner)[:, None]), trained.damage, sites)
    return float(raw["plates"].sigmoid().mean())


def _surrogate_simulated(
    probabilities: Mapping[str, NDArray[np.float64]], rows: Mapping[str, GradedJoints], edges: Sequence[float]
) -> Surrogate:
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
    return surrogate(truth, score, edges)


def _agreement_table(title: str, heads: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    table = Table("head", "joints", *agreement.AGREEMENT_COLUMNS, title=title)
    for head, rows in heads.items():
        for name, row in rows.items():
            table.add_row(
                head, name, *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
            )
    return table
