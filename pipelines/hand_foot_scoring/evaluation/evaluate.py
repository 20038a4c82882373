"""Evaluation: `condyle evaluate hand_foot_scoring`, on simulated patients or on real data in a known layout."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from rich.console import Console

from pipelines.bundle_configs import UnusableBundle
from pipelines.device import UnusableDevice
from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.calibration import DEFAULT_POOLING, POOLINGS
from pipelines.hand_foot_scoring.evaluation.comparisons import compare_branches, compare_losses
from pipelines.hand_foot_scoring.evaluation.marked_films import evaluate_marked
from pipelines.hand_foot_scoring.evaluation.real import evaluate_films, evaluate_graded, evaluate_landmarks
from pipelines.hand_foot_scoring.evaluation.simulated import evaluate_simulated
from pipelines.hand_foot_scoring.evaluation.style import compare_styles
from pipelines.hand_foot_scoring.evaluation.surrogate import BINS
from pipelines.hand_foot_scoring.simulation.marked import OtherPicture
from pipelines.hand_foot_scoring.training.data import layouts
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import SETS, SHARES
from pipelines.hand_foot_scoring.training.plan import EPOCHS, PATIENTS
from pipelines.lab.arguments import (
    count,
    existing_file,
    existing_folder,
    existing_path,
    output_file,
    share,
    whole_number,
)
from pipelines.lab.options import add_bundle, add_device, add_report, add_seed, add_threads

MODES = ("ablation", "multi_task", "style", "marked")  # each measures something by itself


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="condyle evaluate hand_foot_scoring", description=__doc__)
    made.add_argument("--data", type=existing_path, help="folder of real data; simulated patients if omitted")
    made.add_argument(
        "--layout",
        choices=(*layouts.LAYOUTS, "films"),
        help=f"of --data. {layouts.HELP}; films: any pictures, without anything to hold the readings against",
    )
    add_report(made)
    made.add_argument(
        "--reports",
        type=existing_folder,
        help="with --layout films --report: folder of reports that the node wrote, whose readings go into films.csv",
    )
    made.add_argument(
        "--set",
        choices=("all", *SETS),
        help="of the graded films; else those kept apart when the bundle was trained on these data, or all",
    )
    made.add_argument("--sets", type=share, nargs=3, default=SHARES, metavar="SHARE", help="as in training")
    made.add_argument("--ablation", action="store_true", help="train every loss anew on the same simulated patients")
    made.add_argument(
        "--multi-task", action="store_true", help="train on crops, on the localiser's features, and on both"
    )
    made.add_argument("--style", action="store_true", help="compare the looks of simulated crops and of real ones")
    made.add_argument("--marked", action="store_true", help="read the marked pictures at their marks")
    made.add_argument(
        "--films",
        type=existing_folder,
        help="folder of the marked pictures (and of the micro-CT, for --style); --ablation learns from them too",
    )
    add_bundle(made)
    made.set_defaults(bundle=BUNDLE)
    made.add_argument(
        "--pooling",
        choices=POOLINGS,
        default=DEFAULT_POOLING,
        help="what a score depends on besides its own joint",
    )
    made.add_argument("--bins", type=existing_file, default=BINS, help="damage bins of the surrogate metrics, YAML")
    made.add_argument("--json", type=output_file, help="file to write the figures to")
    add_seed(made)
    made.add_argument("--seeds", type=count, default=3, help="number of seeds of a comparison")
    made.add_argument("--patients", type=count, default=150, help="number of simulated patients to measure on")
    made.add_argument(
        "--limbs",
        type=whole_number,
        default=15,
        help="simulated hands and feet of each age to look for open growth plates on",
    )
    made.add_argument(
        "--train-patients", type=count, default=PATIENTS, help="number of patients to train on in a comparison"
    )
    made.add_argument("--epochs", type=count, default=EPOCHS, help="training epochs in a comparison")
    add_threads(made)
    add_device(made)
    return made


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 0 on success, 1 if data or bundle cannot be used, 2 if the options cannot."""
    options = parser().parse_args(arguments)
    console = Console()
    try:
        measured(options, console)
    except (UnusableDevice, WrongOptions) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    except (OSError, OtherPicture, UnreadableData, UnusableBundle) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    return 0


class WrongOptions(ValueError):
    """Options do not go together; the message says which."""


class Evaluation:
    """The evaluation that `configs/evaluate.json` describes.

    Parameters
    ----------
    **values
        Options of the command by their names, with underscores; None: not given.
    """

    def __init__(self, **values: object) -> None:
        given = {name.replace("_", "-"): value for name, value in values.items() if value is not None}
        self.words = [word for name, value in given.items() for word in (f"--{name}", str(value))]

    def run(self) -> Any:
        """The figures.

        Raises
        ------
        WrongOptions, UnreadableData, UnusableBundle, UnusableDevice
            As the command says it.
        """
        return measured(parser().parse_args(self.words), Console())


def measured(options: argparse.Namespace, console: Console) -> Any:
    """The figures that options ask for, printed and, with `--json`, written.

    Raises
    ------
    WrongOptions
        If options do not go together.
    """
    torch.set_num_threads(options.threads)
    if why_not := _mismatch(options):
        raise WrongOptions(why_not)
    figures = _measured(options, console)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def _mismatch(options: argparse.Namespace) -> str:
    """Why options do not go together, "" where they do: none of them is left out in silence."""
    if (options.data is None) != (options.layout is None):
        return "--data and --layout must be given together"
    modes = [f"--{name.replace('_', '-')}" for name in MODES if getattr(options, name)]
    if options.layout is not None:
        modes.append("--layout")
    if len(modes) > 1:
        return f"{' and '.join(modes)} cannot be given together"
    if (options.style or options.marked) and options.films is None:
        return "--style and --marked need --films"
    if options.films is not None and not (options.style or options.marked or options.ablation):
        return "--films is for --style, --marked and --ablation; real films are read with --data and --layout films"
    graded = options.layout in layouts.LAYOUTS and options.layout != "landmarks"
    if options.report is not None and not graded and options.layout != "films":
        return "--report needs --data with graded films or with --layout films"
    if options.reports is not None and (options.layout != "films" or options.report is None):
        return "--reports needs --layout films and --report"
    if options.set is not None and not graded:
        return "--set needs --data with graded films"
    if options.data is not None and not options.data.is_dir() and options.layout != "own":
        return f"--data: {options.data} is a file, should be a folder"
    return ""


def _measured(options: argparse.Namespace, console: Console) -> Any:
    if options.layout == "landmarks":
        return evaluate_landmarks(options, console)
    if options.layout == "films":
        return evaluate_films(options, console)
    if options.layout is not None:
        return evaluate_graded(options, console)
    if options.style:
        return compare_styles(options, console)
    if options.marked:
        return evaluate_marked(options, console)
    if options.ablation:
        return compare_losses(options, console)
    if options.multi_task:
        return compare_branches(options, console)
    return evaluate_simulated(options, console)
