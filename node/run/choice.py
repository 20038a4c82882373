"""Which of a job's destinations get what it has made: all, but those whose `when` the result does not meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.database.jobs import JobState
from node.database.tables import JobRow
from node.errors import ConfigurationError, JobFailed
from node.matching import result as matching
from node.run.job_folder import SUMMARY, JobFolder

ENDS = {  # what the states of a job that hands over are called in `when`
    JobState.RUNNING: matching.DONE,  # its derived series go out before the rest is encoded
    JobState.SENDING: matching.DONE,
    JobState.DONE: matching.DONE,
    JobState.UNSUITABLE: matching.UNSUITABLE,
    JobState.FAILED: matching.FAILED,
}


@dataclass(frozen=True)
class Choice:
    """The destinations that get something, and why those with conditions do or do not."""

    names: tuple[str, ...]
    traces: dict[str, dict[str, Any]] = field(default_factory=dict)  # by destination with a condition

    @property
    def sentences(self) -> tuple[str, ...]:
        """For the timeline, a line for each condition."""
        return tuple(
            f"{name}: {'gets it' if trace['holds'] else 'does not get it'}: {trace['why']}"
            for name, trace in self.traces.items()
        )


def choose(folder: JobFolder, job: JobRow, state: JobState, names: Sequence[str] | None = None) -> Choice:
    """Hold the conditions of a job's destinations against how it ended and what it found.

    The conditions are those of the time when the job was made. The same job and result give the same answer.

    Parameters
    ----------
    folder
        Of the job, where the summary of its result lies.
    job
        Its row.
    state
        Where it is going.
    names
        Of destinations; None: all of the job's.

    Raises
    ------
    JobFailed
        If there is a condition, and what it asks about is no longer there or cannot be read.
    """
    wanted = job.destinations if names is None else names
    conditions = {name: when for name, when in (job.conditions or {}).items() if name in wanted}
    if not conditions:
        return Choice(tuple(wanted))
    ends = ENDS[state]
    facts = matching.result_facts(ends, _summary(folder) if ends == matching.DONE else None)
    traces = {name: _trace(name, when, facts) for name, when in conditions.items()}
    return Choice(tuple(name for name in wanted if name not in traces or traces[name]["holds"]), traces)


def _summary(folder: JobFolder) -> Mapping[str, Any]:
    try:
        return matching.read_summary((folder.path / SUMMARY).read_bytes())
    except (OSError, ValueError) as error:
        raise JobFailed("`when` of a destination asks about the result, whose summary cannot be read") from error


def _trace(name: str, when: Mapping[str, Any], facts: matching.ResultFacts) -> dict[str, Any]:
    try:
        clause = matching.RESULT.matcher(when, f"when of destination {name}").trace(facts)
    except ConfigurationError as error:  # checked at the start; another version of the node wrote it
        if facts.values[matching.STATE] == (matching.FAILED,):  # a job must be able to fail
            return {"holds": False, "why": str(error), "clauses": []}
        raise JobFailed(str(error)) from error
    return {
        "holds": clause.holds,
        "why": matching.why(clause),
        "clauses": [one.as_json() for one in clause.clauses],
    }
