"""Evaluation: `condyle evaluate knee_super_resolution`.

Every volume of a folder is degraded along each of its thin axes by each factor, restored by each method, and compared
with what it was. The degradation is the paper's: a 48th-order FIR low-pass along the slice axis with its cut-off at
the thick-slice Nyquist, then every k-th slice (`--profile` chooses another). All methods get the same thick slices,
scaled by the thick slices' 99.9th percentile, and those that use a forward model get the same one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import UnusableBundle
from pipelines.device import UnusableDevice
from pipelines.knee_super_resolution import BUNDLE, DEEPRESOLVE_BUNDLE, metrics
from pipelines.knee_super_resolution.evaluation import lesions, outliers
from pipelines.knee_super_resolution.evaluation.card import write_evaluation
from pipelines.knee_super_resolution.evaluation.methods import METHODS, NAMES, SHIPPED, Weights, restored
from pipelines.knee_super_resolution.evaluation.pages import write_page
from pipelines.knee_super_resolution.evaluation.rivals import SCSR
from pipelines.knee_super_resolution.evaluation.rows import FIGURES, Row, gains, summary, write_rows
from pipelines.knee_super_resolution.inference import GAUSSIAN_90
from pipelines.knee_super_resolution.model import warm_model
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.knee_super_resolution.training.layouts import LAYOUTS
from pipelines.knee_super_resolution.training.tasks import MIN_THICK, cropped, degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume, densified, read_volumes, simulated_volumes
from pipelines.lab.arguments import existing_folder, output_file
from pipelines.lab.card import write_section
from pipelines.lab.options import add_bundle, add_data, add_device, add_report, add_threads

WIDTH = 150


def judge(
    volume: ThinVolume,
    axis: int,
    factor: int,
    methods: Iterable[str],
    kind: str = "fir",
    weights: Weights = SHIPPED,
) -> Iterator[Row]:
    """The rows of one volume, axis and factor; a method without weights for the factor is left out.

    Parameters
    ----------
    volume, axis
        The volume, and which of its axes is degraded.
    factor
        Thin slices per thick slice.
    methods
        Names, see `methods.NAMES`.
    kind
        Sensitivity of a thick slice: fir, gaussian or boxcar.
    weights
        Of the methods.
    """
    task, truth = degraded(volume, axis, factor, kind)
    mask = metrics.foreground(truth)
    for method in methods:
        began = time.monotonic()
        coverage = None
        try:
            result, spread = restored(method, task, weights)
            if spread is not None:
                inside = np.abs(result - truth) <= GAUSSIAN_90 * spread
                coverage = float(inside[mask].mean())
        except FileNotFoundError:
            continue
        seconds = time.monotonic() - began
        yield Row(
            volume=volume.name,
            axis=axis,
            factor=factor,
            method=method,
            ssim=metrics.ssim(result, truth, mask),
            psnr_db=metrics.psnr_db(result, truth, mask),
            rmse=metrics.rmse(result, truth, mask),
            highband_error=metrics.highband_error(result, truth, factor),
            seconds=seconds,
            profile=kind,
            kind="simulated" if "simulated" in volume.name else "real",
            coverage_90=coverage,
            subject=volume.subject,
        )


def combinations(volumes: Iterable[ThinVolume], factors: Sequence[int]) -> list[tuple[ThinVolume, int, int]]:
    """Every volume with each of its thin axes and each factor that leaves enough slices."""
    return [
        (volume, axis, factor)
        for volume in volumes
        for axis in volume.thin_axes
        for factor in factors
        if (volume.array.shape[axis] - 1) // factor + 1 >= MIN_THICK
    ]


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table, best figure of each factor in bold."""
    for kind in dict.fromkeys(row.kind for row in rows):
        chosen = [row for row in rows if row.kind == kind]
        table = Table(title=f"{kind} volumes, mean over volumes and axes, 95 % interval over subjects")
        for heading in ("k", "method", "SSIM", "pSNR dB", "RMSE", "error above Nyquist", "seconds"):
            table.add_column(heading)
        tables = {figure: summary(chosen, figure) for figure in (*FIGURES, "seconds")}
        for factor, method in tables["ssim"]:
            cells = {figure: tables[figure][factor, method] for figure in tables}
            shown = [
                f"{cells[figure].mean:.{digits}f} ({cells[figure].low:.{digits}f}-{cells[figure].high:.{digits}f})"
                for figure, digits in zip(FIGURES, (4, 2, 4, 3), strict=True)
            ]
            table.add_row(str(factor), method, *shown, f"{cells['seconds'].mean:.1f}")
        console.print(table)


def _factors(text: str) -> list[int]:
    """Whole numbers from 2 on, separated by commas."""
    parts = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdigit() and int(each) > 1 for each in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: should be whole numbers from 2 on, separated by commas")
    return [int(each) for each in parts]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="condyle evaluate knee_super_resolution",
        description="Degrade thin-slice volumes along each axis, restore them by every method and compare.",
    )
    sentences = {name: layout.sentence for name, layout in LAYOUTS.items()}
    add_data(options, "thin-slice volumes", sentences, "folder")
    add_bundle(options)
    add_report(options)
    for name, default in (("deepresolve", DEEPRESOLVE_BUNDLE), ("scsr", SCSR)):
        options.add_argument(
            f"--{name}",
            type=existing_folder,
            default=default,
            metavar="FOLDER",
            help=f"weights of {name}, as `condyle train` writes them; default: those of the repository",
        )
    options.add_argument(
        "--exclude", action="append", default=[], metavar="WORD", help="leave out volumes whose name contains this word"
    )
    options.add_argument(
        "--simulated", type=int, default=0, metavar="N", help="add N simulated knees that were not trained on"
    )
    options.add_argument(
        "--factors", type=_factors, default="2,3,4,8", help="whole ratios of thick to thin slices, separated by commas"
    )
    options.add_argument(
        "--methods",
        default=",".join(METHODS),
        help="methods, separated by commas; selfsr is possible too, but slow: it trains on each volume",
    )
    options.add_argument(
        "--profile", choices=("fir", "gaussian", "boxcar"), default="fir", help="slice profile of the thick slices"
    )
    options.add_argument(
        "--largest",
        type=int,
        default=0,
        metavar="N",
        help="measure only the central box of at most N samples along each axis",
    )
    options.add_argument("--json", type=output_file, metavar="FILE", help="write the figures as JSON")
    options.add_argument("--card", type=output_file, metavar="FILE", help="replace the table in this model card")
    options.add_argument("--lesions", action="store_true", help="also measure how small lesions survive")
    options.add_argument(
        "--knee",
        type=existing_folder,
        metavar="FOLDER",
        help="a knee series, to measure the input checks with --others",
    )
    options.add_argument(
        "--others",
        type=existing_folder,
        action="append",
        default=[],
        metavar="FOLDER",
        help="series of other body parts",
    )
    add_threads(options, 2)
    add_device(options)
    return options


def measure(arguments: Mapping[str, object]) -> int:
    """Evaluate as the command does, with its options by their names; what a bundle's `evaluate.json` runs.

    Parameters
    ----------
    arguments
        Value of each option; a list for one that may be repeated, nothing for one that is left out.

    Returns
    -------
    int
        As `main`.

    Raises
    ------
    ValueError
        If it could not be done; what is wrong was printed.
    """
    words = []
    for name, value in arguments.items():
        for each in value if isinstance(value, list) else [value] if value is not None else []:
            words += [f"--{name}", str(each)]
    code = main(words)
    if code:
        raise ValueError(f"the evaluation ended with {code}, see above")
    return code


EVALUATION_SEED = 9_000_001  # of simulated knees that training never draws


def main(arguments: list[str]) -> int:
    """Evaluate, print the table and write what was asked for; 0 on success, 1 if data or bundle cannot be used."""
    options = parser().parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)  # of a log; a narrow one would cut the intervals
    torch.set_num_threads(options.threads)
    factors = options.factors
    methods = options.methods.split(",")
    unknown = sorted(set(methods) - set(NAMES))
    if unknown:
        console.print(f"unknown method {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    if options.knee is not None and not options.others:
        console.print("--knee needs --others")
        return 2
    try:
        volumes = [
            *_volumes(options.data, options.exclude, options.layout),
            *simulated_volumes(EVALUATION_SEED, options.simulated, 0),
        ]
        weights = Weights(options.bundle or BUNDLE, options.deepresolve, options.scsr, options.device)
        if "learned" in methods:
            warm_model(weights.bundle, weights.device)  # what is wrong with it is said before anything is measured
    except UnusableDevice as error:
        parser().error(f"argument --device: {error}")
    except (UnsuitableInput, UnusableBundle, OSError) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    if options.largest:
        volumes = [cropped(volume, options.largest) for volume in volumes]
    chosen = combinations(volumes, factors)
    if not chosen:
        console.print("no volume with a thinly sampled axis of at least 24 samples was found")
        return 1
    rows: list[Row] = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("evaluating", total=len(chosen))
        for volume, axis, factor in chosen:
            rows += judge(volume, axis, factor, methods, options.profile, weights)
            progress.update(task, advance=1, description=f"{volume.name}, axis {axis}, k = {factor}")
            if options.json:
                write_rows(options.json, rows)
    missing = [method for method in methods if method not in {row.method for row in rows}]
    if missing:
        console.print(f"no weights for {', '.join(missing)}: left out")
    show(rows, console)
    for against in [method for method in methods if method != "learned"]:
        for factor, (cell, p) in gains(rows, against).items() if "learned" in methods else ():
            console.print(
                f"k = {factor}: learned - {against} {cell.mean:+.2f} dB "
                f"({cell.low:+.2f} to {cell.high:+.2f}, {cell.rows} pairs, Wilcoxon p = {p:.2g})"
            )
    if options.report:
        console.print(f"written: {write_page(options.report, rows, volumes, weights, options.profile)}", soft_wrap=True)
    if options.card:
        write_evaluation(options.card, rows)
    if options.lesions:
        _lesions(volumes, factors, methods, console, options.card, weights)
    if options.others:
        _outliers(options.knee, options.others, console, options.card)
    return 0


def _lesions(
    volumes: Sequence[ThinVolume],
    factors: Sequence[int],
    methods: Sequence[str],
    console: Console,
    card: Path | None,
    weights: Weights,
) -> None:
    """Run the small-lesion test on the first thin axis of each volume, print it and write it into the card."""
    judged = []
    for volume, axis, factor in combinations(volumes, factors):
        if axis == volume.thin_axes[0]:
            judged += lesions.judge_lesions(volume, axis, factor, methods, weights=weights)
    table = lesions.summary(judged)
    console.print(table)
    if card:
        write_section(card, "lesions", table)


def _outliers(knee: Path | None, others: Sequence[Path], console: Console, card: Path | None) -> None:
    """Score knees and what is not one by the gates, print the AUROC and write it into the card."""
    spoiled = [
        thin_volumes.simulate_knee(EVALUATION_SEED + number, (96, 128, 128), 0.8, contrast).array[::4]
        for number, contrast in enumerate(thin_volumes.CONTRASTS)
    ]
    text = outliers.table(outliers.knees(knee), outliers.outliers(others, spoiled))
    console.print(text)
    if card:
        write_section(card, "gates", text)


def _volumes(folders: Iterable[Path], excluded: Sequence[str], layout: str) -> Iterator[ThinVolume]:
    for folder in folders:
        for volume in read_volumes(folder, LAYOUTS[layout]):
            if not any(word in f"{folder.name} {volume.subject} {volume.name}" for word in excluded):
                yield densified(volume) if not volume.thin_axes else volume
