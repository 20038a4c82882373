"""Trains the localiser on simulated films, on licensed real ones, and on a site's own where their joints are marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from pipelines.hand_foot_scoring.canvas import CANVAS, STRIDE, channels
from pipelines.hand_foot_scoring.network import CHILD, INVERTED, OTHER_POSE, POSES, VIEWS, Localiser
from pipelines.hand_foot_scoring.simulation.films import (
    Film,
    close_view,
    film,
    other_film,
    random_limb,
    random_view,
    view_film,
    weathered,
    wrist_film,
)
from pipelines.hand_foot_scoring.sites import CLASS_OF, Part, Side
from pipelines.hand_foot_scoring.training.canvases import Canvases, as_film
from pipelines.hand_foot_scoring.training.graded_canvases import GradedCanvases
from pipelines.hand_foot_scoring.training.mask import BACKGROUND, IGNORED, INNER, OUTER, class_mask
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.trainer import StepTrainer, StreamBatches

BACKGROUND_WEIGHT = 0.1  # of a background pixel in the mask loss: joints are 2 % of a film
POSE_WEIGHT, HARD_POSE_WEIGHT, SIGN_WEIGHT = 0.4, 0.8, 0.15
HIGHEST_RATE = 3e-3
FURTHER = 0.1  # share of the learning rate with which a localiser that is trained already goes on
AVERAGED = 0.98  # of the running average of the weights, which is what is shipped
KEPT_EVERY = 50  # batches from one kept state to the next
GUESSED = 0.06  # radius round a guessed place within which nothing is learned, as a share of the canvas's height
NOT_SAID = -1.0  # a sign that a sample says nothing about
INVERTED_SHARE = 0.1
LEAST_SITES = 0.6  # share of a limb's sites that a piece of a film must show to be that limb
TURNED = 0.5  # share of the second showings that are turned or mirrored


@dataclass(frozen=True)
class Mix:
    """Shares of the samples. Real ones are shown only where a folder of them is given; the rest is simulated."""

    real_views: float
    real_scored: float
    # of the simulated ones; what is left are feet
    others: float
    wrists: float
    sideways: float
    hands: float
    upright: float = 0.0  # of the real pictures in a view that is not scored
    pieces: float = 0.0  # of the second showings


EASY = Mix(0.14, 0.26, 0.07, 0.04, 0.18, 0.41)
# Later more of what is mistaken for a hand or a foot: other views, lying upright, and pieces of limbs
HARD = Mix(0.2, 0.2, 0.08, 0.04, 0.24, 0.42, 0.5, 0.25)
EASY_SHARE = 0.5625  # of the training
# The sign of open growth plates learns by itself
CHILD_STEPS, CHILD_BATCH = 800, 16
CHILDREN = 0.5  # of the films
CLOSE = (0.66, 0.95)  # share of the canvas that the limb fills, as on a close window
Sample = tuple[NDArray[np.float32], NDArray[np.int64], int, NDArray[np.float32]]


def sample(rng: np.random.Generator, real: Canvases | None = None, mix: Mix = EASY) -> Sample:
    """One film for the localiser: canvas, mask, pose, signs.

    A film that does not lie upright in the view that is scored has no mask (all ignored).

    Parameters
    ----------
    rng
        Draws it.
    real
        Real radiographs that are shown among the simulated ones.
    mix
        What is shown how often.
    """
    return _encoded(_drawn(rng, real, mix), rng)


def _drawn(rng: np.random.Generator, real: Canvases | None, mix: Mix) -> Film:
    kind = rng.random() if real is not None else 1.0
    if real is not None and kind < mix.real_views and real.pictures:
        return as_film(real.view(rng, mix.upright))
    if real is not None and mix.real_views <= kind < mix.real_views + mix.real_scored and real.marked:
        return as_film(real.scored(rng))
    return _simulated(rng, mix)


def _piece(made: Film, rng: np.random.Generator) -> Film:
    """A piece of a film as a half or a tile of a picture shows it: with too few sites on it for a limb it is none.

    A film without sites is left as it is.
    """
    if not made.sites:
        return made
    zoomed = float(rng.uniform(1.4, 2.6))
    middle = np.array(CANVAS) * rng.uniform(0.1, 0.9, 2)
    shift = middle - np.array(CANVAS) / 2 / zoomed
    image = affine_transform(made.image, np.eye(2) / zoomed, shift, order=1, mode="nearest")
    places = {name: ((x - shift[1]) * zoomed, (y - shift[0]) * zoomed) for name, (x, y) in made.sites.items()}
    inside = {n: 1 <= y < CANVAS[0] - 1 and 1 <= x < CANVAS[1] - 1 for n, (x, y) in places.items()}
    if sum(inside.values()) < LEAST_SITES * len(inside):
        return replace(made, image=image, part="other", side="L", quarter_turns=0, sites={}, states={}, view="pa")
    sites = {name: (float(x), float(y)) for name, (x, y) in places.items()}
    states = {name: made.states[name] if inside[name] else "absent" for name in sites}
    return replace(made, image=image, sites=sites, states=states, length=made.length * zoomed)


def _again(made: Film, rng: np.random.Generator) -> Film:
    """A film a second time: scaled, shifted and turned, mostly by a quarter or more, or mirrored.

    Drawing a new one would take ten times as long.
    """
    quarters, mirrored = (int(rng.integers(4)), bool(rng.random() < 0.5)) if rng.random() < TURNED else (0, False)
    turn, scale = quarters * np.pi / 2 + float(rng.normal(0, 0.15)), float(np.exp(rng.normal(0, 0.12)))
    if quarters % 2:
        scale *= float(rng.uniform(1.0, CANVAS[0] / CANVAS[1]))  # a limb that lies across the canvas is shown smaller
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.diag([1.0, -1.0 if mirrored else 1.0]) @ np.array([[c, -s], [s, c]])  # new to old, (row, column)
    middle = np.array(CANVAS) / 2
    back = np.linalg.inv(linear)
    shift = middle - linear @ (middle + rng.normal(0, 0.06, 2) * CANVAS)
    mode = "constant" if quarters % 2 else "nearest"
    image = affine_transform(made.image, linear, shift, order=1, mode=mode, cval=float(np.median(made.image[:8])))
    sites, states = {}, {}
    for name, (x, y) in made.sites.items():
        row, column = back @ (np.array([y, x]) - shift)
        sites[name] = (float(column), float(row))
        inside = 1 <= row < CANVAS[0] - 1 and 1 <= column < CANVAS[1] - 1
        states[name] = made.states[name] if inside else "absent"
    gamma = float(np.exp(rng.normal(0, 0.25)))
    bright = np.maximum(image, 0).astype(np.float32) ** gamma
    side: Side = "R" if (made.side == "R") != mirrored else "L"
    whole = (quarters + (-made.quarter_turns if mirrored else made.quarter_turns)) % 4
    return replace(
        made,
        image=bright,
        sites=sites,
        states=states,
        length=made.length / scale,
        side=side,
        quarter_turns=whole,
    )


def _simulated(rng: np.random.Generator, mix: Mix) -> Film:
    kind = rng.random()
    if kind < mix.others:
        return other_film(CANVAS, rng)
    if kind < mix.others + mix.wrists:
        return wrist_film(CANVAS, rng)
    sideways = mix.others + mix.wrists + mix.sideways
    if kind < sideways:
        seen, view = VIEWS[int(rng.integers(len(VIEWS)))]
        return view_film(seen, view, CANVAS, rng)
    part: Part = "hand" if kind < sideways + mix.hands else "foot"
    skeleton = random_limb(part, rng, children=0.4 if part == "hand" else 0.25, diseased=0.7)
    return film(skeleton, random_view(skeleton, CANVAS, rng), rng)


def _pose(made: Film) -> int:
    """The class of how a film's limb lies."""
    if made.part == "other":
        return OTHER_POSE
    if made.view != "pa":
        return len(POSES) + VIEWS.index((made.part, made.view))
    return POSES.index((made.part, made.side == "R", made.quarter_turns))


UPRIGHT_POSES = (POSES.index(("hand", False, 0)), POSES.index(("foot", False, 0)))


def _encoded(made: Film, rng: np.random.Generator) -> Sample:
    pose = _pose(made)
    inverted = rng.random() < INVERTED_SHARE
    image = weathered(made.image, rng)
    canvas = channels(-image if inverted else image)
    shape = (CANVAS[0] // STRIDE, CANVAS[1] // STRIDE)
    signs = np.full(2, NOT_SAID, np.float32)
    signs[INVERTED] = inverted
    if (pose == OTHER_POSE or made.view == "lateral") and not inverted and not made.sites:
        return canvas, np.zeros(shape, np.int64), pose, signs
    if pose not in UPRIGHT_POSES or inverted:
        return canvas, np.full(shape, 255, np.int64), pose, signs
    fill = made.length / CANVAS[0] if made.length else 0.75
    centres = {
        CLASS_OF[made.part, name]: ((x + 0.5) / STRIDE - 0.5, (y + 0.5) / STRIDE - 0.5)
        for name, (x, y) in made.sites.items()
        if made.states[name] != "absent" and (made.part, name) in CLASS_OF
    }
    size = shape[0] * float(np.clip(fill / 0.75, 0.5, 1.1))  # joints of a small limb lie close together
    mask = class_mask(centres, shape, INNER * size, OUTER * size)
    return canvas, mask.astype(np.int64), pose, signs


def graded_sample(rng: np.random.Generator, graded: GradedCanvases) -> Sample:
    """As `sample`, of a film of a site: nothing is learned where the place of a joint is only guessed."""
    picture, guessed = graded.draw(rng)
    canvas, mask, pose, signs = _encoded(picture, rng)
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
    return canvas, np.where(unsure, IGNORED, mask), pose, signs


class Samples(IterableDataset[Sample]):
    """Films without end, the drawn ones shown twice each.

    Film `n` depends on the seed, the real films and `n` only.

    Parameters
    ----------
    seed
        Of the films.
    first
        Number of the first one.
    films
        Folder of licensed real radiographs (`canvases`) that are shown among the simulated ones.
    graded
        Films of a site that are shown among them.
    share
        Of the films that are the site's.
    easy
        Number of the films that are easy, the first ones.
    """

    def __init__(
        self,
        seed: int,
        first: int = 0,
        films: Path | None = None,
        graded: GradedCanvases | None = None,
        share: float = 0.0,
        easy: int = 0,
    ) -> None:
        self.seed, self.first, self.films, self.graded, self.share = seed, first, films, graded, share
        self.easy = easy

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        real = None if self.films is None else Canvases(self.films)
        number = self.first
        drawn: Film | None = None
        while True:
            rng = np.random.default_rng((self.seed, 4, number))
            mix = EASY if number < self.easy else HARD
            if self.graded is not None and np.random.default_rng((self.seed, 31, number)).random() < self.share:
                yield graded_sample(rng, self.graded)
                drawn = None
            elif number % 2 == 0:
                drawn = _drawn(np.random.default_rng((self.seed, 1, number // 2)), real, mix)
                yield _encoded(drawn, rng)
            else:
                drawn = drawn or _drawn(np.random.default_rng((self.seed, 1, number // 2)), real, mix)
                piece = mix.pieces > 0 and rng.random() < mix.pieces
                yield _encoded((_piece if piece else _again)(drawn, rng), rng)
            number += 1


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the class mask; background pixels weigh less, ignored ones nothing."""
    pixels = nn.functional.cross_entropy(logits, mask, ignore_index=255, reduction="none")
    weight = (mask != 255).float() * torch.where(mask == 0, BACKGROUND_WEIGHT, 1.0)
    return (pixels * weight).sum() / weight.sum().clamp_min(1.0)


def sign_loss(logits: Tensor, signs: Tensor) -> Tensor:
    """Binary cross-entropy of the signs that are said, (N, 2) each; both signs count alike."""
    said = (signs != NOT_SAID).float()
    each = nn.functional.binary_cross_entropy_with_logits(logits, signs.clamp_min(0), reduction="none")
    return ((each * said).sum(dim=0) / said.sum(dim=0).clamp_min(1.0)).sum()


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
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    films: Path | None = None,
    graded: GradedCanvases | None = None,
    share: float = 0.0,
    initial: Localiser | None = None,
    handlers: Sequence[Any] = (),
) -> Localiser:
    """Train a localiser on fresh simulated films, and on real ones among them; `learn_children` goes on from there.

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
    device
        Where torch computes.
    checkpoint
        Where the state is stored, and found again by a training that was interrupted.
    films
        Folder of licensed real radiographs (`canvases`); None: simulated films only.
    graded
        Films of a site whose joints are marked, shown among the simulated ones.
    share
        Of the films that are the site's, 0..1.
    initial
        A trained network that the training starts from; None: random weights.
    handlers
        Of the trainer, such as logs (`pipelines.lab.training_log`).
    """
    torch.manual_seed(seed)
    network = Localiser()
    if initial is not None:
        network.load_state_dict(initial.state_dict())
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    highest = HIGHEST_RATE * (1 if initial is None else FURTHER)
    optimiser = torch.optim.AdamW(network.parameters(), lr=highest, weight_decay=1e-3)
    easy = round(EASY_SHARE * steps) if initial is None else 0

    def loss(samples: Sequence[Tensor], step: int) -> Tensor:
        canvas, mask, pose, signs = (part.to(device) for part in samples)
        with short(device):
            found = network(canvas.contiguous(memory_format=torch.channels_last))
        weight = POSE_WEIGHT if step < easy else HARD_POSE_WEIGHT
        of_pose = nn.functional.cross_entropy(found.pose.float(), pose)
        return (
            mask_loss(found.mask.float(), mask) + weight * of_pose + SIGN_WEIGHT * sign_loss(found.signs.float(), signs)
        )

    samples = StreamBatches(lambda first: Samples(seed, first, films, graded, share, easy * batch), batch)
    _run(
        network,
        optimiser,
        loss,
        samples,
        steps,
        averaging=AVERAGED,
        seed=seed,
        checkpoint=checkpoint,
        train_handlers=handlers,
    )
    return network.eval()


def _run(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[Sequence[Tensor], int], Tensor],
    samples: StreamBatches,
    steps: int,
    **further: Any,
) -> None:
    """Train a network where it is; `further` goes to `StepTrainer`."""
    if steps:
        StepTrainer(
            device=next(network.parameters()).device,
            max_epochs=1,
            epoch_length=steps,
            train_data_loader=samples,
            network=network,
            optimizer=optimiser,
            step_loss=loss,
            lr_scheduler=torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, steps)),
            keep_every=KEPT_EVERY,
            **further,
        ).run()


def short(device: str) -> torch.autocast:
    """Products of 16 bits where the device is fast in them: half the time, and as good."""
    if device == "cpu":
        return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=torch.cuda.is_bf16_supported())


# ---------------------------------------------------------------- children
def child_sample(rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """A simulated hand or foot that fills the canvas upright, and whether it is that of a child under 16 years.

    No real radiograph is shown: all that may be learned from are of adults, and the look of a real one would become the
    sign of an adult.
    """
    part: Part = "hand" if rng.random() < 0.6 else "foot"
    child = rng.random() < CHILDREN
    skeleton = random_limb(part, rng, children=float(child))
    view = close_view(skeleton, CANVAS, rng, float(rng.uniform(*CLOSE)))
    return channels(weathered(film(skeleton, view, rng).image, rng)), float(child)


class ChildSamples(IterableDataset[tuple[NDArray[np.float32], float]]):
    """Films of children and adults without end; film `n` depends on the seed and `n` only."""

    def __init__(self, seed: int, first: int = 0) -> None:
        self.seed, self.first = seed, first

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        torch.set_num_threads(1)
        for number in count(self.first):
            yield child_sample(np.random.default_rng((self.seed, 5, number)))


def learn_children(
    network: Localiser,
    seed: int,
    steps: int = CHILD_STEPS,
    checkpoint: Checkpoint | None = None,
    handlers: Sequence[Any] = (),
) -> None:
    """Train the sign of open growth plates on the features of a localiser that is trained and stays as it is.

    Together with the rest it hardly learns: few films say anything about it, and joints are easier to see.

    Parameters
    ----------
    network
        The localiser, on its device.
    seed
        Of the films.
    steps
        Number of batches.
    checkpoint, handlers
        As of `train_localiser`.
    """
    head = network.eval().signs[CHILD]
    device = next(head.parameters()).device
    optimiser = torch.optim.AdamW(head.parameters(), lr=HIGHEST_RATE, weight_decay=1e-2)

    def loss(samples: Sequence[Tensor], _step: int) -> Tensor:
        canvas, child = samples
        with torch.no_grad():
            features = network.fine(canvas.to(device).contiguous(memory_format=torch.channels_last))
        return nn.functional.binary_cross_entropy_with_logits(head(features)[:, 0], child.to(device).float())

    films = StreamBatches(lambda first: ChildSamples(seed, first), CHILD_BATCH)
    _run(head, optimiser, loss, films, steps, seed=seed, checkpoint=checkpoint, train_handlers=handlers)
    network.eval()
