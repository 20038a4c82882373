"""Trains the localiser on simulated films, and on a site's own where their joints are marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.network import OTHER_POSE, POSES, Localiser
from pipelines.hand_foot_scoring.simulation.films import Film, film, other_film, random_limb, random_view
from pipelines.hand_foot_scoring.sites import CLASS_OF, Part
from pipelines.hand_foot_scoring.training.graded_canvases import GradedCanvases
from pipelines.hand_foot_scoring.training.mask import BACKGROUND, IGNORED, INNER, OUTER, class_mask
from pipelines.lab.checkpoint import Checkpoint

BACKGROUND_WEIGHT = 0.1  # of a background pixel in the mask loss: joints are 2 % of a film
POSE_WEIGHT = 0.15
HIGHEST_RATE = 3e-3
FURTHER = 0.1  # share of the learning rate with which a localiser that is trained already goes on
KEPT_EVERY = 50  # batches from one kept state to the next
GUESSED = 0.06  # radius round a guessed place within which nothing is learned, as a share of the canvas's height
Sample = tuple[NDArray[np.float32], NDArray[np.int64], int]


def sample(rng: np.random.Generator) -> Sample:
    """One film for the localiser: canvas, mask, pose. A film that does not lie upright has no mask (all ignored)."""
    kind = rng.random()
    if kind < 0.08:
        return _encoded(other_film(CANVAS, rng))
    part: Part = "hand" if kind < 0.74 else "foot"
    turned = rng.random() < 0.25
    skeleton = random_limb(part, rng, children=0.45 if part == "hand" else 0.1)
    view = random_view(
        skeleton,
        CANVAS,
        rng,
        turns=int(rng.integers(4)) if turned else 0,
        side="R" if turned and rng.random() < 0.5 else "L",
    )
    return _encoded(film(skeleton, view, rng))


def _encoded(picture: Film) -> Sample:
    canvas = channels(picture.image)
    shape = (CANVAS[0] // STRIDE, CANVAS[1] // STRIDE)
    if picture.part == "other":
        return canvas, np.zeros(shape, np.int64), OTHER_POSE
    pose = POSES.index((picture.part, picture.side == "R", picture.quarter_turns))
    if picture.side == "R" or picture.quarter_turns:
        return canvas, np.full(shape, 255, np.int64), pose
    centres = {
        CLASS_OF[picture.part, name]: ((x + 0.5) / STRIDE - 0.5, (y + 0.5) / STRIDE - 0.5)
        for name, (x, y) in picture.sites.items()
        if picture.states[name] != "absent"
    }
    mask = class_mask(centres, shape, INNER * shape[0], OUTER * shape[0])
    return canvas, mask.astype(np.int64), pose


def graded_sample(rng: np.random.Generator, graded: GradedCanvases) -> Sample:
    """As `sample`, of a film of a site: nothing is learned where the place of a joint is only guessed."""
    picture, guessed = graded.draw(rng)
    canvas, mask, pose = _encoded(picture)
    around = class_mask(
        {
            CLASS_OF[picture.part, name]: ((x + 0.5) / STRIDE - 0.5, (y + 0.5) / STRIDE - 0.5)
            for name, (x, y) in picture.sites.items()
            if name in guessed
        },
        mask.shape,
        0.0,
        GUESSED * mask.shape[0],
    )
    classes = [CLASS_OF[picture.part, name] for name in guessed]
    unsure = np.isin(mask, classes) | ((mask == BACKGROUND) & (around != BACKGROUND))
    return canvas, np.where(unsure, IGNORED, mask), pose


class Samples(IterableDataset[Sample]):
    """Fresh films without end; film `n` depends on the seed and `n` only, and on the graded ones where there are any.

    Parameters
    ----------
    seed
        Of the films.
    first
        Number of the first one.
    graded
        Films of a site that are shown among the simulated ones.
    share
        Of the films that are the site's.
    """

    def __init__(self, seed: int, first: int = 0, graded: GradedCanvases | None = None, share: float = 0.0) -> None:
        self.seed, self.first, self.graded, self.share = seed, first, graded, share

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        number = self.first
        while True:
            rng = np.random.default_rng((self.seed, 1, number))
            if self.graded is not None and np.random.default_rng((self.seed, 31, number)).random() < self.share:
                yield graded_sample(rng, self.graded)
            else:
                yield sample(rng)
            number += 1


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the class mask; background pixels weigh less, ignored ones nothing."""
    pixels = nn.functional.cross_entropy(logits, mask, ignore_index=255, reduction="none")
    weight = (mask != 255).float() * torch.where(mask == 0, BACKGROUND_WEIGHT, 1.0)
    return (pixels * weight).sum() / weight.sum().clamp_min(1.0)


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of its highest: up over the first quarter, level to three fifths, down to zero."""
    progress = step / steps
    if progress < 0.25:
        return 0.52 - 0.48 * float(np.cos(np.pi * progress / 0.25))
    if progress < 0.6:
        return 1.0
    return 0.5 + 0.5 * float(np.cos(np.pi * (progress - 0.6) / 0.4))


def train_localiser(
    seed: int,
    steps: int,
    batch: int = 8,
    report: Callable[[int, float], None] | None = None,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    graded: GradedCanvases | None = None,
    share: float = 0.0,
    initial: Localiser | None = None,
) -> Localiser:
    """Train a localiser on fresh simulated films.

    With a checkpoint, an interrupted training continues from the last stored state, with the films that would have come
    next.

    Parameters
    ----------
    seed
        Of weights and films.
    steps
        Number of batches.
    batch
        Films in a batch.
    report
        Called with step and loss.
    device
        Where torch computes.
    checkpoint
        Where the state is stored, and found again by a training that was interrupted.
    graded
        Films of a site whose joints are marked, shown among the simulated ones.
    share
        Of the films that are the site's, 0..1.
    initial
        A trained network that the training starts from; None: random weights.
    """
    torch.manual_seed(seed)
    network = Localiser()
    if initial is not None:
        network.load_state_dict(initial.state_dict())
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    highest = HIGHEST_RATE * (1 if initial is None else FURTHER)
    optimiser = torch.optim.AdamW(network.parameters(), lr=highest, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, steps))
    first_step = 0 if checkpoint is None else checkpoint.resume(network=network, optimiser=optimiser, schedule=schedule)
    films = Samples(seed, first_step * batch, graded, share)
    loader = iter(DataLoader(films, batch_size=batch, num_workers=1, prefetch_factor=8))
    network.train()
    for step in range(first_step, steps):
        canvas, mask, pose = (part.to(device) for part in next(loader))
        logits, pose_logits = network(canvas.contiguous(memory_format=torch.channels_last))
        loss = mask_loss(logits, mask) + POSE_WEIGHT * nn.functional.cross_entropy(pose_logits, pose)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if report is not None and step % 50 == 0:
            report(step, float(loss.detach()))
        if checkpoint is not None and step % KEPT_EVERY == KEPT_EVERY - 1:
            checkpoint.save(step + 1, network=network, optimiser=optimiser, schedule=schedule)
    network.eval()
    return network
