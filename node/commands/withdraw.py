"""`condyle withdraw` and `condyle withdrawals`: take results back everywhere they went, and show the proof."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.config import Configuration
from node.database import taking_back, withdrawals
from node.database.connection import Database
from node.database.queries import find_job
from node.database.states import WithdrawalState
from node.database.tables import JobRow, WithdrawalRow
from node.listings.jobs import WithdrawalListing
from node.reading import HERE

LOOK_S = 0.5
JOBS_SHOWN = 10
UNKNOWN = "no longer in the configuration: it cannot be told"
STYLES = {
    WithdrawalState.WAITING: "blue",
    WithdrawalState.TOLD: "cyan",
    WithdrawalState.DONE: "green",
    WithdrawalState.REFUSED: "red",
    WithdrawalState.LEFT: "yellow",
}
WAYS = {
    "iocm": "told by a rejection note",
    "delete-dicomweb": "deleted there",
    "entered-in-error": "marked as entered in error",
    "oru": "told by a further message",
    "none": "not told (withdraw: none); asked what it has",
}


@dataclass(frozen=True)
class Chosen:
    """Which results are meant: one job's, or those of a pipeline."""

    job: str = ""
    pipeline: str = ""
    version: str | None = None  # of the pipeline, or how the digest of its weights begins
    since: datetime | None = None

    def find(self, database: Database) -> list[str]:
        """The ids of the jobs, the oldest first."""
        if self.job:
            return [find_job(database, self.job).id]
        with Session(database) as session:
            return withdrawals.made_by(session, self.pipeline, self.version, self.since)


def withdraw(
    chosen: Chosen, why: str, reason: RejectionReason, config: Path, *, dry_run: bool, yes: bool, wait_s: float
) -> int:
    """Take back what the chosen jobs sent, and wait for the proof.

    Parameters
    ----------
    chosen
        Which jobs.
    why
        In words, for rejection notes, the timeline and the audit trail.
    reason
        As rejection notes give it.
    config
        The configuration file.
    dry_run
        Only say what would be taken back, and where.
    yes
        Do not ask.
    wait_s
        How long to wait for the running node to tell the destinations.
    """
    from node.run.job_engine import JobEngine

    out, complaints = console(), console(error=True)
    configuration, database = opened(config)
    jobs = chosen.find(database)
    if not jobs:
        complaints.print(f"no result of {chosen.pipeline} is to be withdrawn; condyle jobs lists jobs", markup=False)
        return NOT_RIGHT
    with Session(database) as session:
        there = taking_back.may_have(session, jobs)
        later = withdrawals.compared_with(session, jobs)
        undecided = 0 if chosen.version is None else withdrawals.without_version(session, chosen.pipeline)
    _show_plan(out, configuration, jobs, there)
    if undecided:
        others = f"{counted(undecided, 'job')} of {chosen.pipeline} still to begin, with the version installed then"
        out.print(f"  not among these: {others}", style="yellow", markup=False)
    if dry_run:
        return OK
    if not yes:
        if not complaints.is_terminal:
            complaints.print("say --yes to take them back")
            return USAGE
        typer.confirm(f"Take back the results of {counted(len(jobs), 'job')}?", abort=True)
    job_engine, who = JobEngine(configuration, database, HERE), operator()
    try:
        for job in jobs:
            job_engine.withdraw(job, reason, why, who)
    finally:
        job_engine.stop()
    out.print(f"{counted(len(jobs), 'job')} withdrawn; nothing more of {'it' if len(jobs) == 1 else 'them'} is sent")
    if later:
        shown = ", ".join(job[:12] for job in later[:JOBS_SHOWN]) + (", ..." if len(later) > JOBS_SHOWN else "")
        them = counted(len(later), "later result")
        out.print(f"{them} compare with what was withdrawn; look at: {shown}", style="yellow", markup=False)
    rows = _wait(database, jobs, wait_s)
    if rows:
        print_whole(out, proof(rows))
    if any(row.state in taking_back.OPEN for row in rows):
        out.print("not all destinations are told and asked yet: condyle withdrawals shows the proof later")
    return NOT_RIGHT if any(row.state == WithdrawalState.REFUSED for row in rows) else OK


def show(config: Path, job: str, *, as_json: bool) -> int:
    """Print what was taken back where, and what is still there; exit code 1 where a destination refuses.

    Parameters
    ----------
    config
        The configuration file.
    job
        Only of this job; empty: of all.
    as_json
        As JSON, one object with all.
    """
    _, database = opened(config)
    only = [find_job(database, job).id] if job else None
    with Session(database) as session:
        wanted = (
            only
            or session.scalars(select(WithdrawalRow.job_id).order_by(WithdrawalRow.created, WithdrawalRow.id)).all()
        )
        rows = taking_back.of_jobs(session, dict.fromkeys(wanted))
        jobs = {row.job_id: session.get_one(JobRow, row.job_id) for row in rows}
    if as_json:
        facts = [WithdrawalListing.of(row, jobs[row.job_id]).model_dump(mode="json") for row in rows]
        console().print_json(json.dumps({"withdrawals": facts}))
    elif rows:
        print_whole(console(), proof(rows))
    else:
        console().print("nothing was withdrawn")
    return NOT_RIGHT if any(row.state == WithdrawalState.REFUSED for row in rows) else OK


def _show_plan(
    out: Console, configuration: Configuration, jobs: Sequence[str], there: Mapping[tuple[str, str], int]
) -> None:
    shown = ", ".join(job[:12] for job in jobs[:JOBS_SHOWN]) + (", ..." if len(jobs) > JOBS_SHOWN else "")
    out.print(f"{counted(len(jobs), 'job')}: {shown}", markup=False)
    numbers: Counter[str] = Counter()
    for (_, destination), number in there.items():
        numbers[destination] += number
    for destination, number in sorted(numbers.items()):
        known = configuration.destinations.get(destination)
        way = UNKNOWN if known is None else WAYS[known.withdraw]
        out.print(f"  {destination} may have {counted(number, 'object')}: {way}", markup=False)
    if not numbers:
        out.print("  nothing of it went out")


def _wait(
    database: Database, jobs: Sequence[str], wait_s: float, clock: Callable[[], float] = time.monotonic
) -> list[WithdrawalRow]:
    """The rows of the jobs, once each destination was told and asked at least once, or the time is over."""
    end = clock() + wait_s
    while True:
        with Session(database) as session:
            rows = taking_back.of_jobs(session, jobs)
        if clock() >= end or not any(row.state in taking_back.OPEN and row.asked is None for row in rows):
            return rows
        time.sleep(LOOK_S)


def proof(rows: Sequence[WithdrawalRow]) -> Table:
    """How each destination was told, what it had before and what it has now."""
    table = Table(box=None, pad_edge=False)
    for heading in ("Job", "Destination", "State", "Told by", "Had", "Has", "Asked"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Answer", min_width=20)
    for row in rows:
        table.add_row(
            row.job_id[:12],
            row.destination,
            Text(row.state, style=STYLES[WithdrawalState(row.state)]),
            row.way or "-",
            _held(row.held_before, row.objects),
            _held(row.held_after, row.objects) if row.asked else "",
            row.asked.astimezone().strftime("%d %b %H:%M:%S") if row.asked else "",
            Text(row.answer),
        )
    return table


def _held(number: int | None, of: int) -> str:
    """What a destination has of what it may have; a question mark where it did not say."""
    return f"{'?' if number is None else number} of {of}"
