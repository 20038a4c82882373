"""One network for place and damage, as in the paper, beside the crops: an option that was measured and is not shipped.

Grades are read from the localiser's own features, averaged over the positive pixels of a site (those that the true mask
gives it while training, those that the network gives it afterwards), alone or beside the features of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.heads import MAXIMUM, distribution
from pipelines.hand_foot_scoring.network import Damage, Localiser
from pipelines.hand_foot_scoring.simulation import crops
from pipelines.hand_foot_scoring.simulation.films import random_view
from pipelines.hand_foot_scoring.simulation.radiograph import expose, random_exposure
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton
from pipelines.hand_foot_scoring.sites import CLASS_OF, CLASSES
from pipelines.hand_foot_scoring.training.calibration import GradedJoints
from pipelines.hand_foot_scoring.training.damage_heads import targets
from pipelines.hand_foot_scoring.training.localiser import mask_loss
from pipelines.hand_foot_scoring.training.losses import grade_loss
from pipelines.hand_foot_scoring.training.mask import INNER, OUTER, class_mask
from pipelines.lab.trainer import StepBatches, StepTrainer

# where a joint's features come from: its crop, the positive pixels of the localiser's canvas, or both
Branches = Literal["crop", "pixels", "both"]
BRANCHES: tuple[Branches, ...] = get_args(Branches)
FILMS = 8  # in a batch, each with all its joints
FEATURES = 24  # channels of the localiser's finest features
LOCALISER_RATE, DAMAGE_RATE = 3e-4, 3e-3  # the localiser is trained already


@dataclass(frozen=True)
class Films:
    """Simulated limbs: what the localiser sees of each, and the crops of its joints."""

    canvases: NDArray[np.float16]  # (F, 2, 256, 192)
    masks: NDArray[np.uint8]  # (F, 128, 96)
    crops: crops.Crops
    film: NDArray[np.int64]  # (N,) film of each crop

    def rows(self, films: NDArray[np.intp]) -> NDArray[np.intp]:
        """The crops of some films."""
        return np.flatnonzero(np.isin(self.film, films))


def simulated(seed: int, patients: int, even: float) -> Films:
    """Four limbs of each simulated patient, all grown up, on a canvas and as crops of all their joints.

    Parameters
    ----------
    seed
        Of the patients.
    patients
        Number of patients.
    even
        Share of the patients whose grades are spread evenly.
    """
    canvases: list[NDArray[np.float16]] = []
    masks: list[NDArray[np.uint8]] = []
    rows: list[crops.Row] = []
    film: list[int] = []
    for patient in range(patients):
        rng = np.random.default_rng((seed, 11, patient))
        for skeleton in crops.limbs(rng, even, children=0):
            canvas, mask = _canvas(skeleton, rng)
            film += [len(canvases)] * len(skeleton.sites)
            rows += [(*crops.row(skeleton, name, rng, None), patient) for name in skeleton.sites]
            canvases.append(canvas.astype(np.float16))
            masks.append(mask)
    return Films(np.stack(canvases), np.stack(masks), crops.stacked(rows), np.array(film))


def _canvas(skeleton: Skeleton, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    view = random_view(skeleton, CANVAS, rng)
    image = expose(skeleton, view, random_exposure(rng), rng)
    shape = (CANVAS[0] // STRIDE, CANVAS[1] // STRIDE)
    centres = {
        CLASS_OF[skeleton.part, name]: ((x + 0.5) / STRIDE - 0.5, (y + 0.5) / STRIDE - 0.5)
        for name, (x, y) in zip(
            skeleton.sites, view.to_pixels(np.array(list(skeleton.sites.values()))).tolist(), strict=True
        )
    }
    return channels(image), class_mask(centres, shape, INNER * shape[0], OUTER * shape[0])


class MultiTask(nn.Module):
    """Mask and grades of the joints of some films.

    (F, 2, 256, 192) canvases, (F, 128, 96) classes of the positive pixels or None for the network's own, (N,) films,
    (N, 1, 64, 64) crops, (N,) site classes -> (F, CLASSES, 128, 96) logits of the mask, raw numbers of the heads.
    """

    def __init__(self, localiser: Localiser, branches: Branches) -> None:
        super().__init__()
        self.localiser, self.damage, self.branches = localiser, Damage(), branches
        self.widen = nn.Sequential(nn.Linear(FEATURES, 96), nn.ReLU(), nn.Linear(96, 96))

    def forward(
        self, canvas: Tensor, positive: Tensor | None, film: Tensor, crop: Tensor, site: Tensor
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Logits of the mask (None without pixels) and raw numbers of the heads.

        Parameters
        ----------
        canvas
            (F, 2, 256, 192).
        positive
            (F, 128, 96) classes of the pixels that are averaged; None: those that the network finds.
        film
            (N,) film of each joint.
        crop
            (N, 1, 64, 64).
        site
            (N,) class of the site.
        """
        if self.branches == "crop":
            return None, self.damage(crop, site)
        features = self.localiser.decode(self.localiser.encode(canvas))
        logits = self.localiser.mask(features)
        classes = logits.argmax(dim=1) if positive is None else positive
        joined = self.widen(pixel_means(features, classes)[film, site])
        if self.branches == "both":
            joined = joined + self.damage.embed(crop, site)
        else:
            joined = joined + self.damage.squeeze(self.damage.site(site))
        return logits, self.damage.grade(joined)


def pixel_means(features: Tensor, classes: Tensor) -> Tensor:
    """(F, CLASSES, C) mean of (F, C, H, W) features over the pixels of each class; 0 where a class has none."""
    flat = features.flatten(2).transpose(1, 2)  # (F, HW, C)
    member = functional.one_hot(classes.flatten(1).long().clamp(max=CLASSES), CLASSES + 1)[..., :CLASSES].float()
    total = member.transpose(1, 2) @ flat.float()
    return total / member.sum(dim=1)[..., None].clamp_min(1.0)


def train(
    films: Films,
    localiser: Localiser,
    branches: Branches,
    seed: int,
    epochs: int,
    handlers: Sequence[Any] = (),
) -> MultiTask:
    """Train the grades and, if pixels are used, the mask; true positive pixels are given while training.

    Parameters
    ----------
    films
        What it learns from.
    localiser
        Trained already; it is trained further in place.
    branches
        Where the features of a joint come from.
    seed
        Of weights and order.
    epochs
        Number of epochs.
    handlers
        Of the trainer, such as logs (`pipelines.lab.training_log`).
    """
    torch.manual_seed(seed)
    network = MultiTask(localiser, branches)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mine = set(network.localiser.parameters())
    groups = [
        {"params": [p for p in network.parameters() if p not in mine], "lr": DAMAGE_RATE},
        {"params": list(mine), "lr": LOCALISER_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
    each_epoch = len(films.canvases) // FILMS
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [DAMAGE_RATE, LOCALISER_RATE], total_steps=epochs * each_epoch, pct_start=0.2
    )
    grades = targets(films.crops)

    def batch(step: int) -> NDArray[np.intp]:
        epoch, place = divmod(step, each_epoch)
        order = np.random.default_rng((seed, 13, epoch)).permutation(len(films.canvases))
        return np.sort(order[place * FILMS : (place + 1) * FILMS])

    def loss(chosen: NDArray[np.intp], _step: int) -> Tensor:
        rows = films.rows(chosen)
        mask = torch.from_numpy(films.masks[chosen]).long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, raw = _run(network, films, chosen, rows, mask)
        value = torch.zeros(())
        for head, top in MAXIMUM.items():
            value = value + grade_loss("local_smoothing", raw[head].float(), torch.from_numpy(grades[head][rows]), top)
        return value if logits is None else value + mask_loss(logits.float(), mask)

    StepTrainer(
        device="cpu",
        max_epochs=epochs,
        epoch_length=each_epoch,
        train_data_loader=StepBatches(batch),
        network=network,
        optimizer=optimiser,
        step_loss=loss,
        lr_scheduler=schedule,
        seed=seed,
        train_handlers=handlers,
    ).run()
    network.eval()
    return network


def _run(
    network: MultiTask, films: Films, chosen: NDArray[np.intp], rows: NDArray[np.intp], positive: Tensor | None
) -> tuple[Tensor | None, dict[str, Tensor]]:
    canvas = torch.from_numpy(films.canvases[chosen].astype(np.float32))
    crop = torch.from_numpy(films.crops.floats(rows))
    result = network(
        canvas.contiguous(memory_format=torch.channels_last),
        positive,
        torch.from_numpy(np.searchsorted(chosen, films.film[rows])),
        crop.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(films.crops.sites[rows]),
    )
    return cast("tuple[Tensor | None, dict[str, Tensor]]", result)


@torch.inference_mode()
def scores(network: MultiTask, films: Films) -> tuple[dict[str, NDArray[np.float64]], dict[str, GradedJoints]]:
    """Probabilities and truth of each head's joints; positive pixels are those that the network finds."""
    found: dict[str, list[NDArray[np.float64]]] = {head: [] for head in MAXIMUM}
    for start in range(0, len(films.canvases), FILMS):
        chosen = np.arange(start, min(start + FILMS, len(films.canvases)))
        _, raw = _run(network, films, chosen, films.rows(chosen), None)
        for head, top in MAXIMUM.items():
            found[head].append(distribution("local_smoothing", raw[head], top).numpy().astype(np.float64))
    grades = targets(films.crops)
    kept = {head: grades[head] >= 0 for head in MAXIMUM}
    return (
        {head: np.concatenate(parts)[kept[head]] for head, parts in found.items()},
        {
            head: GradedJoints(films.crops.patients[k], films.crops.sites[k], grades[head][k].astype(np.float64))
            for head, k in kept.items()
        },
    )
