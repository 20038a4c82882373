"""Training: `condyle train knee_super_resolution`.

From simulated volumes alone, or with folders of real ones beside them. The same seed, steps and data give the same
weights; an interrupted run continues where it stopped. Each step draws from a generator of its own, seeded by the
run's seed and the step's number, so that nothing but weights and optimiser has to be kept.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pipelines.knee_super_resolution import BUNDLE
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.corpus import Corpus, gather
from pipelines.knee_super_resolution.training.description import arithmetic_tflop, calibrate, save
from pipelines.knee_super_resolution.training.dictionary import save_dictionary, train_dictionary
from pipelines.knee_super_resolution.training.fit import checkpoint_of, fit
from pipelines.knee_super_resolution.training.plan import FACTORS, Plan
from pipelines.knee_super_resolution.training.volumes import KNEE_SIDE, MIN_SAMPLES
from pipelines.lab.checkpoint import OtherTraining


def train_dictionaries(corpus: Corpus, seed: int, factors: Sequence[int], output: Path, console: Console) -> None:
    """The coupled dictionaries of the sparse-coding baseline, one pair for each factor.

    Parameters
    ----------
    corpus, seed
        What is learned from, and the seed of the patches.
    factors
        One pair of dictionaries for each.
    output
        Folder to write into.
    console
        Where the progress is shown.
    """
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
        help="folder of real volumes (DICOM, NIfTI or MetaImage) to train on; may be repeated",
    )
    options.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="WORD",
        help="leave out volumes whose folder or file name contains this word; may be repeated",
    )
    options.add_argument(
        "--output",
        type=Path,
        default=BUNDLE,
        metavar="FOLDER",
        help="folder to write weights, description, log and checkpoint to",
    )
    options.add_argument(
        "--method",
        choices=("condyle", "deepresolve", "scsr"),
        default="condyle",
        help="this network, or a rival: deepresolve or scsr",
    )
    options.add_argument(
        "--factor", type=float, help="condyle, deepresolve: train for this ratio of slice spacings only"
    )
    options.add_argument("--initial", type=Path, metavar="FILE", help="start from these weights")
    options.add_argument(
        "--stop",
        type=int,
        metavar="STEP",
        help="end at this step of the schedule; --initial can start another run from the weights",
    )
    options.add_argument("--seed", type=int, default=0, help="seed of weights and patches")
    options.add_argument("--steps", type=int, default=7000, help="steps of the whole schedule")
    options.add_argument("--rate", type=float, default=1.2e-3, help="peak learning rate")
    options.add_argument("--depth", type=int, default=96, help="thin slices in a training patch, at most")
    options.add_argument(
        "--thick",
        type=int,
        default=16,
        help="thick slices in a training patch, at most; more if they would be under 40 thin ones",
    )
    options.add_argument("--size", type=int, default=40, help="pixels along each side of a training patch")
    options.add_argument("--batch", type=int, default=1, help="patches in a step")
    options.add_argument("--channels", type=int, default=32, help="channels of the network")
    options.add_argument("--blocks", type=int, default=5, help="residual blocks of the network")
    options.add_argument("--knees", type=int, default=24, help="simulated knees to train on")
    options.add_argument("--knee-side", type=int, default=KNEE_SIDE, help="samples of a simulated knee along each axis")
    options.add_argument("--clutter", type=int, default=24, help="simulated volumes of random shapes to train on")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="PyTorch device")
    options.add_argument("--threads", type=int, default=1, help="patches computed at once, one thread each")
    return options


def main(arguments: list[str]) -> int:
    """Train, calibrate and write the bundle; 0 on success, 2 if the output holds the state of another training."""
    options = parser().parse_args(arguments)
    if options.knee_side < MIN_SAMPLES:
        parser().error(f"--knee-side: should be {MIN_SAMPLES} or more")
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
        corpus = gather(options.seed, options.knees, options.clutter, options.data, options.exclude, options.knee_side)
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
    checkpoint_of(plan, corpus, options.output).remove()
    console.print(description["trained_on"])
    console.print("gain over cubic on held-back volumes, dB:", description["validation_gain_db"])
    return 0
