"""`condyle withdraw` and `condyle withdrawals`: take results back everywhere they went, and show the proof."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.words import counted
from node.actions.jobs import JobActions
from node.actions.withdrawing import Chosen
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.database import taking_back
from node.database.connection import Database
from node.database.queries import find_job
from node.database.states import WithdrawalState
from node.database.tables import JobRow, WithdrawalRow
from node.listings.jobs import WithdrawalListing
from node.reading import HERE

LOOK_S = 0.5
JOBS_SHOWN = 10
STYLES = {
    WithdrawalState.WAITING: "blue",
    WithdrawalState.TOLD: "cyan",
    WithdrawalState.DONE: "green",
    WithdrawalState.REFUSED: "red",
    WithdrawalState.LEFT: "yellow",
}


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
    job_engine = JobEngine(configuration, database, HERE)
    try:
        acts = JobActions(configuration, database, job_engine)
        jobs = chosen.find(database)
        plan = acts.preview_withdraw(jobs, chosen)
        if not plan.possible:
            complaints.print(f"{plan.refusal.removesuffix('.')}; condyle jobs lists jobs", markup=False)
            return NOT_RIGHT
        for sentence in plan.sentences:
            out.print(sentence, markup=False)
        if dry_run:
            return OK
        if not yes:
            if not complaints.is_terminal:
                complaints.print("say --yes to take them back")
                return USAGE
            typer.confirm(plan.title, abort=True)
        acts.withdraw(jobs, reason, why, operator())
    finally:
        job_engine.stop()
    out.print(f"{counted(len(jobs), 'job')} withdrawn; nothing more of {'it' if len(jobs) == 1 else 'them'} is sent")
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
