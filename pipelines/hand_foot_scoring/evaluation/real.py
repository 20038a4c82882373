"""Real data in a known layout: places of joints, graded films, films without grades."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from dicom_sr.words import counted
from pipelines.bundle_configs import trained_on
from pipelines.hand_foot_scoring import LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.evaluation import agreement, graded, graded_report, landmarks
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading, read_file
from pipelines.hand_foot_scoring.evaluation.film_table import HEADING, FilmsReport, reported
from pipelines.hand_foot_scoring.evaluation.film_table import row as film_row
from pipelines.hand_foot_scoring.evaluation.surrogate import read_edges
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.provenance import read_provenance
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.training.data import layouts
from pipelines.hand_foot_scoring.training.data.digests import films_digest
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, films_in
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm, GradedSet, SetName, divided


def evaluate_landmarks(options: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Measure the localiser of a bundle on pictures whose sites are known: one row per label.

    The table has a row per picture and one of all hands and all feet; pictures that may have been trained on are
    counted apart.
    """
    finder = Finder(weights.load_localiser(options.bundle / LOCALISER), load_shapes(options.bundle / SHAPE))
    rows = landmarks.measure_folder(options.data, finder)
    columns = ("picture", "use", "found as", "sites", "found", "within 4 %", "median", "worst")
    table = Table(*columns, title=str(options.data.name), caption="Errors in lengths of hand or foot.")
    for name in dict.fromkeys(row.picture for row in rows):
        of_picture = [row for row in rows if row.picture == name]
        _summary_row(table, name, of_picture[0].use, of_picture[0].limb or "not found", of_picture)
    for part, use in dict.fromkeys((row.part, row.use) for row in rows):
        _summary_row(table, "all", use, part, [row for row in rows if (row.part, row.use) == (part, use)])
    console.print(table)
    return [asdict(row) for row in rows]


def _summary_row(table: Table, name: str, use: str, limb: str, rows: list[landmarks.Row]) -> None:
    summary = landmarks.summarise(rows)
    errors = (f"{summary.median:.4f}", f"{summary.worst:.4f}") if summary.found else ("-", "-")
    table.add_row(name, use, limb, str(summary.sites), str(summary.found), f"{summary.within_4_percent:.1%}", *errors)


def evaluate_graded(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure a bundle on graded films.

    Raises
    ------
    UnreadableData
        If the data are not as they should be, no film of the wanted set is there, or none of its cells could be read.
    """
    read = layouts.read(options.layout, options.data, places=options.report is not None)
    for remark in read.remarks:
        console.print(remark, markup=False, highlight=False, soft_wrap=True)
    films, which = _wanted(options, read)
    if not films:
        raise UnreadableData(f"{options.data}: no film is in the set {options.set!r}")
    console.print(f"{which}: {counted(len(films), 'film')}", markup=False, highlight=False)
    reader = Reader(weights.load(options.bundle, options.device))
    done = graded.read_films(
        films, reader, options.pooling, lambda n: console.print(f"{n} films read") if n % 50 == 0 else None
    )
    correlation = reader.trained.calibration.correlation(options.pooling)
    figures = {"data": read.name, "set": which, **graded.figures(done, correlation, read_edges(options.bins))}
    _print(figures, console)
    if options.report is not None:
        page = graded_report.write(options.report, done, figures, correlation, trained_on(options.bundle))
        console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
    if not figures["read_cells"]:
        raise UnreadableData(f"{options.data}: nothing was measured: no graded cell could be read")
    return figures


def evaluate_films(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Read every film below a folder: what was found on each, without anything to hold it against.

    With `--report FOLDER` it writes contact sheets, a page, and `films.csv`: a table of the readings in the layout
    "own", for readers to correct.

    Raises
    ------
    UnreadableData
        If there is no picture in the folder, or none that can be read.
    """
    paths = films_in(options.data)
    if not paths:
        raise UnreadableData(f"{options.data} holds no picture (PNG, JPEG, BMP, TIFF, MetaImage, DICOM)")
    reader = Reader(weights.load(options.bundle, options.device))
    report = None
    if options.report is not None:
        earlier = {} if options.reports is None else reported(options.reports)
        report = FilmsReport(options.report, options.data, trained_on(options.bundle), earlier)
    rows = []
    unreadable = 0
    for path in paths:
        one = read_file(path, reader, options.pooling)
        rows.append(film_row(one, options.data))
        console.print(": ".join((rows[-1][0], _line(one))), markup=False, highlight=False, soft_wrap=True)
        unreadable += one.unreadable
        if report is not None:
            report.add(one)
    if report is not None:
        console.print(f"report: {report.write()}", markup=False, highlight=False, soft_wrap=True)
    if unreadable:
        told = f"{options.data}: {unreadable} of {counted(len(paths), 'file')} cannot be read"
        if unreadable == len(paths):
            raise UnreadableData(f"{told}: see above")
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    return {"films": [dict(zip(HEADING, row, strict=True)) for row in rows]}


def _line(one: FilmReading) -> str:
    """What was found on a film, and what is remarked on it, in a line."""
    if one.refusal:
        found = f"taken for {one.shown}; {one.refusal}" if one.limbs else one.refusal
    else:
        missing = "".join(f"; {count} x {reason}" for reason, count in one.reasons.items())
        found = f"{one.shown}, {one.result}{missing if one.scored else ''}"
    return "; ".join((found, *one.remarks))


def _wanted(options: argparse.Namespace, read: GradedSet) -> tuple[tuple[GradedFilm, ...], str]:
    """The films to measure on: those kept apart when the bundle was trained, unless others are asked for; and which.

    Patients are drawn into the sets by their names, so that those of the training stay in it when films are added.
    """
    trained = [
        (record.seed, source)
        for record in read_provenance(options.bundle).parts.values()
        for source in record.sources
        if source.layout == options.layout
    ]
    seed, shares = (trained[0][0], trained[0][1].sets) if trained else (options.seed, tuple(options.sets))
    chosen = options.set or ("test" if trained else "all")
    same = bool(trained) and films_digest(read.films) in {source.data_sha256 for _, source in trained}
    if chosen == "all":
        return read.films, "all films" + (", also those that the bundle was trained on" if trained else "")
    kept = divided(read.films, seed, shares)[cast(SetName, chosen)]
    said = f"{chosen} set, divided with seed {seed}"
    if trained and chosen == "test":
        said += ", kept apart when the bundle was trained" + (
            "" if same else " (the data have changed since, or are others)"
        )
    elif trained:
        said += f", which the bundle was {'trained' if chosen == 'training' else 'calibrated'} on"
    return kept, f"{said}; --set all would measure on all {len(read.films)} films"


def _print(figures: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"{figures['read_cells']} of {figures['graded_cells']} graded cells were read, on"
        f" {figures['films'] - figures['films_not_read']} of {figures['films']} films",
        highlight=False,
    )
    for reason, count in figures["not_read"].items():
        console.print(f"  not read: {count} x {reason}", markup=False, highlight=False, soft_wrap=True)
    table = Table("head", "joints", *agreement.AGREEMENT_COLUMNS, title=str(figures["data"]))
    for head, rows in figures["agreement"].items():
        for name, row in rows.items():
            table.add_row(head, name, *(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)
    for key in ("calibration_error", "totals", "interval_coverage", "surrogate", "places", "erosions"):
        if figures.get(key) is not None:
            console.print(f"{key.replace('_', ' ')}: {figures[key]}", markup=False, highlight=False, soft_wrap=True)
