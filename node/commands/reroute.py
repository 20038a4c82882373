"""`condyle reroute` and `condyle jobs start`: decide anew about old studies, or have a pipeline run on one by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from dicom_sr.words import counted
from node.actions.studies import BEGUN, StudyActions
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.model_versions import with_version
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.config import Configuration
from node.config.checks import boxed
from node.database.connection import Database
from node.errors import MustWait, NodeError, ReadingFailed, StillArriving, StudyNotFound
from node.listings.decisions import ReroutedListing
from node.listings.listing import as_json
from node.models.versions import Versions
from node.patient_records.look_up import open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.reading import Readers
from node.route.by_hand import UnknownName, route_for
from node.route.reroute import Action, Reroute, Rerouted, studies_since

WHY_WIDTH = 40  # columns, at least
LISTED = 50  # decisions; a large store has many
OPTIONS = {"route": "--route", "destinations": "--to"}  # what the command line calls them


def reroute(
    studies: Sequence[str],
    since: datetime | None,
    config: Path,
    *,
    dry_run: bool,
    every: bool = False,
    json_output: bool = False,
) -> int:
    """Decide anew about some studies, and print what becomes of each route.

    Parameters
    ----------
    studies
        Study Instance UIDs.
    since
        Also all studies of which something came since then.
    config
        The configuration file; its routes are the ones that decide.
    dry_run
        Change nothing, only say what would be done.
    every
        List every decision; otherwise `LISTED`, those first that something comes of.
    json_output
        Print every decision as a JSON list.
    """
    complaints = console(error=True)
    if not studies and since is None:
        complaints.print("name a study, or say --since")
        return USAGE
    with rerouting(config) as (configuration, database, again):
        acts = StudyActions(configuration, database, again)
        chosen = [*studies, *(studies_since(database, since) if since else ())]
        found: list[Rerouted] = []
        problems, not_decided = 0, list[str]()
        for study in dict.fromkeys(chosen):
            try:
                found += acts.reroute(study, operator(), dry_run=dry_run)
            except (StudyNotFound, StillArriving, MustWait, ReadingFailed) as error:
                unread = isinstance(error, MustWait | ReadingFailed)
                not_decided.append(f"study {study}: {error}" if unread else str(error))
                # of what is not complete yet, the node takes care
                problems += study in studies or unread
    refused = [f"route {one.route}: {one.problem}" for one in found if one.problem]
    shown = found if every else sorted(found, key=lambda one: one.action not in BEGUN)[:LISTED]
    if json_output:
        console().print_json(as_json([ReroutedListing.of(one) for one in found]))
    else:
        _print_counts(found, len(set(chosen)), dry_run=dry_run)
        _print_table(shown, len(found) - len(shown))
    for lines, style in ((not_decided, "yellow"), (refused, "red")):
        for line in lines if every else lines[:LISTED]:
            complaints.print(line, style=style, markup=False)
        if not every and (more := len(lines) - LISTED) > 0:
            complaints.print(f"... and {more:,} more; --all lists them", style=style)
    return NOT_RIGHT if problems or refused else OK


def _print_table(shown: Sequence[Rerouted], more: int) -> None:
    if shown:
        print_whole(console(), _table(shown))
    if more:
        console().print(f"... and {more:,} more; --all lists them")


def _print_counts(found: Sequence[Rerouted], studies: int, *, dry_run: bool) -> None:
    begun = sum(one.action in BEGUN and not one.problem for one in found)
    told = "dry run: nothing is changed; of" if dry_run else "of"
    queued = "would be" if dry_run else "is" if begun == 1 else "are"
    console().print(f"{told} {counted(studies, 'study')}, {counted(begun, 'job')} {queued} queued")
    counts = Counter(one.action for one in found)
    if counts:
        decisions = ", ".join(f"{counts[action]:,} {action}" for action in Action if counts[action])
        console().print(f"{counted(len(found), 'decision')}: {decisions}")


def _table(found: Sequence[Rerouted]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Study", "Series", "Route", "What", "Job"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Why", overflow="fold", min_width=WHY_WIDTH)
    for one in found:
        table.add_row(
            one.complete.study_instance_uid,
            one.complete.series_instance_uid or "all",
            one.route,
            one.action.value,
            (one.job_id or "")[:12],
            Text(one.why),
        )
    return table


def start(
    pipeline: str,
    study: str,
    config: Path,
    *,
    series: Sequence[str] = (),
    route: str | None = None,
    to: Sequence[str] = (),
    bundle: str | None = None,
) -> int:
    """Have a pipeline run on a study, whatever the routes' conditions say.

    Parameters
    ----------
    pipeline
        Its name.
    study
        Study Instance UID.
    config
        The configuration file.
    series
        Only these series; empty: those that the pipeline accepts.
    route
        Whose settings and destinations are used; by default those of the only route of the pipeline.
    to
        Names of destinations in place of the route's.
    bundle
        A folder, or the first characters of an earlier version, in place of the version that is in force.
    """
    out, complaints = console(), console(error=True)
    with rerouting(config) as (configuration, database, again):
        try:
            name, chosen = route_for(configuration, pipeline, route or "", to)
        except UnknownName as error:
            key, _, sentence = str(error).partition(": ")
            complaints.print(f"{OPTIONS.get(key, pipeline)}: {sentence}", markup=False)
            return USAGE
        versions = Versions(database, configuration.node.data)
        try:
            settings = versions.settings(name, chosen)
            if bundle is not None:
                settings = with_version(configuration, versions, chosen, bundle)
        except NodeError as error:
            complaints.print(f"--bundle: {error}", markup=False)
            return NOT_RIGHT
        chosen = chosen.model_copy(update={"settings": settings})
        queued = 0
        for one in StudyActions(configuration, database, again).run(study, chosen, operator(), series):
            if one.problem:
                complaints.print(f"{one.about}: {one.problem}", style="yellow", markup=False)
            else:
                queued += 1
                out.print(f"{one.about}: job {one.job_id}, {one.action.value}")
    return OK if queued else NOT_RIGHT


@contextmanager
def rerouting(config: Path) -> Iterator[tuple[Configuration, Database, Reroute]]:
    """What decides anew and runs by hand, beside a node that runs or does not."""
    from node.run.job_engine import JobEngine

    configuration, database = opened(config)
    with Readers(instances=configuration.node.data / "instances" if boxed(configuration) else None) as readers:
        patients = open_patient_changes(configuration, open_patient_records(configuration))
        job_engine = JobEngine(configuration, database, readers, patients=patients)
        try:
            yield (
                configuration,
                database,
                Reroute(configuration, database, job_engine, lambda: datetime.now(UTC), readers),
            )
        finally:
            job_engine.stop()
