"""Training: `condyle train knee_super_resolution`.

From simulated volumes alone, or with folders of real ones beside them. The same seed, steps and data give the same
weights; an interrupted run continues where it stopped. Each step draws from a generator of its own, seeded by the
run's seed and the step's number, so that nothing but weights and optimiser has to be kept.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import monai
import numpy as np
import torch
from monai.data import Dataset
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.knee_super_resolution.metrics import FOREGROUND_LEVEL
from pipelines.knee_super_resolution.network import DeepResolve, Geometry, ThinSliceNet
from pipelines.knee_super_resolution.training.volumes import (
    Degradation,
    Example,
    ThinVolume,
    degrade_batch,
    densified,
    held_back,
    patch_transforms,
    read_volumes,
    simulated_volumes,
)
from pipelines.lab.checkpoint import Checkpoint, OtherTraining, RunningAverage

BUNDLE = Path(__file__).parents[1] / "bundle"
CHECKPOINT_EVERY = 250
MIN_DEPTH = 40  # thin slices of a patch, at least
AVERAGING = 0.999  # of the weights, per step
SPREAD_WEIGHT = 0.05  # of the uncertainty's likelihood in the loss
NOMINAL, GAUSSIAN_90 = 0.90, 1.6449
FACTORS = (2, 3, 4, 8)  # that uncertainty is calibrated at and the baselines are trained for
MIN_THICK = 4  # acquired slices that a volume has to leave to be calibrated on


@dataclass(frozen=True)
class Plan:
    """All that a run depends on beside the data."""

    method: Literal["condyle", "deepresolve"] = "condyle"
    factor: float | None = None  # DeepResolve is trained for one
    seed: int = 0
    steps: int = 7000
    rate: float = 1.2e-3
    depth: int = 96  # of a patch, thin slices at most
    thick: int = 16  # of a patch, thick slices at most
    size: int = 40  # of a patch, pixels
    batch: int = 1  # patches of a step, each with a degradation of its own
    channels: int = 32
    blocks: int = 5
    real_share: float = 0.5  # of the steps, where real volumes are given
    device: str = "cpu"
    threads: int = 1  # patches worked on at once; one thread each wastes less than many threads on one


@dataclass
class Corpus:
    """Volumes to learn from and volumes held back, real ones apart from simulated ones."""

    simulated: list[ThinVolume] = field(default_factory=list)
    real: list[ThinVolume] = field(default_factory=list)
    validation: list[ThinVolume] = field(default_factory=list)

    def sentence(self) -> str:
        knees = sum(volume.name.startswith("simulated") for volume in self.simulated)
        clutter = len(self.simulated) - knees
        made = f"trained on {knees} simulated knees and {clutter} volumes of random shapes"
        if not self.real:
            return f"{made}, no real images; research use only, not for clinical use"
        subjects = len({volume.subject for volume in self.real})
        real = f"{len(self.real)} real volumes of {subjects} subjects"
        return f"{made}, and on {real}; research use only, not for clinical use"


def gather(seed: int, knees: int, clutter: int, folders: Sequence[Path], excluded: Sequence[str]) -> Corpus:
    """Simulate and read volumes, split by subject; names that contain an excluded word are never used."""
    corpus = Corpus()
    for volume in simulated_volumes(seed, knees, clutter):
        number = int(volume.subject.split()[1])
        (corpus.validation if number % 10 == 9 else corpus.simulated).append(volume)
    for folder in folders:
        for volume in read_volumes(folder):
            if any(word in f"{folder.name} {volume.subject} {volume.name}" for word in excluded):
                continue
            filled = densified(volume)
            if filled.thin_axes:
                (corpus.validation if held_back(volume) else corpus.real).append(filled)
    return corpus


class Sampler:
    """Draws examples, each by its number alone."""

    def __init__(self, corpus: Corpus, plan: Plan) -> None:
        self.plan = plan
        self.transform = patch_transforms(plan.depth, plan.size)
        self.simulated = Dataset([{"thin": volume} for volume in corpus.simulated])
        self.real = self._by_subject(corpus.real)

    @staticmethod
    def _by_subject(volumes: list[ThinVolume]) -> list[Dataset]:
        """One data set per subject, so that four echoes of one knee do not count four times."""
        subjects = sorted({volume.subject for volume in volumes})
        return [Dataset([{"thin": one} for one in volumes if one.subject == subject]) for subject in subjects]

    def example(self, number: int) -> Example:
        """The example of this number, whatever was drawn before."""
        random = np.random.default_rng([self.plan.seed, number])
        self.transform.set_random_state(seed=int(random.integers(2**31)))
        factors = (self.plan.factor,) if self.plan.factor else ((2, 3, 4, 8) if random.random() < 0.5 else ())
        degradation = Degradation.draw(random, factors, fir_only=self.plan.method == "deepresolve")
        pool = self.simulated
        if self.real and random.random() < self.plan.real_share:
            pool = self.real[int(random.integers(len(self.real)))]
        drawn = self.transform(pool[int(random.integers(len(pool)))])
        thin = torch.as_tensor(np.asarray(drawn["thin"]))[None]
        thin = thin[:, :, : max(MIN_DEPTH, math.ceil(self.plan.thick * degradation.ratio))]
        return degrade_batch(thin, degradation, float(drawn["step_over_pixel"]), random)


def geometry_of(example: Example) -> Geometry:
    """Positions in units of thin slices."""
    return Geometry(
        coarse=example.ratio * np.arange(example.thick.shape[1]),
        fine=np.arange(example.thin.shape[1], dtype=float),
        profile=example.profile,
        anisotropy=example.anisotropy,
    )


def relative_error(thin: Tensor, truth: Tensor, interpolated: Tensor) -> Tensor:
    """RMSE over that of the interpolation, where there is something to see, with floors that quieten flat patches."""
    ours, theirs = _errors(thin, truth, interpolated)
    return torch.sqrt((ours + 1e-8) / (theirs + 1e-6))


def gain_db(thin: Tensor, truth: Tensor, interpolated: Tensor) -> float:
    """How much smaller the error is than that of the interpolation, dB."""
    ours, theirs = _errors(thin.detach(), truth, interpolated)
    return 10 * math.log10((float(theirs) + 1e-8) / (float(ours) + 1e-8))


def _errors(thin: Tensor, truth: Tensor, interpolated: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared errors of the result and of the interpolation, tissue counting twenty times as much as air."""
    mask = (truth > FOREGROUND_LEVEL) | (interpolated > FOREGROUND_LEVEL)
    weight = mask.float() + 0.05
    return (weight * (thin - truth) ** 2).mean(), (weight * (interpolated - truth) ** 2).mean()


def _condyle_loss(network: nn.Module, example: Example) -> tuple[float, Tensor]:
    geometry = geometry_of(example)
    thin, spread = network(example.thick, geometry)
    spline = geometry.matrices()[0].to(example.thick.device)
    interpolated = torch.einsum("fc,nchw->nfhw", spline, example.thick)
    error = relative_error(thin, example.thin, interpolated)
    likelihood = ((thin.detach() - example.thin).abs() / spread + spread.log())[example.thin > FOREGROUND_LEVEL / 2]
    loss = error + SPREAD_WEIGHT * (likelihood.mean() if likelihood.numel() else spread.mean() * 0)
    return gain_db(thin, example.thin, interpolated), loss


def _deepresolve_loss(network: nn.Module, example: Example) -> tuple[float, Tensor]:
    spline = geometry_of(example).matrices()[0].to(example.thick.device)
    interpolated = torch.einsum("fc,nchw->nfhw", spline, example.thick)
    thin = network(interpolated[:, None])[:, 0]
    # not the squared error, as published, but its root over that of the interpolation: else the few patches with much
    # contrast are all that counts, and after as many steps five layers had gained a fifth as much
    return gain_db(thin, example.thin, interpolated), relative_error(thin, example.thin, interpolated)


LOSSES: dict[str, Callable[[nn.Module, Example], tuple[float, Tensor]]] = {
    "condyle": _condyle_loss,
    "deepresolve": _deepresolve_loss,
}


def build(plan: Plan) -> nn.Module:
    """The untrained network of a plan."""
    torch.manual_seed(plan.seed)
    if plan.method == "deepresolve":
        return DeepResolve()
    return ThinSliceNet(channels=plan.channels, blocks=plan.blocks)


def rate_at(step: int, plan: Plan) -> float:
    """Learning rate: 100 steps of warm-up, then a cosine to 1 % of the peak."""
    warm = min(1.0, (step + 1) / 100)
    return plan.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))


class Gradients:
    """Loss gradients of the patches of a step, worked out side by side."""

    def __init__(self, network: nn.Module, corpus: Corpus, plan: Plan) -> None:
        self.network, self.plan = network, plan
        self.parameters = [each for each in network.parameters() if each.requires_grad]
        self.samplers = [Sampler(corpus, plan) for _ in range(plan.batch)]
        self.pool = ThreadPoolExecutor(plan.threads)
        self.device = torch.device(plan.device).type

    def of(self, step: int) -> float:
        """Put the mean gradient of the step into the parameters and return the mean gain over cubic, dB."""
        parts = list(self.pool.map(self._of_patch, range(step * self.plan.batch, (step + 1) * self.plan.batch)))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = torch.stack([gradients[index] for _, gradients in parts]).mean(dim=0)
        return float(np.mean([gain for gain, _ in parts]))

    def _of_patch(self, number: int) -> tuple[float, list[Tensor]]:
        example = _to(self.samplers[number % self.plan.batch].example(number), self.plan.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            gain, loss = LOSSES[self.plan.method](self.network, example)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.parameters, strict=True)]
        return gain, filled


def checkpoint_of(plan: Plan, output: Path) -> Checkpoint:
    """Where a run keeps its state."""
    return Checkpoint(output / "checkpoint.pt", repr(plan))


def fit(
    plan: Plan, corpus: Corpus, output: Path, console: Console, initial: Path | None = None, stop: int | None = None
) -> nn.Module:
    """Train and return the averaged weights; checkpoints and the log go to `output`.

    Parameters
    ----------
    initial
        Weights to start from.
    stop
        End after this step of the schedule, before the learning rate has come down.

    Raises
    ------
    OtherTraining
        If `output` holds the state of a run of another plan.
    """
    torch.set_num_threads(1 if plan.device == "cpu" else plan.threads)
    network: nn.Module = build(plan).to(plan.device)
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if initial is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(initial).items()})
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4, betas=(0.9, 0.99))
    average = RunningAverage(network, AVERAGING)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_of(plan, output)
    start = checkpoint.resume(network=network, optimiser=optimiser, average=average)
    gradients = Gradients(network, corpus, plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        (output / "log.csv").open("a", newline="") as log,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        rows = csv.writer(log)
        task = progress.add_task("training", total=plan.steps, completed=start)
        began, gains = time.monotonic(), []
        for step in range(start, min(plan.steps, stop or plan.steps)):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, plan)
            gains.append(gradients.of(step))
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.follow(network, step)
            progress.update(task, advance=1)
            if (step + 1) % 50 == 0:
                mean_db = float(np.mean(gains))
                rows.writerow([step + 1, round(time.monotonic() - began, 1), round(mean_db, 3), rate_at(step, plan)])
                log.flush()
                progress.update(task, description=f"training, {mean_db:+.2f} dB over cubic")
                gains.clear()
            if (step + 1) % CHECKPOINT_EVERY == 0:
                checkpoint.save(step + 1, network=network, optimiser=optimiser, average=average)
    network.load_state_dict(average.state_dict())
    return network


def _to(example: Example, device: str) -> Example:
    return Example(
        example.thick.to(device),
        example.thin.to(device),
        example.ratio,
        example.anisotropy,
        example.profile,
        example.noise,
    )


def calibrate(network: ThinSliceNet, corpus: Corpus, largest: int = 64) -> dict[str, float]:
    """The factor per ratio by which a spread that was asked of a volume's own planes is still too narrow.

    Split conformal on held-back volumes: the 90 % quantile of `abs(error)` / standard deviation over foreground
    voxels, over the Gaussian 1.645, so that +-1.645 standard deviations cover 90 % of voxels like those held back.
    """
    from pipelines.knee_super_resolution.evaluation.evaluate import cropped, degraded
    from pipelines.knee_super_resolution.inference import Restorer

    made = Restorer(copy.deepcopy(network), {}, half=False)
    volumes = [cropped(volume, largest) for volume in corpus.validation or corpus.simulated]
    factors: dict[str, float] = {}
    for ratio in FACTORS:
        scores = []
        for volume in volumes:
            task, truth = degraded(volume, volume.thin_axes[-1], ratio)
            if len(task.thick) < MIN_THICK:
                continue
            thin, spread = made.restore(task.thick, task.coarse, task.fine, task.profile, task.anisotropy)
            scores.append((np.abs(thin - truth) / spread)[truth > FOREGROUND_LEVEL])
        if scores:
            quantiles = [float(np.quantile(each, NOMINAL)) for each in scores if len(each)]
            factors[str(ratio)] = float(np.mean(quantiles)) / GAUSSIAN_90
    return factors


def validate(network: nn.Module, corpus: Corpus, plan: Plan, draws: int = 24) -> dict[str, float]:
    """Mean gain over the cubic spline on patches of held-back volumes, dB, per factor; FIR degradation."""
    gains = {}
    held = Corpus(simulated=corpus.validation or corpus.simulated)
    for factor in (plan.factor,) if plan.factor else (2.0, 3.0, 4.0, 8.0):
        chosen = Plan(plan.method, factor, plan.seed + 2, depth=plan.depth, size=plan.size)
        sampler = Sampler(held, chosen)
        each = []
        for step in range(draws):
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                each.append(LOSSES[plan.method](network, sampler.example(step))[0])
        gains[f"{factor:g}"] = float(np.mean(each))
    return gains


def arithmetic_tflop(network: nn.Module, corpus: Corpus, plan: Plan, steps: int, draws: int = 100) -> float:
    """About how much arithmetic a training takes, TFLOP: the convolutions forward, and twice as much backward.

    The mean size of a patch is that of the first `draws` of the run.
    """
    sampler = Sampler(corpus, plan)
    drawn = [sampler.example(number) for number in range(draws)]
    worked_on = [(each.thick if plan.method == "condyle" else each.thin).numel() for each in drawn]
    weights = sum(each.weight.numel() for each in network.modules() if isinstance(each, nn.Conv3d))
    return 3 * 2 * weights * float(np.mean(worked_on)) * plan.batch * steps / 1e12


def stem(plan: Plan) -> str:
    """The name of the files that a plan's weights go to."""
    if plan.method == "condyle":
        return "model"
    return f"{plan.method}_{plan.factor:g}" if plan.factor else plan.method


def save(network: nn.Module, plan: Plan, corpus: Corpus, output: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Weights as safetensors, a description beside them; the baseline's in half precision, so as to stay small."""
    kind = torch.float32 if plan.method == "condyle" else torch.bfloat16
    weights = output / f"{stem(plan)}.safetensors"
    save_file({name: value.to(kind).contiguous() for name, value in network.state_dict().items()}, weights)
    description = {
        "method": plan.method,
        "plan": {name: value for name, value in vars(plan).items() if name not in ("device", "threads")},
        "trained_on": corpus.sentence(),
        "training_volumes": sorted(volume.name for volume in corpus.real),
        "validation_volumes": sorted(volume.name for volume in corpus.validation),
        "validation_gain_db": validate(network, corpus, plan),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "torch": torch.__version__.split("+")[0],
        "monai": monai.__version__,
        **facts,
    }
    weights.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")
    return description


def train_dictionaries(corpus: Corpus, seed: int, factors: Sequence[int], output: Path, console: Console) -> None:
    """The coupled dictionaries of the sparse-coding baseline, one pair for each factor."""
    from pipelines.knee_super_resolution.training.baselines import save_dictionary, train_dictionary

    output.mkdir(parents=True, exist_ok=True)
    for factor in factors:
        with console.status(f"learning the dictionaries for factor {factor}"):
            save_dictionary(train_dictionary([*corpus.simulated, *corpus.real], factor, seed), factor, output)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="condyle train knee_super_resolution",
        description="Train the super-resolution network on simulated knees and, where given, on real thin-slice MR.",
    )
    options.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="real volumes: DICOM, NIfTI, MetaImage; may be repeated",
    )
    options.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="WORD",
        help="leave out volumes whose folder or file name holds this word",
    )
    options.add_argument(
        "--output",
        type=Path,
        default=BUNDLE,
        metavar="FOLDER",
        help="where weights, description, log and checkpoint go",
    )
    options.add_argument("--method", choices=("condyle", "deepresolve", "scsr"), default="condyle")
    options.add_argument("--factor", type=float, help="deepresolve: the one ratio to train for (default: any)")
    options.add_argument("--initial", type=Path, metavar="FILE", help="weights to start from")
    options.add_argument(
        "--stop", type=int, metavar="STEP", help="end at this step of the schedule, to go on with --initial"
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, default=7000)
    options.add_argument("--rate", type=float, default=1.2e-3, help="peak learning rate")
    options.add_argument("--depth", type=int, default=96, help="thin slices of a training patch")
    options.add_argument("--thick", type=int, default=16, help="thick slices of a training patch")
    options.add_argument("--size", type=int, default=40, help="pixels of a training patch")
    options.add_argument("--batch", type=int, default=1, help="patches of a step")
    options.add_argument("--channels", type=int, default=32)
    options.add_argument("--blocks", type=int, default=5)
    options.add_argument("--knees", type=int, default=24, help="simulated knees")
    options.add_argument("--clutter", type=int, default=24, help="volumes of random shapes")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--threads", type=int, default=1, help="patches worked on at once")
    return options


def main(arguments: list[str]) -> int:
    """Train, calibrate and write the bundle; 0 on success, 2 if the output holds the state of another training."""
    options = parser().parse_args(arguments)
    console = Console()
    plan = Plan(
        method="condyle" if options.method == "scsr" else options.method,
        factor=options.factor,
        seed=options.seed,
        steps=options.steps,
        rate=options.rate,
        depth=options.depth,
        thick=options.thick,
        size=options.size,
        batch=options.batch,
        channels=options.channels,
        blocks=options.blocks,
        device=options.device,
        threads=options.threads,
    )
    with console.status("simulating and reading volumes"):
        corpus = gather(options.seed, options.knees, options.clutter, options.data, options.exclude)
    counts = f"{len(corpus.simulated)} simulated and {len(corpus.real)} real volumes"
    console.print(f"{counts}, {len(corpus.validation)} held back")
    if options.method == "scsr":
        train_dictionaries(corpus, options.seed, FACTORS, options.output, console)
        return 0
    began, worked = time.monotonic(), time.process_time()
    try:
        network = fit(plan, corpus, options.output, console, options.initial, options.stop).to("cpu").eval()
    except OtherTraining as error:
        console.print(str(error))
        return 2
    facts: dict[str, Any] = {
        "seconds": round(time.monotonic() - began),
        "core_seconds": round(time.process_time() - worked),  # of this process: a run taken up again counts from there
        "stopped_at": options.stop or plan.steps,
    }
    facts["tflop"] = round(arithmetic_tflop(network, corpus, plan, facts["stopped_at"]), 1)
    if options.initial:
        facts["initial_sha256"] = hashlib.sha256(options.initial.read_bytes()).hexdigest()
    if isinstance(network, ThinSliceNet):
        facts["calibration"] = calibrate(network, corpus)
    description = save(network, plan, corpus, options.output, facts)
    checkpoint_of(plan, options.output).remove()
    console.print(description["trained_on"])
    console.print("gain over cubic on held-back volumes, dB:", description["validation_gain_db"])
    return 0
