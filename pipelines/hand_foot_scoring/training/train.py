"""Training: `condyle train hand_foot_scoring --seed N` makes the shape model, both networks and the calibration.

Started again after an interruption, it continues from the state that it stores in the output folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from rich.console import Console

from pipelines.hand_foot_scoring import BUNDLE, DAMAGE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.heads import LOSSES, Loss
from pipelines.hand_foot_scoring.simulation.crops import EVEN_SHARE, simulated
from pipelines.hand_foot_scoring.sites import SITES
from pipelines.hand_foot_scoring.training import shape as shape_training
from pipelines.hand_foot_scoring.training.damage_heads import calibrate, train_damage
from pipelines.hand_foot_scoring.training.localiser import train_localiser
from pipelines.lab.checkpoint import Checkpoint, OtherTraining

PARTS = ("shape", "localiser", "damage", "calibration")
SKELETONS, STEPS, PATIENTS, EPOCHS, CALIBRATION_PATIENTS = 1500, 500, 700, 10, 120
CHILDREN = 0.15  # of the patients that the heads learn from
CALIBRATION_SEED, TEST_SEED = 10_000, 20_000  # added to the seed: no patient is in two sets


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="condyle train hand_foot_scoring", description=__doc__)
    made.add_argument("--seed", type=int, default=0, help="of weights and simulated patients")
    made.add_argument("--output", type=Path, default=BUNDLE, help="folder of the bundle to write")
    made.add_argument("--only", choices=PARTS, action="append", help="make only this part; may be repeated")
    made.add_argument("--skeletons", type=int, default=SKELETONS, help="simulated, of each part, for the shape models")
    made.add_argument("--steps", type=int, default=STEPS, help="batches of 8 films for the localiser")
    made.add_argument("--patients", type=int, default=PATIENTS, help="simulated patients for the damage heads")
    made.add_argument("--epochs", type=int, default=EPOCHS, help="of the damage heads")
    made.add_argument(
        "--calibration-patients", type=int, default=CALIBRATION_PATIENTS, help="simulated patients for the calibration"
    )
    made.add_argument("--loss", choices=LOSSES, default="local_smoothing", help="of the damage heads")
    made.add_argument("--threads", type=int, default=1, help="threads of torch")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where torch computes")
    return made


def main(arguments: list[str]) -> int:
    """Train what was asked for and write the bundle; 0 on success, 2 if the folder holds another training."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console()
    parts = set(options.only or PARTS)
    options.output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    if "shape" in parts:
        models = tuple(shape_training.build(part, options.seed, options.skeletons) for part in SITES)
        shape_training.save(models, options.output / SHAPE)
        console.print(f"shape models: {len(models[0].spread)} modes of the hand, {len(models[1].spread)} of the foot")
    try:
        if "localiser" in parts:
            _localiser(options, console, start)
        if "damage" in parts:
            _damage(options, console, start)
    except OtherTraining as error:
        console.print(str(error))
        return 2
    if "calibration" in parts:
        _calibration(options, console)
    console.print(f"done after {(time.monotonic() - start) / 60:.1f} minutes")
    return 0


def _localiser(options: argparse.Namespace, console: Console, start: float) -> None:
    kept = Checkpoint(options.output / "localiser.training", f"localiser, seed {options.seed}, {options.steps} steps")
    localiser = train_localiser(
        options.seed,
        options.steps,
        report=lambda step, loss: console.print(
            f"localiser, step {step}: loss {loss:.3f} after {time.monotonic() - start:.0f} s"
        ),
        device=options.device,
        checkpoint=kept,
    ).cpu()
    weights.save_network(localiser, options.output / LOCALISER)
    kept.remove()


def _damage(options: argparse.Namespace, console: Console, start: float) -> None:
    loss: Loss = options.loss
    crops = simulated(options.seed, options.patients, even=EVEN_SHARE, children=CHILDREN)
    console.print(f"{len(crops)} simulated crops after {time.monotonic() - start:.0f} s")
    kept = Checkpoint(
        options.output / "damage.training",
        f"damage, seed {options.seed}, {options.patients} patients, {options.epochs} epochs, {loss}",
    )
    damage = train_damage(
        crops,
        loss,
        options.seed,
        options.epochs,
        report=lambda epoch, value: console.print(
            f"damage, epoch {epoch}: loss {value:.3f} after {time.monotonic() - start:.0f} s"
        ),
        device=options.device,
        checkpoint=kept,
    ).cpu()
    weights.save_damage(damage, options.output)
    kept.remove()


def _calibration(options: argparse.Namespace, console: Console) -> None:
    damage = weights.load_damage(options.output / DAMAGE)
    held = simulated(options.seed + CALIBRATION_SEED, options.calibration_patients, even=0, children=0)
    calibration = calibrate(damage, held)
    weights.save_calibration(calibration, options.output)
    for pooling in POOLINGS:
        console.print(
            f"correlation of errors between the cells of a patient, {pooling}: {calibration.correlation(pooling):.3f}"
        )
