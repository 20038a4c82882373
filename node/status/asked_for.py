"""What the page shows of requests: studies that are fetched for a pipeline to run on them, and callbacks that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from node.database.callbacks import CallbackState
from node.database.connection import Database
from node.database.fetches import OPEN, FetchState
from node.database.tables import CallbackRow, FetchRow, JobRow, StudyRow

JOBS_SHOWN = 8  # of each request


@dataclass(frozen=True)
class FetchView:
    """One request whose study is fetched, with its jobs."""

    row: FetchRow
    is_stored: bool  # something of its study, so that there is a page of it
    jobs: Sequence[JobRow]

    @property
    def what(self) -> str:
        """The route, or the pipeline, that is to run."""
        return str(self.row.asked.get("route") or self.row.asked.get("pipeline") or "")

    @property
    def more_jobs(self) -> int:
        """How many were made besides those that are shown."""
        return max(0, len(self.row.jobs) - JOBS_SHOWN)

    @property
    def is_tried_again(self) -> bool:
        """Whether it waits after an attempt that failed."""
        return self.row.state == FetchState.WAITING and self.row.attempts > 0


class AskedFor:
    """Reads the node's records; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fetches(self, limit: int) -> tuple[Sequence[FetchView], int]:
        """Requests that have not ended, the oldest first, then the others, the latest first; how many more wait."""
        is_open = FetchRow.state.in_(OPEN)
        under_way = case((FetchRow.state == FetchState.WAITING, 1), else_=0)
        with Session(self._database, expire_on_commit=False) as session:
            rows = list(
                session.scalars(select(FetchRow).where(is_open).order_by(under_way, FetchRow.created).limit(limit))
            )
            more = (session.scalar(select(func.count()).select_from(FetchRow).where(is_open)) or 0) - len(rows)
            ended = select(FetchRow).where(~is_open).order_by(FetchRow.created.desc()).limit(limit - len(rows))
            rows += session.scalars(ended)
            shown = {job for row in rows for job in row.jobs[:JOBS_SHOWN]}
            jobs = {job.id: job for job in session.scalars(select(JobRow).where(JobRow.id.in_(shown)))}
            studies = {row.study_instance_uid for row in rows}
            stored = set(
                session.scalars(select(StudyRow.study_instance_uid).where(StudyRow.study_instance_uid.in_(studies)))
            )
        return [
            FetchView(
                row,
                row.study_instance_uid in stored,
                [jobs[job] for job in row.jobs[:JOBS_SHOWN] if job in jobs],  # others were erased
            )
            for row in rows
        ], more

    def callbacks_that_fail(self, limit: int) -> tuple[Sequence[CallbackRow], int]:
        """Those that were given up, or are tried again after a failed try, the latest first; and how many more."""
        failing = or_(
            CallbackRow.state == CallbackState.FAILED,
            (CallbackRow.state == CallbackState.WAITING) & (CallbackRow.attempts > 0),
        )
        with Session(self._database, expire_on_commit=False) as session:
            query = select(CallbackRow).where(failing).order_by(CallbackRow.created.desc()).limit(limit)
            rows = session.scalars(query).all()
            number = session.scalar(select(func.count()).select_from(CallbackRow).where(failing)) or 0
        return rows, number - len(rows)
