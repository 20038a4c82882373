"""Tells a collector of studies whose jobs have ended, from the records alone: no job waits for it or knows of it.

What ended is looked for a few times a minute, in the order in which it did, by an index of the jobs that have not been
cleaned up. While the collector is away nothing is kept beside the records: the place up to which it has been told stays
where it is. What ended before the node started is not told.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from node.background import Loop
from node.config import Configuration
from node.config.telemetry import MISSING, packages_missing
from node.database.connection import Database
from node.database.job_states import Place, node_name
from node.progress import goes_on
from node.study.patients import marking_key
from node.telemetry.records import EndedJob, ended_jobs
from node.telemetry.spans import Trace, Tracer

log = logging.getLogger(__name__)

EVERY_S, RETRY_S = 5.0, 60.0
SETTLED = timedelta(seconds=5)  # a change that is younger may not be committed yet
OLDEST = timedelta(days=1)  # so long what ended is kept for a collector that is away, or that takes no more
REMEMBERED = 50_000  # spans that are the study's own: some 10,000 studies
AT_ONCE = 100  # jobs in a request
STOP_PATIENCE_S = 2.0


class Traces:
    """Sends the traces of a node.

    Parameters
    ----------
    configuration
        With an endpoint.
    clock
        The time, with its zone.

    Raises
    ------
    ConfigurationError
        If the file of headers is no good.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Callable[[], datetime],
        settled: timedelta = SETTLED,
        every_s: float = EVERY_S,
        retry_s: float = RETRY_S,
    ) -> None:
        from node.telemetry.exporter import Exporter  # its packages are installed where traces are wanted

        self._database, self._clock, self._settled = database, clock, settled
        self._tracer = Tracer(marking_key(configuration.node.data), uids=configuration.telemetry.uids)
        self._exporter = Exporter(configuration.telemetry, node_name(configuration))
        self._place = Place(clock(), "")
        self._told: dict[int, None] = {}  # ids of spans that several jobs share, the latest last
        self.loop = Loop("traces", self._work, every_s=every_s, retry_s=retry_s)
        """Looks for what has ended, once it is started."""

    def stop(self) -> None:
        """End; what has not been told is not told any more."""
        self._exporter.close()
        self.loop.stop(STOP_PATIENCE_S)

    def tell(self) -> int:
        """Tell of what has ended since the last time; of how many jobs.

        Raises
        ------
        PeerUnavailable
            If the collector does not take it; the next call tells of it, until it is too old.
        """
        told = 0
        oldest = Place(self._clock() - OLDEST, "")
        self._place = max(self._place, oldest)
        while not self.loop.stopping.is_set():
            goes_on()
            jobs, place = ended_jobs(self._database, self._clock() - self._settled, self._place)
            if place is None:
                break
            for first in range(0, len(jobs), AT_ONCE):
                self._tell_of(jobs[first : first + AT_ONCE])
            told += len(jobs)
            self._place = place  # there are others behind the last that has ended
        return told

    def _work(self) -> None:
        self.tell()

    def _tell_of(self, jobs: Sequence[EndedJob]) -> None:
        """Send the traces of some jobs; the study's own spans once, whichever of its jobs ends first."""
        told = set(self._told)
        traces = []
        for job in jobs:
            trace = self._tracer.trace(job)
            traces.append(replace(trace, spans=[span for span in trace.spans if span.id not in told]))
            told |= {span.id for span in trace.spans if span.shared}
        self._exporter.send(traces)
        self._place = Place(jobs[-1].row.updated, jobs[-1].row.id)
        self._remember(traces)
        for job, trace in zip(jobs, traces, strict=True):
            log.info("trace sent", extra={"job": job.row.id, "trace": f"{trace.id:032x}"})

    def _remember(self, traces: Sequence[Trace]) -> None:
        self._told |= dict.fromkeys(span.id for trace in traces for span in trace.spans if span.shared)
        for number in list(itertools.islice(self._told, max(0, len(self._told) - REMEMBERED))):
            del self._told[number]


def why_no_traces(configuration: Configuration) -> str | None:
    """Why the traces that the configuration asks for cannot be made; None where they can, or none are asked for."""
    return MISSING if configuration.telemetry.otlp_endpoint is not None and packages_missing() else None
