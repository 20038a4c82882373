"""How soon an answer comes that needs no heavy work, behind jobs that do: ``python benchmarks/prompt_refusal.py``.

One worker, and jobs that take five seconds each before it. Measured from the decision (`submit`) to the end: a series
that the pipeline's check refuses, behind five such jobs and behind thirty; a risk that is asked for from a record.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the trial pipelines are the tests'

from dicom_sr.findings import Subject
from node.database.jobs import ON_REQUEST, REQUEST_PRIORITY, Job
from node.reading import HERE
from node.run.job_engine import JobEngine
from pipelines.context import ClinicalContext
from tests.node.run.trial import Bench, bench, install_trial

LOOK_S = 0.01


def request(made: Bench) -> Job:
    """A risk that somebody asks for, of a record and no study."""
    job = replace(
        made.job(journal=str(made.journal)),
        route=ON_REQUEST,
        pipeline="trial_risk",
        study_instance_uid="",
        series_instance_uids=(),
        sop_instance_uids=(),
        destinations=(),
        priority=REQUEST_PRIORITY,
    )
    return replace(job, id=job.id[::-1])


def behind(made: Bench, running: JobEngine, heavy: int, run_s: float) -> tuple[float, float]:
    """Seconds until a refusal, and until a risk, behind so many heavy jobs; these are cancelled afterwards."""
    jobs = [made.job(run_s=run_s) for _ in range(heavy)]
    for job in jobs:
        running.submit(job)
    while jobs[0].series_instance_uids[0] not in made.said("run"):
        time.sleep(LOOK_S)
    refused, asked = made.job(behaviour="refuse"), request(made)
    who = Subject("K1", "Somebody", "19600615", "F")
    start = time.perf_counter()
    running.submit(refused)
    running.submit(asked, who, ClinicalContext(date(2026, 1, 1), date(1960, 6, 15), "F"))
    wanted = {refused.id: (refused, "unsuitable"), asked.id: (asked, "done")}
    found: dict[str, float] = {}
    while len(found) < len(wanted):
        for job, state in wanted.values():
            if job.id not in found and made.state(job) == state:
                found[job.id] = time.perf_counter() - start
        time.sleep(LOOK_S)
    for job in jobs:
        if made.state(job) in ("queued", "running"):
            running.cancel(job.id)
    return found[refused.id], found[asked.id]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--run-s", type=float, default=5.0, help="what each heavy job takes")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["PYTHONPATH"] = install_trial(Path(name) / "site")
        sys.path.insert(0, str(Path(name) / "site"))
        with bench(Path(name)) as made:
            running = JobEngine(made.configuration, made.database, HERE)
            running.start()
            try:
                for heavy in (5, 30):
                    refused, answered = behind(made, running, heavy, chosen.run_s)
                    print(
                        f"behind {heavy} jobs of {chosen.run_s:g} s, one worker: refused after {refused:.2f} s, "
                        f"risk after {answered:.2f} s; {datetime.now(UTC):%d %b %Y}",
                        flush=True,
                    )
                print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            finally:
                running.stop()


if __name__ == "__main__":
    main()
