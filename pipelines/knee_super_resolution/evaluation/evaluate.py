"""Evaluation: `condyle evaluate knee_super_resolution`.

Every volume of a folder is degraded along each of its thin axes by each factor, restored by each method, and compared
with what it was. The degradation is the paper's: a 48th-order FIR low-pass along the slice axis with its cut-off at
the thick-slice Nyquist, then every k-th slice (`--profile` chooses another). All methods get the same thick slices,
scaled by the thick slices' 99.9th percentile, and those that use a forward model get the same one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dicom_sr.errors import UnsuitableInput
from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.evaluation import lesions, outliers
from pipelines.knee_super_resolution.evaluation.card import write_evaluation
from pipelines.knee_super_resolution.evaluation.methods import METHODS, RESTORE, ours
from pipelines.knee_super_resolution.evaluation.rows import FIGURES, Row, gains, summary
from pipelines.knee_super_resolution.inference import GAUSSIAN_90
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.knee_super_resolution.training.tasks import MIN_THICK, cropped, degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume, densified, read_volumes, simulated_volumes
from pipelines.lab.arguments import existing_folder, output_file
from pipelines.lab.card import write_section

WIDTH = 150


def judge(volume: ThinVolume, axis: int, factor: int, methods: Iterable[str], kind: str = "fir") -> Iterator[Row]:
    """The rows of one volume, axis and factor; a method without weights for the factor is left out.

    Parameters
    ----------
    volume, axis
        The volume, and which of its axes is degraded.
    factor
        Thin slices per thick slice.
    methods
        Names, see `methods.RESTORE`.
    kind
        Sensitivity of a thick slice: fir, gaussian or boxcar.
    """
    task, truth = degraded(volume, axis, factor, kind)
    mask = metrics.foreground(truth)
    for method in methods:
        began = time.monotonic()
        coverage = None
        try:
            if method == "learned":
                result, spread = ours(task)
                inside = np.abs(result - truth) <= GAUSSIAN_90 * spread
                coverage = float(inside[mask].mean())
            else:
                result = RESTORE[method](task)
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
        table = Table(title=f"{kind} volumes, mean and 95 % interval over volumes and axes")
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
    options.add_argument(
        "--data",
        type=existing_folder,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of thin-slice volumes (NIfTI, MetaImage or DICOM); may be repeated",
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
    options.add_argument("--threads", type=int, default=2, help="CPU threads")
    return options


EVALUATION_SEED = 9_000_001  # of simulated knees that training never draws


def main(arguments: list[str]) -> int:
    """Evaluate, print the table and write what was asked for; 0 on success, 1 without volumes, 2 if one is damaged."""
    options = parser().parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)  # of a log; a narrow one would cut the intervals
    torch.set_num_threads(options.threads)
    factors = options.factors
    methods = options.methods.split(",")
    unknown = sorted(set(methods) - set(RESTORE))
    if unknown:
        console.print(f"unknown method {', '.join(unknown)}; there are {', '.join(RESTORE)}")
        return 2
    if options.knee is not None and not options.others:
        console.print("--knee needs --others")
        return 2
    try:
        volumes = [*_volumes(options.data, options.exclude), *simulated_volumes(EVALUATION_SEED, options.simulated, 0)]
    except UnsuitableInput as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
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
            rows += judge(volume, axis, factor, methods, options.profile)
            progress.update(task, advance=1, description=f"{volume.name}, axis {axis}, k = {factor}")
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
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
    if options.card:
        write_evaluation(options.card, rows)
    if options.lesions:
        _lesions(volumes, factors, methods, console, options.card)
    if options.others:
        _outliers(options.knee, options.others, console, options.card)
    return 0


def _lesions(
    volumes: Sequence[ThinVolume], factors: Sequence[int], methods: Sequence[str], console: Console, card: Path | None
) -> None:
    """Run the small-lesion test on the first thin axis of each volume, print it and write it into the card."""
    judged = []
    for volume, axis, factor in combinations(volumes, factors):
        if axis == volume.thin_axes[0]:
            judged += lesions.judge_lesions(volume, axis, factor, methods)
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


def _volumes(folders: Iterable[Path], excluded: Sequence[str]) -> Iterator[ThinVolume]:
    for folder in folders:
        for volume in read_volumes(folder):
            if not any(word in f"{folder.name} {volume.subject} {volume.name}" for word in excluded):
                yield densified(volume) if not volume.thin_axes else volume
