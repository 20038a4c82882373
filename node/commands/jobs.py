"""`condyle jobs`: the jobs of the node, from its database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.actions.jobs import JobActions
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole, whole
from node.commands.withdraw import proof
from node.database.connection import Database
from node.database.jobs import BY_HAND, ON_REQUEST, JobState
from node.database.queries import UNDER_WAY, JobView, delivered_counts, show_job
from node.database.queries import list_jobs as list_rows
from node.database.queue_places import QueuePlace, queue_places
from node.database.states import ForbiddenTransition
from node.database.tables import DecisionRow, EventRow, JobRow
from node.errors import JobFailed
from node.files import file_name
from node.listings.jobs import JobDetail, decision_of, job_listings
from node.listings.listing import as_json
from node.patient_records.look_up import open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.reading import HERE
from node.route.by_hand import UnknownName
from node.run.shadow_folder import folder_of

WATCH_S = 0.5
REASON_WIDTH = 20  # columns, at least; of an answer too
STYLES = {
    JobState.QUEUED: "dim",
    JobState.RUNNING: "cyan",
    JobState.SENDING: "blue",
    JobState.DONE: "green",
    JobState.UNSUITABLE: "yellow",
    JobState.FAILED: "red",
}


def list_jobs(
    config: Path, *, state: str | None = None, limit: int = 50, watch: bool = False, json_output: bool = False
) -> int:
    """Print the latest jobs; with `watch` until Ctrl-C.

    Parameters
    ----------
    config
        The configuration file.
    state
        Only jobs in this state.
    limit
        How many at most.
    watch
        Stay, and show changes until Ctrl-C.
    json_output
        Print a JSON list; then nothing is watched.
    """
    out = console()
    if state is not None and state not in set(JobState):
        console(error=True).print(f"--state: {state!r}: should be one of {', '.join(JobState)}")
        return USAGE
    configuration, database = opened(config)
    workers = configuration.run.workers
    states = () if state is None else (JobState(state),)
    if json_output:
        out.print_json(as_json(job_listings(database, states, limit)))
        return OK
    if not watch:
        print_whole(out, _table(database, state, limit, workers))
        return OK
    try:
        # what does not fit is cut at the edge: lines that wrap could not be drawn over
        with Live(whole(out, _table(database, state, limit, workers)), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(whole(out, _table(database, state, limit, workers)), refresh=True)
    except KeyboardInterrupt:
        return OK


def _table(database: Database, state: str | None, limit: int, workers: int) -> Table:
    jobs = list_rows(database, () if state is None else (JobState(state),), limit)
    places = _places(database, workers) if any(job.state == JobState.QUEUED for job in jobs) else {}
    counts = delivered_counts(database, [job.id for job in jobs])
    table = Table(box=None, pad_edge=False)
    for heading in ("Job", "Created", "State", "Duration", "Route", "Images", "Delivered"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Reason", min_width=REASON_WIDTH)  # it alone is cut where a line is too long
    for job in jobs:
        delivered, total = counts.get(job.id, (0, 0))
        table.add_row(
            job.id[:12],
            _clock(job.created),
            Text(job.state + _besides(job), style=STYLES[JobState(job.state)]),
            _span(job),
            job.route,
            str(len(job.sop_instance_uids)),
            f"{delivered} of {total}" if total else "",
            Text(_remark(job, places), no_wrap=True, overflow="ellipsis"),
        )
    return table


def _places(database: Database, workers: int) -> Mapping[str, QueuePlace]:
    with Session(database) as session:
        return queue_places(session, workers, datetime.now(UTC))


def _remark(job: JobRow, places: Mapping[str, QueuePlace]) -> str:
    """Why the job ended or is held, or what is before it in the queue."""
    return job.reason or job.rejected or (places[job.id].sentence if job.id in places else "")


def _besides(job: JobRow) -> str:
    """What is to be known beside the state."""
    return " (withdrawn)" if job.withdrawn else " (shadow)" if job.shadow else ""


def _span(job: JobRow) -> str:
    """How long the job took, or has taken so far."""
    end = datetime.now(UTC) if job.state in UNDER_WAY else job.updated
    return f"{(end - job.created).total_seconds():.1f} s"


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%d %b %H:%M:%S")


def show(config: Path, job: str, *, json_output: bool = False) -> int:
    """Print everything about one job; with `json_output` as a JSON object."""
    out = console()
    configuration, database = opened(config)
    view = show_job(database, job)
    decision = decision_of(database, view.row)
    if json_output:
        out.print_json(as_json(JobDetail.whole(view, decision)))
        return NOT_RIGHT if view.row.state == JobState.FAILED else OK
    _show_head(out, view.row)
    if view.row.state == JobState.QUEUED and (place := _places(database, configuration.run.workers).get(view.row.id)):
        out.print(f"  {place.sentence}", markup=False)
    if decision is not None:
        _show_why(out, decision)
    _show_conditions(out, view.row)
    _show_timeline(out, view.events)
    _show_objects(out, view)
    if view.withdrawals:
        out.print()
        out.print("[bold]taken back[/]")
        print_whole(out, proof(view.withdrawals))
    folder = folder_of(configuration, view.row.route) if view.row.shadow else None
    if folder is not None and (folder / file_name(view.row.id)).is_dir():
        out.print(f"in shadow: nothing was sent; the objects lie in {folder / file_name(view.row.id)}", markup=False)
    return NOT_RIGHT if view.row.state == JobState.FAILED else OK


def _show_head(out: Console, job: JobRow) -> None:
    out.print(f"[bold]job {job.id}[/]", Text(job.state, style=STYLES[JobState(job.state)]))
    if job.reason:
        out.print(Text(f"  {job.reason}"))
    if job.withdrawn:
        out.print(Text(f"  withdrawn by {job.withdrawn_by}, {_clock(job.withdrawn)}: {job.withdrawn_why}", style="red"))
    if job.rejected and not job.reason.startswith(job.rejected):
        out.print(Text(f"  {job.rejected}"))
    if job.route == ON_REQUEST:
        out.print(f"  {job.pipeline} {job.pipeline_version} {ON_REQUEST}, from the patient's record")
    else:
        images = counted(len(job.sop_instance_uids), "image")
        why = job.route if job.route == BY_HAND else f"for route {job.route}"
        out.print(f"  {job.pipeline} {job.pipeline_version} {why}, {images}")
        out.print(f"  study {job.study_instance_uid}")
    for uid in job.series_instance_uids:
        out.print(f"  series {uid}")
    if weights := job.weights or job.settings.get("sha256"):
        stored = "" if "bundle" not in job.settings else f", bundle {job.settings['bundle']}"
        out.print(f"  model {weights}{stored}", markup=False)
    if job.predecessor:
        out.print(f"  follows job {job.predecessor}: other images, settings or model")


def _show_why(out: Console, decision: DecisionRow) -> None:
    out.print()
    out.print(Text.assemble(("why", "bold"), f": {decision.trace['why']}"))
    for series in decision.trace["series"]:
        out.print(f"  {series.get('modality') or '?'} series {series['series_instance_uid']}", markup=False)
        if unread := series.get("unread"):
            out.print(Text(f"    {unread}"))
        for clause in series["clauses"]:
            _show_clause(out, clause, "    ")


def _show_conditions(out: Console, job: JobRow) -> None:
    """Why the destinations with conditions get the result, or do not; before there is one, that it is not decided."""
    for name in job.conditions or {}:
        out.print()
        trace = (job.hand_over or {}).get(name)
        if trace is None:
            out.print(Text.assemble((f"to {name}", "bold"), ": decided when there is a result"))
            continue
        out.print(Text.assemble((f"to {name}" if trace["holds"] else f"not to {name}", "bold"), f": {trace['why']}"))
        for clause in trace["clauses"]:
            _show_clause(out, clause, "    ")


def _show_clause(out: Console, clause: dict[str, Any], indent: str) -> None:
    mark = "✓" if clause["holds"] else "✗"
    out.print(Text(f"{indent}{mark} {clause['key']}: found {clause['found']}, expected {clause['expected']}"))
    for inner in clause.get("clauses", ()):
        _show_clause(out, inner, indent + "  ")


def _show_timeline(out: Console, events: Sequence[EventRow]) -> None:
    out.print()
    out.print("[bold]timeline[/]")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for event in events:
        took = f"{event.seconds:.2f} s" if event.seconds is not None else ""
        table.add_row(event.at.astimezone().strftime("%H:%M:%S.%f")[:-3], event.what, took, Text(event.detail))
    out.print(table)


def _show_objects(out: Console, view: JobView) -> None:
    rows = Counter(
        (made.kind, made.series_instance_uid, *destination)
        for made in view.objects
        for destination in (
            [(line.destination, line.state, line.answer) for line in view.lines[made.sop_instance_uid]]
            or [("nowhere", "", "")]
        )
    )
    out.print()
    out.print("[bold]objects[/]")
    table = Table(box=None)
    for heading in ("Kind", "Number", "Series", "Destination", "State"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Answer", min_width=REASON_WIDTH)
    for (kind, series, where, state, answer), number in rows.items():
        table.add_row(kind, str(number), series, where, state, Text(answer))
    print_whole(out, table)


def restart(config: Path, job: str) -> int:
    """Restart a failed or unsuitable job."""
    return _by_operator(config, job, "restart", lambda act: act.restart(job, operator()), "is queued again")


def cancel(config: Path, job: str) -> int:
    """End a job that has not ended."""
    return _by_operator(config, job, "cancel", lambda act: act.cancel(job, operator()), "is cancelled")


def send_to(config: Path, job: str, destinations: Sequence[str]) -> int:
    """Send what a job made to more destinations."""
    done = f"goes to {', '.join(destinations)} too"
    return _by_operator(config, job, "send", lambda act: act.send(job, destinations, operator()), done)


def _by_operator(config: Path, job: str, what: str, act: Callable[[JobActions], str], done: str) -> int:
    from node.run.job_engine import JobEngine

    complaints = console(error=True)
    configuration, database = opened(config)
    patients = open_patient_changes(configuration, open_patient_records(configuration))
    job_engine = JobEngine(configuration, database, HERE, patients=patients)
    try:
        found = act(JobActions(configuration, database, job_engine))
    except UnknownName as error:
        complaints.print(f"--to: {str(error).partition(': ')[2]}", markup=False)
        return USAGE
    except (ForbiddenTransition, JobFailed) as error:
        complaints.print(f"cannot {what}: {error}", markup=False)
        return NOT_RIGHT
    finally:
        job_engine.stop()
    console().print(f"job {found} {done}")
    return OK
