"""Fits one network to a cohort: the batches and the loss that training and evaluation give the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipelines.joint_classification.kinds import BUNDLE, KINDS
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder, Output
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.joint_classification.training.losses import csae_loss, foreign_loss, inverse_frequency
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.trainer import StepBatches
from pipelines.lab.training_log import CsvLog, Report

ALPHA = 0.8  # weight of the classification; alpha = 1 is the ablation without the auto-encoder
SHIFT = 0.06  # largest shift, fraction of an axis
SCALE = 0.10  # largest change of size
TILT = 0.09  # radians, largest rotation in the plane (of the last two axes)
WARM_UP = 0.08  # share of the steps
DRAWN = 0.5  # share of a batch that is drawn again: the decoder costs as much as the encoder, and has the easier task
FOREIGN = 0.5  # foreign images in a batch, per labelled one
FOREIGN_WEIGHT = 0.5  # of their loss
TRAIN = "configs/train.json"

Progress = Callable[[int, Mapping[str, float]], object]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    alpha: float = ALPHA
    seed: int = 0
    # Share of the steps until the drawing has its full weight. An encoder that has to draw speckle from the first step
    # learns the classes late: macro AUROC of one fold after 400 steps 0.53, with a ramp of 0.6 0.88, with a = 1 0.94.
    # With as many pictures and steps as the shipped weights it makes no difference, and volumes learn later with it.
    ramp: float = 0.0

    def weight(self, step: int) -> float:
        """Weight of the classification at a step: 1 at first, down to `alpha` after the share `ramp` of the steps."""
        share = min(1.0, step / (self.ramp * self.steps)) if self.ramp else 1.0
        return 1 - (1 - self.alpha) * share

    @property
    def warm_up(self) -> int:
        """Steps in which the learning rate rises."""
        return max(1, round(WARM_UP * self.steps))


class CohortBatches(StepBatches):
    """The batches of a training: some labelled cases, and after them some that are none of the classes.

    A batch is the images (N + F, C, ...), augmented, and the classes of the first N. Every case comes once before any
    comes again.

    Parameters
    ----------
    cohort
        With a class for the labelled cases, -1 for the others.
    schedule
        Size of a batch, and seed.
    labelled_only
        Leave the others out.
    """

    def __init__(self, cohort: Cohort, schedule: Schedule, labelled_only: bool = False) -> None:
        super().__init__(self._of_step)
        self.cohort, self.schedule = cohort, schedule
        self.labelled = np.flatnonzero(cohort.labels >= 0)
        self.unlike = np.flatnonzero(cohort.labels < 0)[: 0 if labelled_only else None]

    def _of_step(self, step: int) -> Batch:
        size, seed = self.schedule.batch, self.schedule.seed
        index = _batch(self.labelled, size, seed, step)
        label = torch.from_numpy(self.cohort.labels[index])
        if len(self.unlike):
            index = np.concatenate([index, _batch(self.unlike, round(FOREIGN * size), seed + 1, step)])
        images = torch.from_numpy(self.cohort.images[index]).float()
        return augment(images, np.random.default_rng([seed, step])), label


class StepLoss:
    """The loss of a batch, as `CohortBatches` makes it.

    Parameters
    ----------
    network
        The auto-encoder, or any classifier: then it is the classification's loss alone.
    schedule
        Weight of the classification.
    labels
        (N,) classes of the cohort, of which the rarer ones weigh more; those below 0 are left out.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, labels: NDArray[np.int64]) -> None:
        self.network, self.schedule = network, schedule
        self.weight = inverse_frequency(torch.from_numpy(labels[labels >= 0]))

    def __call__(self, batch: Batch, step: int) -> Tensor:
        """The loss of the batch of a step, counted from 0."""
        device = next(self.network.parameters()).device
        images, label, weight = (part.to(device) for part in (*batch, self.weight))
        images = images.contiguous(memory_format=layout(images.ndim))
        # half precision for pictures only: on the CPU the weights' gradients of a small 3-D convolution come out of
        # oneDNN as garbage (1e35) now and then in bfloat16
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=images.ndim == 4):
            if not isinstance(self.network, ConvolutionalSupervisedAutoEncoder):
                return functional.cross_entropy(self.network(images).float(), label, weight=weight)
            drawn = max(1, round(DRAWN * len(label))) if self.schedule.alpha < 1.0 else 0
            output, known = _first(self.network, images, drawn), len(label)
            of_known = output._replace(logits=output.logits[:known])
            loss = csae_loss(of_known, images[:drawn], label, weight, self.schedule.weight(step))
            return loss + FOREIGN_WEIGHT * foreign_loss(output.foreign, known) if len(images) > known else loss


def first_weights(
    network: nn.Module, seed: int, initial: Mapping[str, Tensor] | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """The network with its first weights, where it is trained and in the layout that is fastest there.

    Parameters
    ----------
    network
        To train.
    seed
        Of random weights.
    initial
        Weights to start from; None: random ones.
    device
        Where it is trained.
    """
    torch.manual_seed(seed)
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    if initial is not None:
        network.load_state_dict(initial)
    dimensions = max(parameter.ndim for parameter in network.parameters())
    return network.to(device).to(memory_format=layout(dimensions))  # type: ignore[call-overload, no-any-return]


def fit(
    network: nn.Module,
    cohort: Cohort,
    schedule: Schedule,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    log: Path | None = None,
) -> nn.Module:
    """Train a network on a cohort, in place, and return it in evaluation mode on the CPU.

    Cases without a class teach the auto-encoder what is none of them. Optimiser, course of the learning rate, averaging
    and clipping are those of the bundles' `train.json`.

    Parameters
    ----------
    network
        The auto-encoder, or any classifier (then `schedule.alpha` is taken as 1).
    cohort
        What it learns from.
    schedule
        How long and how fast.
    progress
        Called with step and figures.
    checkpoint
        For the state, from which an interrupted training continues; None: none.
    log
        A csv of step, learning rate, loss and seconds; None: none.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).to(memory_format=layout(cohort.images.ndim))  # type: ignore[call-overload]
    config = ConfigParser()
    config.read_config(BUNDLE / KINDS[2 if cohort.images.ndim == 4 else 3] / TRAIN)
    config.update(
        {
            "device": device,
            "schedule": schedule,
            "network": network,
            "checkpoint": checkpoint,
            "train::dataset": cohort,
            "train::dataloader::labelled_only": not isinstance(network, ConvolutionalSupervisedAutoEncoder),
            "train::handlers": [*([Report(progress)] if progress else []), *([CsvLog(log)] if log else [])],
        }
    )
    config.get_parsed_content("train::trainer").run()
    return trained(network)


def trained(network: nn.Module) -> nn.Module:
    """The network as it is stored and asked: on the CPU, in the usual layout, in evaluation mode."""
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.cpu().eval()


def _first(network: ConvolutionalSupervisedAutoEncoder, batch: Tensor, drawn: int) -> Output:
    """The network's output, with drawings of the first `drawn` images only; of none, without the decoder."""
    if drawn:
        return network.inspect(batch, drawn)[0]
    outputs = network.down(batch)
    latent = network.pool(outputs[-1])
    return Output(network.classify(latent), batch[:0], latent, network.is_foreign(outputs))


def _batch(among: NDArray[np.int64], size: int, seed: int, step: int) -> NDArray[np.int64]:
    """The cases of a step: every case once before any comes again."""
    chosen = []
    for number in range(step * size, (step + 1) * size):
        turn, place = divmod(number, len(among))
        chosen.append(_order(len(among), seed, turn)[place])
    return np.asarray(among[np.array(chosen)])


_ORDERS: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(number: int, seed: int, turn: int) -> NDArray[np.int64]:
    key = (number, seed, turn)
    if key not in _ORDERS:
        if len(_ORDERS) > 4:
            _ORDERS.clear()
        _ORDERS[key] = np.random.default_rng([seed, turn, 77]).permutation(number)
    return _ORDERS[key]


def layout(dimensions: int) -> torch.memory_format:
    """Channels last, for images (4) or volumes (5)."""
    return torch.channels_last if dimensions == 4 else torch.channels_last_3d


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted, resized, tilted and regained copies, noisier and softer ones among them: (N, C, ...) -> the same.

    2-D pictures are never mirrored, since head and base differ; volumes are, across the bone both ways, since a scan
    does not say where dorsal and radial are.
    """
    number, spatial = images.shape[0], images.ndim - 2
    theta = np.zeros((number, spatial, spatial + 1), np.float32)
    angle = rng.uniform(-TILT, TILT, number)
    scale = 1 + rng.uniform(-SCALE, SCALE, (number, spatial))
    aspect = images.shape[-2] / images.shape[-1]  # affine_grid's coordinates run -1..1 along both axes
    for axis in range(spatial):
        theta[:, axis, axis] = scale[:, axis]
        theta[:, axis, spatial] = rng.uniform(-2 * SHIFT, 2 * SHIFT, number)
    theta[:, 0, 0] *= np.cos(angle)
    theta[:, 1, 1] *= np.cos(angle)
    theta[:, 0, 1] = -np.sin(angle) * scale[:, 0] * aspect
    theta[:, 1, 0] = np.sin(angle) * scale[:, 1] / aspect
    if spatial == 3:
        for axis in (0, 1):  # of affine_grid: W, H
            theta[:, axis, :2] *= rng.choice((-1.0, 1.0), number).astype(np.float32)[:, None]
    grid = functional.affine_grid(torch.from_numpy(theta).to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shape = (number,) + (1,) * (images.ndim - 1)
    gain = torch.from_numpy(rng.normal(1.0, 0.08, number)).float().reshape(shape).to(images.device)
    offset = torch.from_numpy(rng.normal(0.0, 0.08, number)).float().reshape(shape).to(images.device)
    return moved * gain + offset
