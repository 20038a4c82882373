"""Trains the damage heads on simulated crops, calibrates them, and compares the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.hand_foot_scoring.calibration import GradeCalibration
from pipelines.hand_foot_scoring.gate import JointGate
from pipelines.hand_foot_scoring.heads import MAXIMUM, STATES, Loss, log_distribution
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.simulation.crops import Crops
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.training.calibration import GradedJoints, fit_calibration
from pipelines.hand_foot_scoring.training.gate import fit_gate
from pipelines.hand_foot_scoring.training.losses import grade_loss
from pipelines.hand_foot_scoring.training.style import views
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.trainer import StepBatches, StepTrainer

STATE_WEIGHT, PLATE_WEIGHT = 0.5, 0.6
HIGHEST_RATE = 3e-3
FURTHER = 0.3  # share of the learning rate with which a network that is trained already goes on
VIEWS = 4  # styles of each crop; every epoch shows it in the next one
SWAPPED = 0.3  # share of the finger joints that are shown under the name of another finger's
ALIKE: tuple[tuple[int, ...], ...] = tuple(  # joints that look alike on every finger or toe, and mirrored too
    tuple(CLASS_OF[part, f"{joint}{number}"] for number in (2, 3, 4, 5))
    for part, joint in (("hand", "MCP"), ("hand", "PIP"), ("foot", "MTP"))
)
FOOT_CLASSES = tuple(index for (part, _), index in CLASS_OF.items() if part == "foot")


def targets(crops: Crops) -> dict[str, NDArray[np.float32]]:
    """Grades (N,) for each head; -1 where the head does not apply."""
    is_foot = np.isin(crops.sites, FOOT_CLASSES)
    return {
        "hand_erosion": np.where(is_foot, -1, crops.erosion).astype(np.float32),
        "foot_erosion": np.where(is_foot, crops.erosion, -1).astype(np.float32),
        "narrowing": crops.narrowing,
    }


def train_damage(
    crops: Crops,
    loss: Loss,
    seed: int,
    epochs: int,
    batch: int = 128,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    seen: NDArray[np.uint8] | None = None,
    initial: Damage | None = None,
    handlers: Sequence[Any] = (),
) -> Damage:
    """Train the damage network with one of the losses.

    With a checkpoint, an interrupted training continues after its last whole epoch.

    Parameters
    ----------
    crops
        What it learns from.
    loss
        Which loss.
    seed
        Of weights, order and jitter.
    epochs
        Number of epochs.
    batch
        Crops in a batch; all of them where there are fewer.
    device
        Where torch computes.
    checkpoint
        Where the state is stored, and found again by a training that was interrupted.
    seen
        The crops in several styles, from `style.views`, if they were made already.
    initial
        A network trained with the same loss that the training starts from; None: random weights.
    handlers
        Of the trainer, such as logs (`pipelines.lab.training_log`).
    """
    torch.manual_seed(seed)
    network = Damage(loss)
    if initial is not None:
        network.load_state_dict(initial.state_dict())
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = CropBatches(crops, views(crops.images, VIEWS, seed) if seen is None else seen, seed, batch)
    highest = HIGHEST_RATE * (1 if initial is None else FURTHER)
    optimiser = torch.optim.AdamW(network.parameters(), lr=highest, weight_decay=1e-2)
    steps = epochs * batches.each_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, highest, total_steps=steps, pct_start=0.2)
    grades = targets(crops)

    def of_batch(given: tuple[Tensor, Tensor, NDArray[np.intp]], _step: int) -> Tensor:
        images, sites, rows = given
        # half the time on a processor: channels beside one another, products of 16 bits
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            raw = network(images.to(device).contiguous(memory_format=torch.channels_last), sites.to(device))
        return _batch_loss({name: value.float() for name, value in raw.items()}, crops, grades, rows, loss, device)

    StepTrainer(
        device=device,
        max_epochs=epochs,
        epoch_length=batches.each_epoch,
        train_data_loader=StepBatches(batches.batch),
        network=network,
        optimizer=optimiser,
        step_loss=of_batch,
        lr_scheduler=schedule,
        seed=seed,
        checkpoint=checkpoint,
        keep_every=batches.each_epoch,
        train_handlers=handlers,
    ).run()
    return network.eval()


class CropBatches:
    """The batches of a training on crops: each depends on seed and step only.

    Parameters
    ----------
    crops
        To learn from.
    seen
        (styles, N, 64, 64) the crops in several styles; every epoch shows the next one.
    seed
        Of order and jitter.
    batch
        Crops in a batch.
    """

    def __init__(self, crops: Crops, seen: NDArray[np.uint8], seed: int, batch: int) -> None:
        self.crops, self.seen, self.seed, self.size = crops, seen, seed, min(batch, len(crops))
        self.each_epoch = len(crops) // self.size
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.zeros(0, np.intp))

    def batch(self, step: int) -> tuple[Tensor, Tensor, NDArray[np.intp]]:
        """Images (N, 1, 64, 64), site classes (N,) and the rows (N,) of the crops, of a step counted from 0."""
        epoch, place = divmod(step, self.each_epoch)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, 7, epoch)).permutation(len(self.crops))
        rows = self._order[1][place * self.size : (place + 1) * self.size]
        rng = np.random.default_rng((self.seed, 8, step))
        sites, mirrored = _renamed(self.crops.sites[rows], rng)
        images = _jittered(self.seen[epoch % len(self.seen), rows], mirrored, rng)
        return torch.from_numpy(images), torch.from_numpy(sites), rows


def _renamed(sites: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sites (N,) with some finger joints under another finger's name, and which crops (N,) are to be mirrored.

    A finger of the few real hands has one texture; it must not become the sign of health of that finger.
    """
    sites = sites.copy()
    mirrored = np.zeros(len(sites), bool)
    for family in ALIKE:
        mine = np.flatnonzero(np.isin(sites, family))
        mirrored[mine] = rng.random(len(mine)) < 0.5
        swapped = mine[rng.random(len(mine)) < SWAPPED]
        sites[swapped] = rng.choice(family, len(swapped))
    return sites, mirrored


def _jittered(stored: NDArray[np.uint8], mirrored: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Crops (N, 1, 64, 64) with a little shift, another contrast and noise; no two epochs show the same."""
    dy, dx = rng.integers(-2, 3, 2)
    stored = np.where(mirrored[:, None, None], stored[:, :, ::-1], stored)
    images = np.roll(stored, (int(dy), int(dx)), axis=(1, 2)).astype(np.float32)[:, None] / 127 - 1
    gain = rng.uniform(0.85, 1.2, (len(images), 1, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(images.shape, dtype=np.float32) * np.float32(0.02)
    return np.clip(images * gain + noise, -1, 1)


def _batch_loss(
    raw: Mapping[str, Tensor],
    crops: Crops,
    grades: Mapping[str, NDArray[np.float32]],
    rows: NDArray[np.intp],
    loss: Loss,
    device: str,
) -> Tensor:
    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array[rows]).to(device)

    value = sum(
        (grade_loss(loss, raw[name], tensor(grades[name]), top) for name, top in MAXIMUM.items()), torch.zeros(())
    )
    state = functional.cross_entropy(raw["state"], tensor(crops.states))
    plates, said = tensor(crops.plates), tensor(crops.plates >= 0).float()
    each = functional.binary_cross_entropy_with_logits(raw["plates"][:, 0], plates.clamp_min(0), reduction="none")
    return value + STATE_WEIGHT * state + PLATE_WEIGHT * (each * said).sum() / said.sum().clamp_min(1)


@torch.inference_mode()
def raw_outputs(network: Damage, crops: Crops, batch: int = 256) -> dict[str, NDArray[np.float32]]:
    """Raw numbers (N, outputs) of every head.

    Parameters
    ----------
    network
        The damage network.
    crops
        The joints.
    batch
        Crops in a batch.
    """
    parts: dict[str, list[Tensor]] = {}
    device = next(network.parameters()).device
    for start in range(0, len(crops), batch):
        rows = slice(start, start + batch)
        images, sites = torch.from_numpy(crops.floats(rows)), torch.from_numpy(crops.sites[rows])
        for name, value in network(images.to(device), sites.to(device)).items():
            parts.setdefault(name, []).append(value.cpu())
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def graded(crops: Crops) -> dict[str, NDArray[np.bool_]]:
    """Head to (N,): whether a crop has a grade for it."""
    return {head: grades >= 0 for head, grades in targets(crops).items()}


def joints(crops: Crops) -> dict[str, GradedJoints]:
    """Head to the joints that have a grade for it."""
    grades = targets(crops)
    return {
        head: GradedJoints(crops.patients[kept], crops.sites[kept], grades[head][kept].astype(np.float64))
        for head, kept in graded(crops).items()
    }


def logits(network: Damage, crops: Crops) -> dict[str, NDArray[np.float32]]:
    """Head to the log-probabilities of the grades (N, maximum + 1) of the crops that have a grade for it."""
    raw, kept = raw_outputs(network, crops), graded(crops)
    return {
        head: log_distribution(network.loss, torch.from_numpy(raw[head][kept[head]]), top).numpy()
        for head, top in MAXIMUM.items()
    }


# A head is calibrated on graded patients of a site from here on, else on simulated ones
ENOUGH_JOINTS, ENOUGH_PATIENTS = 300, 10


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and which heads were fitted on graded patients."""

    calibration: GradeCalibration
    on_graded: Mapping[str, int]  # head to the number of graded patients it was fitted on


def calibrate(network: Damage, simulated: Crops, graded_crops: Crops | None = None) -> Calibrated:
    """Fit the calibration on crops of patients that no network learned from.

    Parameters
    ----------
    network
        The damage network.
    simulated
        Crops of simulated patients.
    graded_crops
        Crops of graded patients: they take the place of the simulated ones in each head that has enough of them.
    """
    raw, rows = logits(network, simulated), joints(simulated)
    on_graded: dict[str, int] = {}
    if graded_crops is not None:
        raw_graded, rows_graded = logits(network, graded_crops), joints(graded_crops)
        for head, mine in rows_graded.items():
            patients = len(np.unique(mine.patients))
            if len(mine.grades) >= ENOUGH_JOINTS and patients >= ENOUGH_PATIENTS:
                raw[head], rows[head] = raw_graded[head], mine
                on_graded[head] = patients
    return Calibrated(fit_calibration(raw, rows), on_graded)


@torch.inference_mode()
def features(network: Damage, crops: Crops, batch: int = 256) -> NDArray[np.float64]:
    """Features (N, 96) from which the heads grade the crops."""
    device = next(network.parameters()).device
    parts = [
        network.embed(torch.from_numpy(crops.floats(rows)).to(device), torch.from_numpy(crops.sites[rows]).to(device))
        for rows in (slice(start, start + batch) for start in range(0, len(crops), batch))
    ]
    return torch.cat(parts).cpu().numpy().astype(np.float64)


def fit_joint_gate(network: Damage, crops: Crops) -> JointGate:
    """Fit the gate on readable joints that the network did not learn from: spread on half of the patients, limits on
    the others.

    Parameters
    ----------
    network
        The damage network.
    crops
        Of patients with every grade; what cannot be read is left out, the state of a joint says that.
    """
    crops = crops.take(np.flatnonzero(crops.states == STATES.index("evaluable")))
    known, held_out = (crops.take(np.flatnonzero(crops.patients % 2 == half)) for half in (0, 1))
    return fit_gate(features(network, known), known.sites, features(network, held_out), held_out.sites)
