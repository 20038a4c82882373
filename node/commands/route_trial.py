"""`condyle route --try`: what other routes would have decided about the studies of the last days."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.open_database import opened
from node.commands.terminal import console, print_whole
from node.config import Configuration
from node.config.checks import boxed
from node.config.routes_section import RoutesSection
from node.database.connection import Database
from node.errors import ConfigurationError
from node.reading import Readers
from node.route.draft import draft
from node.route.known import Known
from node.route.recorded import RecordedStudies, recorded_studies
from node.route.stored_facts import StoredFacts
from node.route.trial import Comparing, Difference, Failed, Place, Trial, with_read
from node.route.trial_cost import PipelineCost, trial_costs
from node.route.trial_reading import read_headers

LISTED = 50  # differences
WHY_WIDTH = 40  # columns, at least


def try_routes(file: Path, since: datetime, config: Path, *, as_json: bool, every: bool) -> int:
    """Print where the routes in `file` would have decided otherwise than those of the configuration.

    Parameters
    ----------
    file
        Holds a section ``routes``, and may hold the rest of a configuration, which does not count.
    since
        Studies of which something came since then.
    config
        The configuration file; its routes are those in force, and all else counts for both.
    as_json
        Print everything as JSON.
    every
        List every difference; otherwise `LISTED`.
    """
    configuration, database = opened(config)
    comparing = Comparing(configuration, _other(file, config))
    trial = _trial(configuration, database, comparing, since)
    costs = trial_costs(database, trial, datetime.now(UTC))
    if as_json:
        console().print_json(json.dumps(_as_json(trial, costs)))
    else:
        _print(trial, costs, trial.differences if every else trial.differences[:LISTED])
    return NOT_RIGHT if trial.not_judged.unread else OK


def _other(file: Path, config: Path) -> Configuration:
    """The configuration with the routes of another file.

    Raises
    ------
    ConfigurationError
        With everything that is wrong with them, each with its line in that file.
    """
    tried = RoutesSection.of(file)
    said = draft(RoutesSection.of(config), tried.text)
    if said.configuration is None:
        lines = [f"{file}:{one.line + tried.lines_before}: {one.key}: {one.sentence}" for one in said.mistakes]
        raise ConfigurationError("\n".join(lines))
    return said.configuration


def _trial(configuration: Configuration, database: Database, comparing: Comparing, since: datetime) -> Trial:
    """By what the changed routes noted, then by what all did, then by what headers say."""
    read: dict[Place, Known | Failed] = {}

    def recorded(routes: frozenset[str] | None) -> RecordedStudies:
        fetched = configuration.run_requests.move_ae_title
        noted = recorded_studies(database, since, fetch_ae_title=fetched, routes=routes)
        return with_read(database, noted, comparing.keys, read)

    for routes in (comparing.names, None):
        trial = comparing.trial(recorded(routes), read)
        if trial.is_whole:
            return trial
    if trial.to_read:
        _read(configuration, database, trial, read)
        trial = comparing.trial(recorded(None), read)
    return trial


def _read(configuration: Configuration, database: Database, trial: Trial, read: dict[Place, Known | Failed]) -> None:
    """Read headers of what is open, with a bar on a terminal."""
    data, complaints = configuration.node.data, console(error=True)
    shown = Progress(console=complaints, transient=True, disable=not complaints.is_terminal)
    with Readers(instances=data / "instances" if boxed(configuration) else None) as readers, shown as progress:
        task = progress.add_task("Reading headers", total=trial.open)

        def note(place: Place, known: Known | Failed) -> None:
            read[place] = known
            progress.advance(task)

        facts = StoredFacts(data, database, lambda: datetime.now(UTC), readers)
        read_headers(facts, database, trial.to_read, trial.keys, note=note)


# ---- on the terminal
def _print(trial: Trial, costs: Sequence[PipelineCost], shown: Sequence[Difference]) -> None:
    out = console()
    if not trial.changes:
        out.print("the routes are those of the configuration: nothing would be decided otherwise")
        return
    for change in trial.changes:
        for sentence in change.sentences:
            out.print(sentence, markup=False)
    out.print()
    differ = f"{counted(trial.studies_that_differ, 'study')} would be decided otherwise"
    out.print(f"{differ}, of {trial.studies:,} since {trial.since.astimezone():%d %b %Y %H:%M}")
    for count in trial.counts:
        told = f"route {count.change.name}: matched {count.before:,} before, {count.after:,} after, of {count.judged:,}"
        out.print(f"{told}; {count.jobs_differ:,} other jobs" if count.jobs_differ else told, markup=False)
    for cost in costs:
        more = "" if cost.more_s is None else f", {cost.more_s / 60:+.1f} minutes of workers"
        jobs = f"{cost.before:.1f} jobs a day before, {cost.after:.1f} after ({cost.more_jobs:+.1f}{more})"
        out.print(f"{cost.pipeline}: {jobs}", markup=False)
    if shown:
        out.print()
        print_whole(out, _table(shown))
    if left := len(trial.differences) - len(shown):
        out.print(f"... and {left:,} more; --all lists them")
    complaints = console(error=True)
    for line in _left_open(trial):
        complaints.print(line, style="yellow", markup=False)


def _table(differences: Sequence[Difference]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Study", "Series", "Route", "What"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Why", overflow="fold", min_width=WHY_WIDTH)
    for one in differences:
        why = "; ".join(one.why) or f"{one.before} becomes {one.after}"
        table.add_row(one.study_instance_uid, one.series_instance_uid or "all", one.route, one.kind.value, Text(why))
    return table


def _left_open(trial: Trial) -> list[str]:
    """What could not be judged, and why."""
    told, not_judged = [], trial.not_judged
    if trial.left_out:
        told.append(f"{counted(trial.left_out, 'older study')} left out: say a later --since")
    if not_judged.gone:
        told.append(
            f"{counted(not_judged.gone, 'study')} not judged: the images were deleted, and no decision noted it"
        )
    if not_judged.arriving:
        told.append(f"{counted(not_judged.arriving, 'study')} not judged: not decided about yet")
    unread: Mapping[str, int] = not_judged.unread or {}
    return [*told, *(f"{number} series not judged: {why}" for why, number in unread.items())]


# ---- as JSON
def _as_json(trial: Trial, costs: Sequence[PipelineCost]) -> dict[str, Any]:
    return {
        "since": trial.since.isoformat(),
        "studies": trial.studies,
        "studies_left_out": trial.left_out,
        "studies_that_differ": trial.studies_that_differ,
        "changes": [
            {"route": change.name, "what": change.what, "keys": [asdict(key) for key in change.keys]}
            for change in trial.changes
        ],
        "routes": [
            {
                "route": count.change.name,
                "judged": count.judged,
                "matched_before": count.before,
                "matched_after": count.after,
                "jobs_that_differ": count.jobs_differ,
            }
            for count in trial.counts
        ],
        "pipelines": [
            {
                "pipeline": cost.pipeline,
                "jobs_a_day_before": round(cost.before, 3),
                "jobs_a_day_after": round(cost.after, 3),
                "seconds_of_a_job": cost.seconds,
            }
            for cost in costs
        ],
        "not_judged": {
            "studies_deleted": trial.not_judged.gone,
            "studies_arriving": trial.not_judged.arriving,
            "series_not_read": dict(trial.not_judged.unread or {}),
        },
        "differences": [
            {
                "study_instance_uid": one.study_instance_uid,
                "series_instance_uid": one.series_instance_uid,
                "route": one.route,
                "what": one.kind.value,
                "before": one.before,
                "after": one.after,
                "why": list(one.why),
            }
            for one in trial.differences
        ],
    }
