"""`condyle compare`: the results of two routes on the same images, disagreements first."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.table import Table
from rich.text import Text

from dicom_sr.words import capital, counted, did_you_mean
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.terminal import console, print_whole
from node.config import Configuration
from node.data_folder import job_folder
from node.database.connection import Database
from node.local.saving import require_free
from node.models.agreement import FEWEST, grade_order
from node.models.comparison import Comparison, Pair, Paired, compared, paired
from node.models.images import Agreement, regions, volumes
from node.models.versions import Versions
from node.run.job_folder import Damaged, JobFolder
from node.run.kept_summaries import kept_summaries
from node.run.result_summary import code_text
from pipelines.base import own_scale
from pipelines.registry import UnknownPipeline, pipeline_type

if TYPE_CHECKING:
    from dicom_sr.findings import Result

Rows: TypeAlias = Sequence[Sequence[str]]
LISTED = 20  # disagreements on the terminal; all are in the JSON and in the report
SHOWN = 8  # difference images in a report
FIRST = 12  # characters of a digest or an id that are shown


@dataclass
class _Images:
    """What regions and volumes agree, pair by pair."""

    found: list[tuple[Pair, Agreement]] = field(default_factory=list)
    not_kept: int = 0  # pairs of which a result is no longer kept, or not whole

    def of(self, measure: str) -> list[tuple[Pair, Agreement]]:
        """Those that were measured so, the worst first."""
        chosen = [one for one in self.found if one[1].measure == measure]
        sign = 1.0 if measure == "Dice" else -1.0
        return sorted(chosen, key=lambda one: -math.inf if one[1].value is None else sign * one[1].value)


def compare(
    first: str, second: str, since: datetime, config: Path, *, as_json: bool = False, out: Path | None = None
) -> int:
    """Print how far the results of two routes agree.

    Parameters
    ----------
    first, second
        Names of the routes, such as one and its shadow.
    since
        Only jobs that were created then or later.
    config
        The configuration file.
    as_json
        Print everything as JSON.
    out
        A folder for a report with pictures.
    """
    complaints = console(error=True)
    configuration, database = opened(config)
    for route in (first, second):
        if route not in configuration.routes:
            known = ", ".join(configuration.routes) or "none"
            guess = did_you_mean(route, list(configuration.routes))
            complaints.print(f"{route!r}: no such route; there are: {known}{guess}", markup=False)
            return USAGE
    try:
        if out is not None:
            require_free(out, [])
    except OSError as error:
        complaints.print(f"--out: {out}: cannot be written: {error.strerror}", markup=False)
        return USAGE
    pairs = paired(database, first, second, since)
    jobs = [job.id for pair in pairs.pairs for job in (pair.first, pair.second)]
    summaries = kept_summaries(configuration.node.data, jobs)
    comparison = compared(pairs.pairs, summaries, _own_scale(configuration.routes[first].pipeline))
    images = _images(configuration, pairs)
    if as_json:
        console().print_json(json.dumps(_as_json(first, second, since, pairs, comparison, images)))
    else:
        _print(first, second, since, pairs, comparison, images)
        for sentence in _next_step(configuration, database, first, second):
            console().print()
            console().print(sentence, markup=False)
    if out is not None:
        page = _report(out, first, second, since, pairs, comparison, images)
        complaints.print(f"report: {page}", markup=False)
    return OK if pairs.pairs else NOT_RIGHT


def _own_scale(pipeline: str) -> frozenset[str]:
    """The codes, as summaries have them, of measurements that two models are not compared by."""
    try:
        return frozenset(map(code_text, own_scale(pipeline_type(pipeline))))
    except UnknownPipeline:  # it is no longer installed
        return frozenset()


def _folder(configuration: Configuration, job_id: str) -> JobFolder:
    return JobFolder(job_folder(configuration.node.data.absolute(), job_id), configuration.records.key_file)


def _images(configuration: Configuration, pairs: Paired) -> _Images:
    """Regions and volumes of all pairs; one pair's results are in memory at a time."""
    images = _Images()
    for pair in pairs.pairs:
        if pair.both_have_results:
            one, two = (_result(configuration, job.id) for job in (pair.first, pair.second))
            if one is None or two is None:
                images.not_kept += 1
            else:
                images.found += [(pair, each) for each in (*regions(one, two), *volumes(one, two))]
    return images


def _result(configuration: Configuration, job_id: str) -> Result | None:
    folder = _folder(configuration, job_id)
    note = folder.finished_result()
    try:
        return None if note is None else folder.read_result(note.sha256)
    except Damaged:
        return None


# ---- on the terminal
def _print(first: str, second: str, since: datetime, pairs: Paired, comparison: Comparison, images: _Images) -> None:
    out = console()
    for sentence in _sentences(first, second, since, pairs, images):
        out.print(sentence, markup=False)
    if comparison.disagreements:
        out.print()
        out.print("[bold]disagreements[/]")
        print_whole(out, _table(("What", first, second, "Jobs"), _disagreements(comparison)[:LISTED]))
        if (more := len(comparison.disagreements) - LISTED) > 0:
            out.print(f"... and {more:,} more; --json and --out have them all")
    for title, (heading, rows) in _tables(comparison, images).items():
        if rows:
            out.print()
            out.print(f"[bold]{title}[/]")
            print_whole(out, _table(heading, rows))


def _next_step(configuration: Configuration, database: Database, route: str, shadow: str) -> list[str]:
    """How the model of a shadow comes into force in its route; nothing for two other routes, or for the same model."""
    chosen = configuration.routes[shadow]
    if chosen.shadow_of != route or chosen.pipeline != configuration.routes[route].pipeline:
        return []
    row = Versions(database, configuration.node.data).in_force(shadow)
    bundle = chosen.settings.get("bundle") if row is None or row.bundle is None else row.weights[:FIRST]
    return [] if bundle is None else [f"condyle model use {route} {bundle} puts the model of {shadow} in force"]


def _table(heading: Sequence[str], rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _sentences(first: str, second: str, since: datetime, pairs: Paired, images: _Images) -> list[str]:
    """How much there is to compare, and what is missing."""
    usable = sum(pair.both_have_results for pair in pairs.pairs)
    studies = len({pair.first.study_instance_uid for pair in pairs.pairs})
    told = [
        f"{first} and {second}, jobs since {since.astimezone():%d %b %Y %H:%M}:"
        f" {counted(len(pairs.pairs), 'pair')} of jobs on the same images, of {counted(studies, 'study')}"
    ]
    if pairs.pairs:
        few = f"; limits of agreement and kappa need at least {FEWEST}: run both for longer" if usable < FEWEST else ""
        told.append(f"Both have a result in {usable} of {counted(len(pairs.pairs), 'pair')}{few}")
    if pairs.only_first or pairs.only_second:
        alone = f"{pairs.only_first:,} of {first}, {pairs.only_second:,} of {second}"
        told.append(f"jobs of one route alone, without the other's on the same images: {alone}")
    if pairs.under_way:
        told.append(f"{counted(pairs.under_way, 'job')} not ended yet")
    states = Counter((pair.first.state, pair.second.state) for pair in pairs.pairs)
    if apart := {key: count for key, count in states.items() if key[0] != key[1]}:
        told.append("states that differ: " + ", ".join(f"{a} / {b}: {n}" for (a, b), n in sorted(apart.items())))
    for route, versions in _versions(first, second, pairs).items():
        mixed = "; they are mixed below: say a later --since to have the last one alone" if len(versions) > 1 else ""
        if versions:
            told.append(f"{route} ran {', '.join(one[:FIRST] for one in versions)}{mixed}")
    if images.not_kept:
        told.append(f"of {counted(images.not_kept, 'pair')} a result is no longer kept (run.keep_jobs_days)")
    return told


def _versions(first: str, second: str, pairs: Paired) -> dict[str, list[str]]:
    """The digests of the weights that the jobs of each route ran with, those of the first jobs first."""
    jobs = {first: [pair.first for pair in pairs.pairs], second: [pair.second for pair in pairs.pairs]}
    return {route: list(dict.fromkeys(job.weights for job in of if job.weights)) for route, of in jobs.items()}


def _disagreements(comparison: Comparison) -> Rows:
    return [
        (one.what, one.first, one.second, f"{one.first_job[:FIRST]} {one.second_job[:FIRST]}")
        for one in comparison.disagreements
    ]


def _tables(comparison: Comparison, images: _Images) -> dict[str, tuple[Sequence[str], Rows]]:
    limits = [
        (
            comparison.measurements[key].name,
            str(of.values),
            str(of.jobs),
            f"{of.bias:+.3g} {comparison.measurements[key].unit}".rstrip() + _interval(of.bias_interval),
            "too few" if of.lower is None else f"{of.lower:+.3g}{_interval(of.lower_interval)}",
            "too few" if of.upper is None else f"{of.upper:+.3g}{_interval(of.upper_interval)}",
            f"{of.largest:.3g}",
        )
        for key, of in comparison.limits().items()
    ]
    kappas = [
        (
            comparison.grades[key].name,
            str(of.values),
            str(of.jobs),
            f"{of.agreed:.1%}",
            ("one grade only" if of.jobs >= FEWEST else "too few")
            if of.kappa is None
            else f"{of.kappa:.2f}{_interval(of.interval)}{' ' + of.weights if of.weights else ''}",
        )
        for key, of in comparison.kappas().items()
    ]
    heading = ("Label", "Pairs", "Mean", "Worst", "Job of the worst")
    ends = "second minus first, 95 % intervals by bootstrap over jobs"
    return {
        f"measurements ({ends})": (
            ("Measurement", "Values", "Pairs", "Bias", "Lower limit", "Upper limit", "Largest"),
            limits,
        ),
        "grades": (("Grade", "Values", "Pairs", "Same", "Kappa"), kappas),
        "regions (Dice)": (heading, _by_label(images.of("Dice"))),
        "derived volumes (RMSE, in the unit of the values)": (heading, _by_label(images.of("RMSE"))),
    }


def _by_label(found: list[tuple[Pair, Agreement]]) -> Rows:
    rows = []
    for label in dict.fromkeys(each.label for _, each in found):
        of = [(pair, each) for pair, each in found if each.label == label]
        values = [each.value for _, each in of if each.value is not None]
        pair, worst = of[0]
        shown = (
            worst.remark if worst.value is None else f"{worst.value:.4g}{' ' + worst.remark if worst.remark else ''}"
        )
        number = str(len(of)) if len(values) == len(of) else f"{len(values)} of {len(of)}"
        rows.append((label, number, f"{fmean(values):.4g}" if values else "", shown, pair.second.id[:FIRST]))
    return rows


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" ({ends[0]:.3g} to {ends[1]:.3g})"


# ---- as JSON
def _as_json(
    first: str, second: str, since: datetime, pairs: Paired, comparison: Comparison, images: _Images
) -> dict[str, Any]:
    def agreed(measure: str) -> list[dict[str, Any]]:
        return [
            {"label": each.label, "value": each.value, "remark": each.remark, "jobs": [pair.first.id, pair.second.id]}
            for pair, each in images.of(measure)
        ]

    named: Mapping[str, Any] = {**comparison.measurements, **comparison.grades}
    return {
        "first": first,
        "second": second,
        "since": since.isoformat(),
        "pairs": len(pairs.pairs),
        "only_first": pairs.only_first,
        "only_second": pairs.only_second,
        "under_way": pairs.under_way,
        "results_not_kept": images.not_kept,
        "versions": _versions(first, second, pairs),
        "states": [
            {"first": one, "second": two, "pairs": count}
            for (one, two), count in sorted(
                Counter((pair.first.state, pair.second.state) for pair in pairs.pairs).items()
            )
        ],
        "disagreements": [asdict(one) for one in comparison.disagreements],
        "measurements": {key: {"name": named[key].name, **asdict(of)} for key, of in comparison.limits().items()},
        "grades": {key: {"name": named[key].name, **asdict(of)} for key, of in comparison.kappas().items()},
        "regions": agreed("Dice"),
        "volumes": agreed("RMSE"),
    }


# ---- as a page
def _report(
    out: Path, first: str, second: str, since: datetime, pairs: Paired, comparison: Comparison, images: _Images
) -> Path:
    import numpy as np

    from pipelines.lab import plots
    from pipelines.lab.report_page import Report

    report = Report(out, f"{second} compared with {first}")
    report.note(
        *(f"{sentence}." for sentence in _sentences(first, second, since, pairs, images)),
        "Neither route is the truth: this page says where they differ, not which of them is right.",
    )
    if comparison.disagreements:
        report.heading("Disagreements")
        report.table(("What", first, second, "Jobs"), _disagreements(comparison), "disagreements")
    for title, (heading, rows) in _tables(comparison, images).items():
        if rows:
            report.heading(capital(title))
            report.table(heading, rows, title.partition(" (")[0].replace(" ", "-"))
    for number, values in enumerate(comparison.measurements.values()):
        if len(values.first) >= FEWEST:
            figure = plots.bland_altman(
                values.second, values.first, title=values.name, unit=values.unit, labels=(second, first)
            )
            report.picture(f"measurement-{number}", figure, f"{values.name}: {second} minus {first} against their mean")
    for number, values in enumerate(comparison.grades.values()):
        grades = sorted({*values.first, *values.second}, key=grade_order)
        if len(grades) > 1:
            table = np.zeros((len(grades), len(grades)), int)
            for one, two in zip(values.first, values.second, strict=True):
                table[grades.index(one), grades.index(two)] += 1
            names = [comparison.names.get(grade, grade) for grade in grades]
            figure = plots.confusion({values.name: table}, names, labels=(second, first))
            report.picture(f"grade-{number}", figure, f"{values.name}: {second} against {first}")
    pictures = {
        f"{each.label}, job {pair.second.id[:8]}": each.difference
        for pair, each in images.of("RMSE")[:SHOWN]
        if each.difference is not None and each.difference.any()
    }
    if pictures:
        reach = max(float(np.abs(image).max()) for image in pictures.values())
        words = f"{second} minus {first}, the slice that differs most"
        figure = plots.panels(pictures, colour_map="coolwarm", limits=(-reach, reach), title=words, label="difference")
        report.heading("Difference images")
        report.picture("differences", figure, words)
    return report.write()
