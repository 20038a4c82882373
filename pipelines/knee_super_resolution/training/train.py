"""Training: `condyle train knee_super_resolution`.

From simulated volumes alone, or with folders of real ones beside them. The same seed, steps and data give the same
weights; an interrupted run continues where it stopped. Each step draws from a generator of its own, seeded by the
run's seed and the step's number, so that nothing but weights and optimiser has to be kept.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import trained_on
from pipelines.device import UnusableDevice, resolved
from pipelines.knee_super_resolution import SHIPPED
from pipelines.knee_super_resolution.training.bundle_writer import MODELS
from pipelines.knee_super_resolution.training.corpus import Corpus, gather
from pipelines.knee_super_resolution.training.dictionary import save_dictionary, train_dictionary
from pipelines.knee_super_resolution.training.layouts import LAYOUTS
from pipelines.knee_super_resolution.training.plan import FACTORS
from pipelines.knee_super_resolution.training.volumes import KNEE_SIDE, MIN_SAMPLES
from pipelines.lab.arguments import existing_file
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import add_data, add_device, add_output, add_seed, add_threads, readable

TRAIN = "configs/train.json"


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
    sentences = {name: layout.sentence for name, layout in LAYOUTS.items()}
    add_data(options, "real thin-slice volumes to train on as well", sentences, "folder")
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


def overrides(options: argparse.Namespace, factor: float | None) -> dict[str, Any]:
    """What the options change in the bundle's `train.json`.

    Parameters
    ----------
    options
        Of the command.
    factor
        Ratio to train for; None: all.

    Raises
    ------
    UnusableDevice
        If this machine has no such device.
    """
    plan = ("steps", "rate", "depth", "thick", "size", "batch", "channels", "blocks", "threads")
    return {
        "output_dir": str(options.output),
        "dataset_dir": [str(folder) for folder in options.data],
        "layout": options.layout,
        "exclude": options.exclude,
        "device": str(resolved(options.device)),
        "seed": options.seed,
        "initial": str(options.initial) if options.initial else None,
        "stop": options.stop,
        **{f"corpus::{name}": getattr(options, name) for name in ("knees", "clutter", "knee_side")},
        **{f"plan::{name}": getattr(options, name) for name in plan},
        "plan::factor": factor,
    }


def main(arguments: list[str]) -> int:
    """Train, calibrate and write the bundle; 0 on success, 1 if the data or an older run is in the way."""
    options = parser().parse_args(arguments)
    if options.knee_side < MIN_SAMPLES:
        parser().error(f"--knee-side: should be {MIN_SAMPLES} or more")
    if options.method == "learned" and len(options.factor or ()) > 1:
        parser().error("--factor: this network is trained for one ratio or for all; name one, or leave it out")
    console = Console()
    try:
        if options.method == "scsr":
            corpus = gather(
                options.seed,
                options.knees,
                options.clutter,
                options.data,
                options.exclude,
                options.knee_side,
                layout=options.layout,
            )
            train_dictionaries(corpus, options.seed, FACTORS, options.output / MODELS, console)
            readable(options.output)
            return 0
        for factor in options.factor or (FACTORS if options.method == "deepresolve" else (None,)):
            training = train(options.method, overrides(options, factor))
            gain = training["validation_gain_db"]
            console.print(f"gain over cubic on {training['judged_on']}, dB:", gain, soft_wrap=True)
    except UnusableDevice as error:
        parser().error(f"argument --device: {error}")
    except (OSError, OtherTraining, UnsuitableInput) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    console.print(trained_on(options.output), soft_wrap=True)
    return 0


def train(method: str, changed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run the training workflow of a method's bundle, as `python -m monai.bundle run` does.

    Parameters
    ----------
    method
        learned or deepresolve.
    changed
        Values in place of those of its `train.json`, by their places.

    Returns
    -------
    Mapping
        What the metadata of the bundle say of the training.

    Raises
    ------
    OtherTraining
        If the output holds the state of a training of another plan, or on other data.
    """
    from monai.bundle import ConfigWorkflow

    logging.getLogger(ConfigWorkflow.__module__).setLevel(logging.ERROR)  # it warns that its log has no settings
    config = str(SHIPPED[method] / TRAIN)
    root = str(SHIPPED[method])
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, bundle_root=root, **changed)
    try:
        workflow.initialize()
        found: Mapping[str, Any] = workflow.run()[-1]
        workflow.finalize()
    except RuntimeError as error:
        raise _reason(error) from error
    return found


def _reason(error: BaseException) -> BaseException:
    """What is wrong, where MONAI wraps an error of ours in those of its parser; else the error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OtherTraining | UnsuitableInput):
        cause = cause.__cause__
    return cause or error
