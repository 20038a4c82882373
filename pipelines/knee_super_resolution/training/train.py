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

from rich.console import Console

from dicom_sr.errors import UnsuitableInput
from pipelines.device import UnusableDevice, resolved
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.bundle_writer import (
    MODELS,
    save_calibration,
    save_weights,
    stem,
    write_description,
)
from pipelines.knee_super_resolution.training.corpus import Corpus, gather
from pipelines.knee_super_resolution.training.description import calibrate, facts
from pipelines.knee_super_resolution.training.dictionary import save_dictionary, train_dictionary
from pipelines.knee_super_resolution.training.fit import checkpoint_of, fit
from pipelines.knee_super_resolution.training.plan import FACTORS, Plan
from pipelines.knee_super_resolution.training.volumes import KNEE_SIDE, MIN_SAMPLES
from pipelines.lab.arguments import existing_file
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import add_data, add_device, add_output, add_seed, add_threads, readable

LAYOUTS = {"folder": "NIfTI, MetaImage, NRRD and DICOM in any depth; the first folder names the subject"}


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
        description="Train a super-resolution network on simulated knees and, where given, on real thin-slice MR.",
    )
    add_output(options)
    add_data(options, "real thin-slice volumes to train on as well", LAYOUTS, "folder")
    options.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="WORD",
        help="leave out volumes whose folder or file name contains this word; may be repeated",
    )
    options.add_argument(
        "--method",
        choices=("learned", "deepresolve", "scsr"),
        default="learned",
        help="learned: this pipeline's network; deepresolve: the published one; scsr: dictionaries for evaluations",
    )
    options.add_argument(
        "--factor",
        type=float,
        action="append",
        help="learned: for this ratio of slice spacings only; deepresolve: for this ratio, may be repeated; default: "
        + ", ".join(map(str, FACTORS)),
    )
    options.add_argument("--initial", type=existing_file, metavar="FILE", help="start from these weights")
    options.add_argument(
        "--stop",
        type=int,
        metavar="STEP",
        help="end at this step of the schedule; --initial can start another run from the weights",
    )
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
    add_seed(options)
    add_device(options)
    add_threads(options)
    return options


def plans(options: argparse.Namespace) -> list[Plan]:
    """One for each network that the options ask for.

    Raises
    ------
    UnusableDevice
        If this machine has no such device.
    """
    common = {
        name: getattr(options, name)
        for name in ("seed", "steps", "rate", "depth", "thick", "size", "batch", "channels", "blocks", "threads")
    }
    device = str(resolved(options.device))
    if options.method == "deepresolve":
        factors = options.factor or FACTORS
        return [Plan("deepresolve", float(factor), device=device, **common) for factor in factors]
    (factor,) = options.factor or (None,)
    return [Plan("learned", factor, device=device, **common)]


def main(arguments: list[str]) -> int:
    """Train, calibrate and write the bundle; 0 on success, 2 where options, data or an older run are in the way."""
    options = parser().parse_args(arguments)
    if options.knee_side < MIN_SAMPLES:
        parser().error(f"--knee-side: should be {MIN_SAMPLES} or more")
    if options.method == "learned" and len(options.factor or ()) > 1:
        parser().error("--factor: this network is trained for one ratio or for all; name one, or leave it out")
    console = Console()
    try:
        chosen = plans(options)
        with console.status("simulating and reading volumes"):
            corpus = gather(
                options.seed, options.knees, options.clutter, options.data, options.exclude, options.knee_side
            )
        counts = f"{len(corpus.simulated)} simulated and {len(corpus.real)} real volumes"
        console.print(f"{counts}, {len(corpus.validation)} held back")
        if options.method == "scsr":
            train_dictionaries(corpus, options.seed, FACTORS, options.output / MODELS, console)
            readable(options.output)
            return 0
        trainings = {
            stem(plan): train(plan, corpus, options.output, console, options.initial, options.stop) for plan in chosen
        }
    except (OtherTraining, UnusableDevice, UnsuitableInput) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    write_description(chosen[0].method, corpus, trainings, options.output)
    console.print(corpus.sentence())
    for name, training in trainings.items():
        console.print(f"{name}: gain over cubic on held-back volumes, dB:", training["validation_gain_db"])
    return 0


def train(
    plan: Plan, corpus: Corpus, output: Path, console: Console, initial: Path | None = None, stop: int | None = None
) -> dict[str, Any]:
    """Train one network, write its weights and what belongs to them, and return what the metadata say of it.

    Parameters
    ----------
    plan, corpus
        How, and on what.
    output
        Folder of the bundle.
    console
        Where progress is shown.
    initial
        Weights to start from.
    stop
        Step to end at.

    Raises
    ------
    OtherTraining
        If `output` holds the state of a training of another plan, or on other data.
    """
    began, worked = time.monotonic(), time.process_time()
    room = output / "training" / stem(plan)
    network = fit(plan, corpus, room, console, initial, stop).to("cpu").eval()
    found = facts(network, plan, corpus, stop or plan.steps) | {
        "seconds": round(time.monotonic() - began),
        "core_seconds": round(time.process_time() - worked),  # of this process: a run taken up again counts from there
    }
    if initial:
        found["initial_sha256"] = hashlib.sha256(initial.read_bytes()).hexdigest()
    if isinstance(network, ThinSliceNet):
        save_calibration(calibrate(network, corpus), output)
    save_weights(network, plan, output)
    checkpoint_of(plan, corpus, room).remove()
    return found
