"""`condyle run-study`: a pipeline on studies that are stored or fetched first, one by one or from a list."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import time as clock_time
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.actions.studies import note_run
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.operator import operator
from node.commands.reroute import rerouting
from node.commands.study_list import NoList, Report, Wanted, read_list
from node.commands.terminal import console
from node.config.mistakes import mistakes
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queries import in_chunks
from node.database.tables import JobRow
from node.errors import NodeError, StillArriving
from node.on_demand.fetching import Fetching
from node.on_demand.requests import RunRequest, RunRequests
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store
from node.route.by_hand import UnknownName
from node.route.reroute import ByHand

LOOK_S = 1.0
COMPLETE_S = 180.0  # until a study that is still arriving is left
OPTIONS = {"route": "--route", "pipeline": "--pipeline", "destinations": "--to", "from": "--from"}


@dataclass(frozen=True)
class Pace:
    """How fast a list is worked off."""

    at_a_time: int = 2  # jobs under way
    hours: tuple[clock_time, clock_time] | None = None  # only between these times of day; None: always

    def is_open(self, now: clock_time) -> bool:
        """Whether work may begin at this time of day."""
        if self.hours is None:
            return True
        begin, end = self.hours
        return begin <= now < end if begin <= end else now >= begin or now < end


def pace(at_a_time: int, hours: str | None) -> Pace:
    """As the command line says it.

    Raises
    ------
    typer.BadParameter
        If `hours` are no two times of day.
    """
    if hours is None:
        return Pace(at_a_time)
    begin, _, end = hours.strip().partition("-")
    try:
        return Pace(at_a_time, (clock_time.fromisoformat(begin), clock_time.fromisoformat(end)))
    except ValueError:
        raise typer.BadParameter(f"--hours: {hours!r}: should be two times of day, such as 20:00-06:00") from None


def run_study(
    studies: Sequence[str],
    config: Path,
    *,
    accession_numbers: Sequence[str] = (),
    listed_in: Path | None = None,
    archive: str = "",
    pipeline: str = "",
    route: str = "",
    to: Sequence[str] = (),
    pace: Pace = Pace(),
    report: Path | None = None,
    wait: bool = False,
) -> int:
    """Have a pipeline run on studies, and print what became of each.

    Parameters
    ----------
    studies, accession_numbers, listed_in
        Which studies: Study Instance UIDs, accession numbers, a CSV file of them.
    config
        The configuration file.
    archive
        Name of the destination to fetch them from; empty: they are stored.
    pipeline, route, to
        As for `condyle jobs start`.
    pace
        How fast.
    report
        CSV file to write; what an earlier one says was run is left out.
    wait
        For the end of the jobs.
    """
    complaints = console(error=True)
    wanted = [*(Wanted(study=one) for one in studies), *(Wanted(one) for one in accession_numbers)]
    try:
        wanted += read_list(listed_in) if listed_in is not None else []
        known = Report(report)
    except NoList as error:
        complaints.print(str(error), markup=False)
        return NOT_RIGHT
    if not wanted:
        complaints.print("name a study, or say --accession or --csv")
        return USAGE
    left = [one for one in dict.fromkeys(wanted) if one not in known.run]
    if before := len(dict.fromkeys(wanted)) - len(left):
        console().print(f"{counted(before, 'study')} run before, by the report")
    with _requests(config) as (database, requests, fetching):
        work = _Work(database, requests, fetching, known, pace, console(), complaints)
        what: dict[str, object] = {
            "from": archive,
            "pipeline": pipeline,
            "route": route,
            "destinations": list(to) or None,
        }
        try:
            failed = work.all(left, what)
        except UnknownName as error:
            key, _, sentence = str(error).partition(": ")
            complaints.print(f"{OPTIONS.get(key, key)}: {sentence}", markup=False)
            return USAGE
        if wait:
            failed += work.wait()
    return NOT_RIGHT if failed else OK


class _Work:
    """Works off studies one after the other."""

    def __init__(
        self,
        database: Database,
        requests: RunRequests,
        fetching: Fetching,
        report: Report,
        pace: Pace,
        out: Console,
        complaints: Console,
    ) -> None:
        self._database, self._requests, self._fetching = database, requests, fetching
        self._report, self._pace, self._out, self._complaints = report, pace, out, complaints
        self._jobs: list[str] = []

    def all(self, wanted: Sequence[Wanted], what: dict[str, object]) -> int:
        """Deal with all of them; how many could not be run.

        Raises
        ------
        UnknownName
            If a name in `what` is none: that is wrong for all of them.
        """
        failed = 0
        for number, one in enumerate(wanted, 1):
            self._wait_for_its_turn()
            study, jobs, reason = self._one(one, what)
            self._report.add(one, study, jobs, reason)
            self._jobs += jobs
            place = f"{number} of {len(wanted)}, " if len(wanted) > 1 else ""
            if jobs:
                self._out.print(f"{place}{one}: {', '.join(f'job {job}' for job in jobs)}")
            if reason:
                self._complaints.print(f"{place}{one}: {reason}", style="yellow", markup=False)
            failed += not jobs
        return failed

    def _one(self, one: Wanted, what: dict[str, object]) -> tuple[str, list[str], str]:
        """Its Study Instance UID, the jobs, and why there are none or fewer."""
        study = one.study
        try:
            asked = RunRequest.model_validate(
                {**what, "study": study or None, "accession_number": one.accession_number or None}
            )
            self._requests.require_names(asked)
            if asked.archive:
                study = study or self._fetching.study_of(asked.archive, one.accession_number)
                self._fetching.fetch(asked.archive, study)
            made = self._submitted(asked.model_copy(update={"study": study}))
        except ValidationError as error:
            return study, [], "; ".join(f"{each.key}: {each.sentence}" for each in mistakes(error, RunRequest))
        except UnknownName:
            raise
        except NodeError as error:
            return study, [], str(error)
        jobs = [each.job_id for each in made if each.job_id and not each.problem]
        return study, jobs, "; ".join(f"{each.about}: {each.problem}" for each in made if each.problem)

    def _submitted(self, asked: RunRequest) -> list[ByHand]:
        end = time.monotonic() + COMPLETE_S
        while True:
            try:
                made = self._requests.submit(asked)
                note_run(self._database, asked.study or "", asked.pipeline, made, operator())
                return made
            except StillArriving:
                if time.monotonic() > end:
                    raise
                time.sleep(LOOK_S)

    def _wait_for_its_turn(self) -> None:
        """Until few enough jobs are under way, and it is the time of day."""
        told = False
        while not self._pace.is_open(datetime.now().time()):
            if not told and self._pace.hours is not None:
                self._out.print(f"waits until {self._pace.hours[0]:%H:%M}")
                told = True
            time.sleep(LOOK_S)
        while len(self._under_way()) >= self._pace.at_a_time:
            time.sleep(LOOK_S)

    def _under_way(self) -> list[str]:
        return [job for job, state in self._states() if state in (JobState.QUEUED, JobState.RUNNING)]

    def _states(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        with Session(self._database) as session:
            for chunk in in_chunks(self._jobs):
                rows = session.execute(select(JobRow.id, JobRow.state).where(JobRow.id.in_(chunk)))
                found += [(row.id, row.state) for row in rows]
        return found

    def wait(self) -> int:
        """Until all jobs have ended; how many have not ended as done."""
        while self._under_way():
            time.sleep(LOOK_S)
        states = [state for _, state in self._states()]
        bad = [state for state in states if state not in (JobState.DONE, JobState.SENDING)]
        if states:
            self._out.print(f"{counted(len(states), 'job')} ended, {len(bad)} without a result")
        return len(bad)


@contextmanager
def _requests(config: Path) -> Iterator[tuple[Database, RunRequests, Fetching]]:
    with rerouting(config) as (configuration, database, again):
        store = Store.of(configuration, database)
        # where no node runs, nobody else records what comes
        fetching = Fetching(
            configuration, database, store, lambda: ReceiptImport(configuration.node.data, database).import_now()
        )
        try:
            yield database, RunRequests(configuration, database, again, fetching), fetching
        finally:
            fetching.stop()
            store.close()
