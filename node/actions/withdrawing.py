"""Results are taken back by an operator: which are meant, and what would be told where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.actions.preview import Preview, short
from node.config import Configuration
from node.database import taking_back, withdrawals
from node.database.connection import Database
from node.database.queries import find_job

UNKNOWN = "no longer in the configuration: it cannot be told"
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


def what_is_where(configuration: Configuration, database: Database, jobs: Sequence[str], chosen: Chosen) -> Preview:
    """What would be taken back of the jobs that were chosen so, and how each destination is told."""
    title = f"Take back the results of {counted(len(jobs), 'job')}?"
    if not jobs:
        return Preview(title, (), f"no result of {chosen.pipeline} is to be withdrawn")
    with Session(database) as session:
        there = taking_back.may_have(session, jobs)
        later = withdrawals.compared_with(session, jobs)
        undecided = 0 if chosen.version is None else withdrawals.without_version(session, chosen.pipeline)
    numbers: Counter[str] = Counter()
    for (_, destination), number in there.items():
        numbers[destination] += number
    sentences = [f"{counted(len(jobs), 'job')}: {short(jobs)}. Nothing more of it is sent."]
    for destination, number in sorted(numbers.items()):
        known = configuration.destinations.get(destination)
        way = UNKNOWN if known is None else WAYS[known.withdraw]
        sentences.append(f"{destination} may have {counted(number, 'object')}: {way}.")
    if not numbers:
        sentences.append("Nothing of it went out.")
    if undecided:
        others = f"{counted(undecided, 'job')} of {chosen.pipeline} still to begin, with the version installed then"
        sentences.append(f"Not among these: {others}.")
    if later:
        sentences.append(
            f"{counted(len(later), 'later result')} compare with what is withdrawn; look at {short(later)}."
        )
    return Preview(title, tuple(sentences))
