"""What is measured of a trained network: calibration, gain on held-back volumes, cost."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.knee_super_resolution.inference import GAUSSIAN_90, Restorer
from pipelines.knee_super_resolution.metrics import FOREGROUND_LEVEL
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.losses import LOSSES
from pipelines.knee_super_resolution.training.plan import FACTORS, Plan
from pipelines.knee_super_resolution.training.sampler import Sampler
from pipelines.knee_super_resolution.training.tasks import MIN_THICK, cropped, degraded

NOMINAL = 0.90  # coverage of the intervals that the spread is calibrated for


def calibrate(network: ThinSliceNet, corpus: Corpus, largest: int = 64) -> dict[str, float]:
    """The factor per ratio by which a spread that was asked of a volume's own planes is still too narrow.

    Split conformal on held-back volumes: the 90 % quantile of `abs(error)` / standard deviation over foreground
    voxels, over the Gaussian 1.645, so that +-1.645 standard deviations cover 90 % of voxels like those held back.

    Parameters
    ----------
    network
        Trained.
    corpus
        Whose held-back volumes are used; its simulated ones where there are none.
    largest
        Samples along each axis that are used.
    """

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
    """Mean gain over the cubic spline on patches of held-back volumes, dB, per factor; FIR degradation.

    Parameters
    ----------
    network, plan
        Trained, and how.
    corpus
        Whose held-back volumes are used; its simulated ones where there are none.
    draws
        Patches per factor.
    """
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


def judged_on(corpus: Corpus) -> str:
    """What gains were measured and spreads calibrated on."""
    return "held-back volumes" if corpus.validation else "volumes that were trained on: none were held back"


def arithmetic_tflop(network: nn.Module, corpus: Corpus, plan: Plan, steps: int, draws: int = 100) -> float:
    """About how much arithmetic a training takes, TFLOP: the convolutions forward, and twice as much backward.

    The mean size of a patch is that of the first `draws` of the run.

    Parameters
    ----------
    network, corpus, plan
        What is trained, on what and how.
    steps
        Of the training.
    draws
        Patches whose mean size is taken.
    """
    sampler = Sampler(corpus, plan)
    drawn = [sampler.example(number) for number in range(draws)]
    worked_on = [(each.thick if plan.method == "learned" else each.thin).numel() for each in drawn]
    weights = sum(each.weight.numel() for each in network.modules() if isinstance(each, nn.Conv3d))
    return 3 * 2 * weights * float(np.mean(worked_on)) * plan.batch * steps / 1e12


def facts(network: nn.Module, plan: Plan, corpus: Corpus, steps: int) -> dict[str, Any]:
    """What stands in the metadata about one training: how, on which volumes, to what gain, at what cost.

    Parameters
    ----------
    network, plan, corpus
        Trained, how and on what.
    steps
        That were done.
    """
    return {
        "plan": {name: value for name, value in vars(plan).items() if name not in ("device", "threads")},
        "training_volumes": sorted(volume.name for volume in corpus.real),
        "validation_volumes": sorted(volume.name for volume in corpus.validation),
        "validation_gain_db": validate(network, corpus, plan),
        "judged_on": judged_on(corpus),
        "stopped_at": steps,
        "tflop": round(arithmetic_tflop(network, corpus, plan, steps), 1),
        "torch": torch.__version__.split("+")[0],
    }
